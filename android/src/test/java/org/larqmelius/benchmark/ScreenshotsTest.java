package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Canvas;
import android.graphics.Color;
import android.view.View;
import android.widget.LinearLayout;
import java.awt.image.BufferedImage;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.io.File;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import javax.imageio.ImageIO;
import org.junit.Before;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.ParameterizedRobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;

/**
 * Draws the pictures of docs/images and compares them with those; {@code mvn test -Dscreenshots=write} writes them
 * anew. The numbers in them are FakeEngine's.
 */
@RunWith(ParameterizedRobolectricTestRunner.class)
public class ScreenshotsTest extends AppTest {
  private static final File FOLDER = new File("../docs/images");

  /** Share of pixels that may differ: processors may round colors differently. */
  private static final double DIFFERENT = 0.002;

  private final String mode;

  public ScreenshotsTest(String mode) {
    this.mode = mode;
  }

  @ParameterizedRobolectricTestRunner.Parameters(name = "{0}")
  public static List<String> modes() {
    return List.of("light", "dark");
  }

  @Before
  public void choosePhone() {
    RuntimeEnvironment.setQualifiers(
        "w411dp-h891dp-port-" + (mode.equals("dark") ? "night" : "notnight") + "-hdpi");
  }

  @Test
  public void empty() throws Exception {
    compare("empty", start().get(), R.id.page);
  }

  @Test
  public void running() throws Exception {
    engine.hold("MeliusNet22", 38);
    BenchmarkActivity activity = start().get();
    activity.findViewById(R.id.run).performClick();
    engine.awaitHold();
    activity.onSessionChanged();
    compare("running", activity, R.id.progress_card);
  }

  @Test
  public void results() throws Exception {
    BenchmarkActivity activity = measured();
    compare("results", activity, R.id.results);
  }

  @Test
  public void details() throws Exception {
    // Times as a phone's might be: the plan's are of the small digits network.
    StringBuilder plan = new StringBuilder();
    String pack = "  %%2 int32 1x56x56x2 in #1 = pack(%%1 float32 1x56x56x64 in #0) [neon, compared] %s ms\n";
    String conv = "  %%3 float32 1x56x56x64 in #0 = binary_conv(%%2 int32 1x56x56x2 in #1) [neon, map] %s ms\n";
    String fused = "  %%4 float32 1x56x56x64 in #0 = binary_conv(%%2 int32 1x56x56x2 in #1,"
        + " %%3 float32 1x56x56x64 in #0) [neon, map] %s ms\n";
    for (int i = 0; i < 34; ++i) {
      plan.append(String.format(pack, "0.055"));
      plan.append(String.format(i % 2 == 0 ? conv : fused, "0.310"));
    }
    engine.specs.get("MeliusNet22").plan = plan.toString();
    BenchmarkActivity activity = measured();
    session.results().models.get(2).loadMs = 41.5;
    ((LinearLayout) activity.findViewById(R.id.details)).getChildAt(2).performClick();
    compare("details", activity, R.id.details);
  }

  @Test
  public void digit() throws Exception {
    BenchmarkActivity activity = start().get();
    idle();
    BenchmarkActivityTest.draw(activity,
        0.3f, 0.25f, 0.42f, 0.17f, 0.55f, 0.17f, 0.66f, 0.25f, 0.66f, 0.37f, 0.58f, 0.46f, 0.45f, 0.49f,
        0.58f, 0.52f, 0.68f, 0.62f, 0.68f, 0.74f, 0.58f, 0.83f, 0.42f, 0.83f, 0.3f, 0.75f);
    await(() -> !text(activity, R.id.digit_answer).isEmpty());
    compare("digit", activity, R.id.digit_card);
  }

  @Test
  public void error() throws Exception {
    engine.specs.get("MeliusNetC").output = new float[] {1, 2.5f, 3};
    engine.hold("MobileNet-0.5", 20);
    BenchmarkActivity activity = start().get();
    activity.findViewById(R.id.run).performClick();
    engine.awaitHold();
    session.stop();
    engine.release.release();
    awaitEnd();
    compare("error", activity, R.id.message);
  }

  /** Not for the documentation: everything is to be seen at twice the size of letters. */
  @Test
  public void largeFonts() throws Exception {
    RuntimeEnvironment.setFontScale(2);
    BenchmarkActivity activity = measured();
    Bitmap picture = picture(activity, R.id.results);
    assertTrue(colors(picture) > 20);
    write(picture, new File("target/screenshots", "large-fonts-" + mode + ".png"));
  }

