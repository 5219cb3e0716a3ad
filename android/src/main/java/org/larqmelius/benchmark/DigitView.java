package org.larqmelius.benchmark;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.Path;
import android.os.Bundle;
import android.os.Parcelable;
import android.util.AttributeSet;
import android.view.MotionEvent;
import android.view.View;
import java.util.ArrayList;
import java.util.List;

/** A square to draw a digit on with the finger. */
public final class DigitView extends View {
  /** Is told when a stroke ends. */
  interface Listener {
    void onDrawn();
  }

  /** Of the square's side: about as thick, beside a digit, as the pens of the data set. */
  private static final float PEN = 0.11f;

  private static final int INK_SIDE = 128;

  private final Paint pen = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final List<float[]> strokes = new ArrayList<>();
  private List<Float> current;
  private Listener listener;

  public DigitView(Context context, AttributeSet attributes) {
    super(context, attributes);
    pen.setStyle(Paint.Style.STROKE);
    pen.setStrokeCap(Paint.Cap.ROUND);
    pen.setStrokeJoin(Paint.Join.ROUND);
    pen.setColor(context.getColor(R.color.text));
  }

  void setListener(Listener listener) {
    this.listener = listener;
  }

  boolean isEmpty() {
    return strokes.isEmpty();
  }

  void clear() {
    strokes.clear();
    current = null;
    invalidate();
  }

  /** The 64 pixels of what is drawn, as Digit.pixels gives them. */
  int[] pixels() {
    Bitmap bitmap = Bitmap.createBitmap(INK_SIDE, INK_SIDE, Bitmap.Config.ARGB_8888);
    bitmap.eraseColor(Color.BLACK);
    Paint white = new Paint(pen);
    white.setColor(Color.WHITE);
    drawStrokes(new Canvas(bitmap), INK_SIDE, white);
    int[] colors = new int[INK_SIDE * INK_SIDE];
    bitmap.getPixels(colors, 0, INK_SIDE, 0, 0, INK_SIDE, INK_SIDE);
    for (int i = 0; i < colors.length; ++i) {
      colors[i] &= 255;
    }
    return Digit.pixels(colors, INK_SIDE, INK_SIDE);
  }

  @Override
  protected void onMeasure(int widthSpec, int heightSpec) {
    int wanted = Math.round(240 * getResources().getDisplayMetrics().density);
    int width = MeasureSpec.getMode(widthSpec) == MeasureSpec.UNSPECIFIED ? wanted : MeasureSpec.getSize(widthSpec);
    int side = Math.min(wanted, width);
    setMeasuredDimension(side, side);
  }

  @Override
  protected void onDraw(Canvas canvas) {
    drawStrokes(canvas, getWidth(), pen);
    if (current != null) {
      drawStroke(canvas, getWidth(), pen, toArray(current));
    }
  }

  private void drawStrokes(Canvas canvas, int side, Paint paint) {
    for (float[] stroke : strokes) {
      drawStroke(canvas, side, paint, stroke);
    }
  }

  private static void drawStroke(Canvas canvas, int side, Paint paint, float[] stroke) {
    paint.setStrokeWidth(PEN * side);
    Path path = new Path();
    path.moveTo(stroke[0] * side, stroke[1] * side);
    path.lineTo(stroke[0] * side + 0.01f, stroke[1] * side); // A dot, if nothing follows.
    for (int i = 2; i < stroke.length; i += 2) {
      path.lineTo(stroke[i] * side, stroke[i + 1] * side);
    }
    canvas.drawPath(path, paint);
  }

  @Override
  public boolean onTouchEvent(MotionEvent event) {
    if (!isEnabled()) {
      return false;
    }
    switch (event.getActionMasked()) {
      case MotionEvent.ACTION_DOWN:
        getParent().requestDisallowInterceptTouchEvent(true); // The page must not scroll.
        current = new ArrayList<>();
        add(event.getX(), event.getY());
        break;
      case MotionEvent.ACTION_MOVE:
        if (current == null) {
          return false;
        }
        for (int i = 0; i < event.getHistorySize(); ++i) {
          add(event.getHistoricalX(i), event.getHistoricalY(i));
        }
        add(event.getX(), event.getY());
        break;
      case MotionEvent.ACTION_UP:
        if (current != null) {
          strokes.add(toArray(current));
          current = null;
          performClick();
        }
        break;
      case MotionEvent.ACTION_CANCEL:
        current = null;
        break;
      default:
        return false;
    }
    invalidate();
    return true;
  }

  @Override
  public boolean performClick() {
    super.performClick();
    if (listener != null && !strokes.isEmpty()) {
      listener.onDrawn();
    }
    return true;
  }

  private void add(float x, float y) {
    current.add(Math.max(0, Math.min(1, x / getWidth())));
    current.add(Math.max(0, Math.min(1, y / getHeight())));
  }

  private static float[] toArray(List<Float> values) {
    float[] array = new float[values.size()];
    for (int i = 0; i < array.length; ++i) {
      array[i] = values.get(i);
    }
    return array;
  }

  @Override
  protected Parcelable onSaveInstanceState() {
    Bundle state = new Bundle();
    state.putParcelable("view", super.onSaveInstanceState());
    state.putInt("count", strokes.size());
    for (int i = 0; i < strokes.size(); ++i) {
      state.putFloatArray("stroke" + i, strokes.get(i));
    }
    return state;
  }

  @SuppressWarnings("deprecation")
  @Override
  protected void onRestoreInstanceState(Parcelable saved) {
    Bundle state = (Bundle) saved;
    strokes.clear();
    for (int i = 0; i < state.getInt("count"); ++i) {
      strokes.add(state.getFloatArray("stroke" + i));
    }
    super.onRestoreInstanceState(state.getParcelable("view"));
  }
}
