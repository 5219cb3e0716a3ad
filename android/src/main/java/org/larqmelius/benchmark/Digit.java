package org.larqmelius.benchmark;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Matrix;
import android.media.ExifInterface;
import android.net.Uri;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;

/** Makes of a picture what the digits network was trained on: 8 x 8 pixels from 0, paper, to 255, ink. */
final class Digit {
  static final int SIDE = 8;
  private static final int PHOTO_SIDE = 512;

  private Digit() {}

  /**
   * Crops what is drawn, and averages areas.
   *
   * @param ink from 0 to 255, row by row
   * @return 64 pixels; null if there is no ink
   */
  static int[] pixels(int[] ink, int width, int height) {
    int left = width;
    int right = -1;
    int top = height;
    int bottom = -1;
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        if (ink[y * width + x] >= 128) {
          left = Math.min(left, x);
          right = Math.max(right, x);
          top = Math.min(top, y);
          bottom = Math.max(bottom, y);
        }
      }
    }
    if (right < 0) {
      return null;
    }
    // A square around its middle, which it fills from top to bottom, as the digits of the data set do.
    double side = Math.max(right - left + 1, bottom - top + 1);
    double startX = (left + right + 1 - side) / 2;
    double startY = (top + bottom + 1 - side) / 2;
    double cell = side / SIDE;
    double[] means = new double[SIDE * SIDE];
    double most = 0;
    for (int i = 0; i < means.length; ++i) {
      means[i] = mean(ink, width, height, startX + i % SIDE * cell, startY + i / SIDE * cell, cell);
      most = Math.max(most, means[i]);
    }
    // A thin pen fills no cell: the darkest is ink.
    int[] pixels = new int[means.length];
    for (int i = 0; i < pixels.length; ++i) {
      pixels[i] = (int) Math.round(means[i] * 255 / most);
    }
    return pixels;
  }

  /** The mean of a square, whose border may pass through pixels. What lies beyond the picture is paper. */
  private static double mean(int[] ink, int width, int height, double x, double y, double side) {
    double sum = 0;
    for (int row = Math.max(0, (int) Math.floor(y)); row < Math.min(height, y + side); ++row) {
      double high = Math.min(row + 1, y + side) - Math.max(row, y);
      for (int column = Math.max(0, (int) Math.floor(x)); column < Math.min(width, x + side); ++column) {
        double wide = Math.min(column + 1, x + side) - Math.max(column, x);
        sum += high * wide * ink[row * width + column];
      }
    }
    return sum / (side * side);
  }

  /** The ink of a photo of one digit, dark on light paper or light on dark: 255 where it is, 0 elsewhere. */
  static int[] inkOf(int[] colors) {
    int[] gray = new int[colors.length];
    long[] histogram = new long[256];
    for (int i = 0; i < colors.length; ++i) {
      int color = colors[i];
      gray[i] = ((color >> 16 & 255) * 299 + (color >> 8 & 255) * 587 + (color & 255) * 114) / 1000;
      ++histogram[gray[i]];
    }
    int threshold = threshold(histogram);
    int dark = 0;
    for (int value : gray) {
      dark += value <= threshold ? 1 : 0;
    }
    boolean darkInk = 2 * dark <= gray.length;
    int[] ink = new int[gray.length];
    for (int i = 0; i < gray.length; ++i) {
      ink[i] = gray[i] <= threshold == darkInk ? 255 : 0;
    }
    return ink;
  }

  /** The brightness that parts the two groups best, by Otsu's method: the variance between them is largest. */
  private static int threshold(long[] histogram) {
    double total = 0;
    double sum = 0;
    for (int i = 0; i < histogram.length; ++i) {
      total += histogram[i];
      sum += (double) i * histogram[i];
    }
    double below = 0;
    double sumBelow = 0;
    double best = -1;
    int threshold = 0;
    for (int i = 0; i < histogram.length; ++i) {
      below += histogram[i];
      sumBelow += (double) i * histogram[i];
      if (below == 0 || below == total) {
        continue;
      }
      double difference = sumBelow / below - (sum - sumBelow) / (total - below);
      double variance = below * (total - below) * difference * difference;
      if (variance > best) {
        best = variance;
        threshold = i;
      }
    }
    return threshold;
  }

  static int[] ofPhoto(Context context, Uri uri) throws IOException {
    BitmapFactory.Options options = new BitmapFactory.Options();
    options.inJustDecodeBounds = true;
    decode(context, uri, options);
    int scale = 1;
    while (Math.max(options.outWidth, options.outHeight) / (2 * scale) >= PHOTO_SIDE) {
      scale *= 2;
    }
    options.inJustDecodeBounds = false;
    options.inSampleSize = scale;
    Bitmap bitmap = decode(context, uri, options);
    if (bitmap == null) {
      throw new IOException("That file is not a picture that Android can read.");
    }
    bitmap = upright(context, uri, bitmap);
    int[] colors = new int[bitmap.getWidth() * bitmap.getHeight()];
    bitmap.getPixels(colors, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
    int[] pixels = pixels(inkOf(colors), bitmap.getWidth(), bitmap.getHeight());
    if (pixels == null) {
      throw new IOException("There is no digit in that picture.");
    }
    return pixels;
  }

  /** Turns a picture as the camera was held. */
  private static Bitmap upright(Context context, Uri uri, Bitmap bitmap) throws IOException {
    int orientation;
    try (InputStream stream = open(context, uri)) {
      orientation = new ExifInterface(stream).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1);
    } catch (IOException exception) {
      return bitmap; // Pictures of other kinds than JPEG say nothing about it.
    }
    Matrix turn = new Matrix();
    switch (orientation) {
      case ExifInterface.ORIENTATION_ROTATE_90:
        turn.setRotate(90);
        break;
      case ExifInterface.ORIENTATION_ROTATE_180:
        turn.setRotate(180);
        break;
      case ExifInterface.ORIENTATION_ROTATE_270:
        turn.setRotate(270);
        break;
      default:
        return bitmap;
    }
    return Bitmap.createBitmap(bitmap, 0, 0, bitmap.getWidth(), bitmap.getHeight(), turn, false);
  }

  private static InputStream open(Context context, Uri uri) throws IOException {
    try {
      InputStream stream = context.getContentResolver().openInputStream(uri);
      if (stream == null) {
        throw new FileNotFoundException("That picture could not be opened.");
      }
      return stream;
    } catch (SecurityException exception) {
      throw new IOException("That picture may not be read.", exception);
    }
  }

  private static Bitmap decode(Context context, Uri uri, BitmapFactory.Options options) throws IOException {
    try (InputStream stream = open(context, uri)) {
      return BitmapFactory.decodeStream(stream, null, options);
    }
  }
}