  private BenchmarkActivity measured() {
    BenchmarkActivity activity = start().get();
    activity.findViewById(R.id.run).performClick();
    awaitEnd();
    return activity;
  }

  /** Draws the screen, scrolled so that a part of the page is at its top. */
  private static Bitmap picture(BenchmarkActivity activity, int id) {
    idle();
    View decor = activity.getWindow().getDecorView();
    int wide = View.MeasureSpec.makeMeasureSpec(decor.getWidth(), View.MeasureSpec.EXACTLY);
    int high = View.MeasureSpec.makeMeasureSpec(decor.getHeight(), View.MeasureSpec.EXACTLY);
    decor.measure(wide, high);
    decor.layout(0, 0, decor.getWidth(), decor.getHeight());
    View scroll = activity.findViewById(R.id.scroll);
    View target = activity.findViewById(id);
    int top = 0;
    for (View view = target; view != scroll; view = (View) view.getParent()) {
      top += view.getTop();
    }
    scroll.scrollTo(0, Math.max(0, top - Math.round(12 * activity.getResources().getDisplayMetrics().density)));
    Bitmap bitmap = Bitmap.createBitmap(decor.getWidth(), decor.getHeight(), Bitmap.Config.ARGB_8888);
    decor.draw(new Canvas(bitmap));
    return bitmap;
  }

  private void compare(String name, BenchmarkActivity activity, int id) throws Exception {
    Bitmap drawn = picture(activity, id);
    assertTrue(colors(drawn) > 20);
    File file = new File(FOLDER, "android-" + name + "-" + mode + ".png");
    if (System.getProperty("screenshots").equals("write")) {
      write(drawn, file);
      return;
    }
    Bitmap stored = BitmapFactory.decodeFile(file.getPath());
    assertEquals(stored.getWidth(), drawn.getWidth());
    assertEquals(stored.getHeight(), drawn.getHeight());
    int different = 0;
    for (int y = 0; y < drawn.getHeight(); ++y) {
      for (int x = 0; x < drawn.getWidth(); ++x) {
        different += distance(stored.getPixel(x, y), drawn.getPixel(x, y)) > 48 ? 1 : 0;
      }
    }
    double share = (double) different / drawn.getWidth() / drawn.getHeight();
    if (share > DIFFERENT) {
      File actual = new File("target/screenshots", file.getName());
      write(drawn, actual);
      throw new AssertionError(
          file + " is not what the app draws: see android/" + actual + ", and mvn test -Dscreenshots=write");
    }
  }

  private static int distance(int left, int right) {
    return Math.abs(Color.red(left) - Color.red(right)) + Math.abs(Color.green(left) - Color.green(right))
        + Math.abs(Color.blue(left) - Color.blue(right));
  }

  private static long colors(Bitmap bitmap) {
    int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
    bitmap.getPixels(pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
    return java.util.Arrays.stream(pixels).distinct().count();
  }

  /** Writes a PNG of the 128 most frequent colors, to which the others, of the edges of letters, are near. */
  private static void write(Bitmap bitmap, File file) throws Exception {
    int width = bitmap.getWidth();
    int height = bitmap.getHeight();
    int[] pixels = new int[width * height];
    bitmap.getPixels(pixels, 0, width, 0, 0, width, height);
    Map<Integer, Integer> counts = new TreeMap<>();
    for (int pixel : pixels) {
      counts.merge(pixel, 1, Integer::sum);
    }
    int[] palette = counts.keySet().stream()
        .sorted(Comparator.comparing(color -> -counts.get(color)))
        .limit(128)
        .mapToInt(Integer::intValue)
        .toArray();
    Map<Integer, Integer> nearest = new HashMap<>();
    for (int color : counts.keySet()) {
      int best = 0;
      for (int i = 1; i < palette.length; ++i) {
        best = distance(color, palette[i]) < distance(color, palette[best]) ? i : best;
      }
      nearest.put(color, best);
    }
    IndexColorModel colors = new IndexColorModel(8, palette.length, palette, 0, false, -1, DataBuffer.TYPE_BYTE);
    BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_BYTE_INDEXED, colors);
    for (int i = 0; i < pixels.length; ++i) {
      image.getRaster().setSample(i % width, i / width, 0, nearest.get(pixels[i]));
    }
    file.getParentFile().mkdirs();
    ImageIO.write(image, "png", file);
  }
}
