package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.app.Activity;
import android.content.ContentResolver;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.net.Uri;
import android.os.Bundle;
import android.os.SystemClock;
import android.view.MotionEvent;
import android.view.View;
import android.view.WindowManager;
import android.widget.CheckBox;
import android.widget.LinearLayout;
import android.widget.Spinner;
import android.widget.TableLayout;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.List;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;

@RunWith(RobolectricTestRunner.class)
public class BenchmarkActivityTest extends AppTest {
  private static void run(BenchmarkActivity activity) {
    activity.findViewById(R.id.run).performClick();
  }

  private static void choose(BenchmarkActivity activity, String... keys) {
    LinearLayout list = activity.findViewById(R.id.models);
    for (int i = 0; i < list.getChildCount(); ++i) {
      CheckBox box = (CheckBox) ((LinearLayout) list.getChildAt(i)).getChildAt(0);
      box.setChecked(Arrays.asList(keys).contains(box.getTag()));
    }
  }

  private File onlyFileOfResults() {
    File[] files = session.models.resultsFolder().listFiles();
    assertEquals(1, files.length);
    return files[0];
  }

  @Test
  public void runsAllNetworksAndShowsTheirResults() throws Exception {
    BenchmarkActivity activity = start().get();
    assertEquals(View.GONE, visibility(activity, R.id.results));
    run(activity);
    awaitEnd();
    assertEquals(View.VISIBLE, visibility(activity, R.id.results));
    assertEquals(View.GONE, visibility(activity, R.id.message));
    assertEquals(7, ((TableLayout) activity.findViewById(R.id.table)).getChildCount());
    // Medians of 10 ms * (1 + 0.02 * i), i from 0 to 4 in equal shares.
    String chart = activity.findViewById(R.id.chart).getContentDescription().toString();
    String medians = "digits: 0.198 ms, MeliusNetC: 14.9 ms, MeliusNet22: 32.9 ms, MobileNet-0.5: 10.1 ms";
    assertTrue(chart, chart.startsWith(medians));
    Results results = stored(onlyFileOfResults().getName());
    assertEquals(6, results.models.size());
    Results.ModelResult melius = results.models.get(2);
    assertEquals("MeliusNet22", melius.name);
    assertEquals("passed", melius.outputCheck);
    assertEquals(50, melius.samplesMs.length);
    assertEquals(68, melius.claimedOperators);
    assertEquals("avx512", melius.delegateIsa);
    assertEquals(4115812, melius.bytes);
    assertEquals(116 << 20, melius.memoryPeakBytes);
    assertEquals(18, melius.profile.size());
    // The least run, 31.6 ms, less what the plan's 17 instructions took.
    assertEquals(31.6 - 0.041, melius.profile.get(17).minMs, 1e-9);
    assertNull(results.error);
    assertEquals(6, logged().size());
    assertTrue(logged().get(2), logged().get(2).matches(
        "Inference timings in us: Init: \\d+, First inference: 31600,"
            + " Warmup \\(avg\\): 32864, Inference \\(avg\\): 32864"));
    assertEquals(12, engine.closed);
  }

  @Test
  public void runsTheChosenWithTheSettings() throws Exception {
    BenchmarkActivity activity = start().get();
    choose(activity, "asset:MeliusNetC");
    ((Spinner) activity.findViewById(R.id.runs)).setSelection(0);
    ((Spinner) activity.findViewById(R.id.threads)).setSelection(0);
    ((CheckBox) activity.findViewById(R.id.profile)).setChecked(false);
    run(activity);
    awaitEnd();
    Results results = stored(onlyFileOfResults().getName());
    assertEquals(1, results.models.size());
    assertEquals(10, results.models.get(0).samplesMs.length);
    assertEquals(1, results.settings.getInt("num_threads"));
    assertEquals(List.of("MeliusNetC"), engine.opened);
  }

  @Test
  public void remembersChoices() {
    ActivityController<BenchmarkActivity> controller = start();
    choose(controller.get(), "asset:digits");
    ((Spinner) controller.get().findViewById(R.id.runs)).setSelection(3);
    controller.pause().stop().destroy();
    newProcess();
    BenchmarkActivity again = start().get();
    assertEquals(3, ((Spinner) again.findViewById(R.id.runs)).getSelectedItemPosition());
    run(again);
    awaitEnd();
    assertEquals(1, session.results().models.size());
  }

  @Test
  public void choosingNothingIsAnError() {
    BenchmarkActivity activity = start().get();
    choose(activity);
    run(activity);
    idle();
    assertFalse(session.isRunning());
    assertEquals("Choose at least one network.", text(activity, R.id.message));
  }

  @Test
  public void showsProgressAndKeepsTheScreenOn() throws Exception {
    engine.hold("MeliusNet22", 20);
    BenchmarkActivity activity = start().get();
    run(activity);
    engine.awaitHold();
    activity.onSessionChanged();
    assertEquals("Stop", text(activity, R.id.run));
    assertEquals(View.VISIBLE, visibility(activity, R.id.progress_card));
    // The check and a warm-up come before the 19th measured run.
    assertEquals("MeliusNet22: run 19 of 50 (3 of 6)", text(activity, R.id.progress_text));
    int keepOn = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON;
    assertEquals(keepOn, activity.getWindow().getAttributes().flags & keepOn);
    assertFalse(activity.findViewById(R.id.profile).isEnabled());
    // The networks that are done are shown already.
    assertEquals(3, ((TableLayout) activity.findViewById(R.id.table)).getChildCount());
    engine.release.release();
    awaitEnd();
    assertEquals("Run the benchmark", text(activity, R.id.run));
    assertEquals(0, activity.getWindow().getAttributes().flags & keepOn);
  }

  @Test
  public void stopsAndKeepsWhatWasMeasured() throws Exception {
    engine.hold("MeliusNetC", 12);
    BenchmarkActivity activity = start().get();
    run(activity);
    engine.awaitHold();
    run(activity);
    idle();
    assertEquals("Stopping after this inference…", text(activity, R.id.progress_text));
    engine.release.release();
    awaitEnd();
    Results results = stored(onlyFileOfResults().getName());
    assertEquals(2, results.models.size());
    assertEquals(11, results.models.get(1).samplesMs.length);
    assertEquals("Stopped after 11 of 50 runs.", results.models.get(1).error);
    assertEquals("Stopped after 2 of 6 networks.", results.error);
    assertEquals("Stopped after 2 of 6 networks.", text(activity, R.id.message));
  }

  @Test
  public void rotationLosesNothing() throws Exception {
    engine.hold("MeliusNet22", 20);
    ActivityController<BenchmarkActivity> controller = start();
    run(controller.get());
    engine.awaitHold();
    controller.recreate();
    assertEquals("Stop", text(controller.get(), R.id.run));
    engine.release.release();
    awaitEnd();
    assertEquals(7, ((TableLayout) controller.get().findViewById(R.id.table)).getChildCount());
    // 50 runs of each, one that is compared, one to warm up, and 30 that are profiled: none was begun anew.
    assertEquals(6 * 82, engine.runs);
    controller.recreate();
    assertEquals(7, ((TableLayout) controller.get().findViewById(R.id.table)).getChildCount());
  }

  @Test
  public void waitsWhileItIsNotSeen() throws Exception {
    engine.hold("MeliusNetC", 12);
    ActivityController<BenchmarkActivity> controller = start();
    run(controller.get());
    engine.awaitHold();
    controller.pause().stop();
    engine.release.release();
    int runs = 82 + 13; // All of the first network, and the one that was held.
    await(() -> engine.runs == runs);
    Thread.sleep(50);
    assertEquals(runs, engine.runs);
    controller.restart().start().resume();
    awaitEnd();
    // The run that was under way when the app was left does not count, and was run again.
    assertEquals(6 * 82 + 1, engine.runs);
    assertEquals(50, session.results().models.get(1).samplesMs.length);
  }

  @Test
  public void theLastResultsOutliveTheProcess() throws Exception {
    ActivityController<BenchmarkActivity> controller = start();
    run(controller.get());
    awaitEnd();
    Bundle state = new Bundle();
    controller.saveInstanceState(state).pause().stop().destroy();
    newProcess();
    BenchmarkActivity again = Robolectric.buildActivity(BenchmarkActivity.class).setup(state).get();
    assertEquals(7, ((TableLayout) again.findViewById(R.id.table)).getChildCount());
    assertEquals(View.GONE, visibility(again, R.id.message));
  }

  @Test
  public void anEndInTheMiddleLeavesTheNetworksThatWereDone() throws Exception {
    engine.hold("MeliusNet22", 5);
    ActivityController<BenchmarkActivity> controller = start();
    run(controller.get());
    engine.awaitHold();
    Session killed = session;
    newProcess();
    BenchmarkActivity again = start().get();
    assertEquals(3, ((TableLayout) again.findViewById(R.id.table)).getChildCount());
    assertEquals("The app was ended before the run was.", text(again, R.id.message));
    assertFalse(session.isRunning());
    engine.release.release();
    await(() -> !killed.isRunning());
  }

  @Test
  public void runsWhatAnIntentAsksFor() throws Exception {
    engine.add("pushed", 3, 2.5);
    File file = push("pushed.tflite");
    BenchmarkActivity activity =
        start("\"--graph=" + file + " --num_threads=4 --num_runs=7 --warmup_runs=0 --output=mine\"").get();
    awaitEnd();
    Results results = stored("mine.json");
    assertEquals(4, results.settings.getInt("num_threads"));
    assertFalse(results.settings.getBoolean("op_profiling"));
    Results.ModelResult model = results.models.get(0);
    assertEquals("pushed", model.name);
    assertEquals(7, model.samplesMs.length);
    assertEquals("not_checked", model.outputCheck);
    assertEquals(2.5, model.firstMs, 1e-9);
    // sha256sum of "network".
    assertEquals("3009be769fb8f956e8413ee9f3e0836e34968bc40457d0a10c549d2edcf00cc1", model.sha256);
    assertEquals(1, logged().size());
    assertTrue(logged().get(0).startsWith("Inference timings in us: Init: "));
    assertEquals("pushed: 2.60 ms", activity.findViewById(R.id.chart).getContentDescription().toString());
  }

  @Test
  public void severalGraphsAreSeveralNetworks() throws Exception {
    engine.add("a", 3, 2.5);
    engine.add("b", 0, 1.5);
    start("--graph=" + push("a.tflite") + " --graph=" + push("b.tflite") + " --graph=/none.tflite --output=x.json");
    awaitEnd();
    Results results = stored("x.json");
    assertEquals(3, results.models.size());
    assertEquals("/none.tflite is not there, or may not be read.", results.models.get(2).error);
    assertTrue(logged().contains("Error: none: /none.tflite is not there, or may not be read."));
    assertNull(results.error);
  }

  @Test
  public void anIntentIsRunOnce() throws Exception {
    engine.add("a", 3, 2.5);
    ActivityController<BenchmarkActivity> controller = start("--graph=" + push("a.tflite") + " --output=x.json");
    awaitEnd();
    controller.recreate();
    idle();
    assertFalse(session.isRunning());
    assertEquals(List.of("a"), engine.opened);
    Robolectric.buildActivity(
            BenchmarkActivity.class,
            new Intent().putExtra("args", "--graph=b").addFlags(Intent.FLAG_ACTIVITY_LAUNCHED_FROM_HISTORY))
        .setup();
    assertFalse(session.isRunning());
    controller.newIntent(new Intent().putExtra("args", "--graph=" + push("a.tflite") + " --output=y.json"));
    awaitEnd();
    assertEquals(List.of("a", "a"), engine.opened);
    assertEquals(1, stored("y.json").models.size());
  }

  @Test
  public void aScriptsRunGoesOnUnseen() throws Exception {
    engine.add("a", 3, 2.5);
    engine.hold("a", 5);
    ActivityController<BenchmarkActivity> controller = start("--graph=" + push("a.tflite") + " --output=x.json");
    engine.awaitHold();
    controller.pause().stop();
    engine.release.release();
    awaitEnd();
    assertEquals(50, stored("x.json").models.get(0).samplesMs.length);
  }

  @Test
  public void aWrongArgumentIsOneLineAndAFile() throws Exception {
    BenchmarkActivity activity = start("--graph=a.tflite --num_threads=none --num_runs=7 --output=x.json").get();
    idle();
    String message = "--num_threads must be a whole number from 1 to 256, not \"none\".";
    Results results = stored("x.json");
    assertEquals(message, results.error);
    assertEquals(0, results.models.size());
    assertEquals(7, results.settings.getInt("num_runs"));
    assertEquals(List.of("Error: " + message), logged());
    assertEquals(message, text(activity, R.id.message));
    assertEquals(View.VISIBLE, visibility(activity, R.id.message));
  }

  @Test
  public void aSecondIntentDoesNotDisturbTheFirst() throws Exception {
    engine.add("a", 3, 2.5);
    engine.hold("a", 5);
    ActivityController<BenchmarkActivity> controller = start("--graph=" + push("a.tflite") + " --output=x.json");
    engine.awaitHold();
    controller.newIntent(new Intent().putExtra("args", "--graph=" + push("a.tflite") + " --output=y.json"));
    assertEquals("A benchmark is running: stop it, or start the app with -S.", stored("y.json").error);
    engine.release.release();
    awaitEnd();
    assertNull(stored("x.json").error);
  }

  @Test
  public void comparesWithAnAnswerInFiles() throws Exception {
    FakeEngine.Spec spec = engine.add("a", 3, 2.5);
    spec.inputFloats = 1;
    File input = push("in.bin");
    File expected = push("out.bin");
    Files.write(input.toPath(), new byte[4]);
    // 1, 2, 3.125
    Files.write(expected.toPath(), new byte[] {0, 0, (byte) 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x48, 0x40});
    String arguments = "--graph=" + push("a.tflite") + " --input=" + input + " --expected=" + expected;
    start(arguments + " --tolerance=0.125 --output=x.json");
    awaitEnd();
    assertEquals("passed", stored("x.json").models.get(0).outputCheck);
    assertEquals(0.125, stored("x.json").models.get(0).outputMaxError, 0);
    start(arguments + " --output=y.json");
    awaitEnd();
    Results.ModelResult failed = stored("y.json").models.get(0);
    assertEquals("failed", failed.outputCheck);
    // 1e-3 times the deviation of 1, 2, 3.125, which is 0.868028, and 1e-5.
    assertEquals(
        "Not timed: its output differs from the stored answer by 0.125, and 0.000878028 is allowed.", failed.error);
    assertEquals(0, failed.samplesMs.length);
    start("--graph=" + push("a.tflite") + " --input=/none --expected=/none --output=z.json");
    assertTrue(stored("z.json").error.contains("/none"));
  }

  @Test
  public void wrongAndBrokenNetworksDoNotEndTheRun() throws Exception {
    engine.specs.get("digits").output = new float[] {1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    engine.specs.remove("MeliusNetC");
    engine.specs.get("MeliusNet22").output = new float[] {1, Float.NaN, 3};
    BenchmarkActivity activity = start().get();
    run(activity);
    awaitEnd();
    List<String> lines = details(activity);
    assertEquals(
        "digits: Not timed: its output differs from the stored answer by 1, and 0.001 is allowed.", lines.get(0));
    assertEquals(
        "MeliusNetC: Internal error: Cannot create interpreter: The model is not a valid Flatbuffer", lines.get(1));
    assertEquals(
        "MeliusNet22: Not timed: its output differs from the stored answer by what is not a number, and 0.001 is"
            + " allowed.",
        lines.get(2));
    assertEquals(4, ((TableLayout) activity.findViewById(R.id.table)).getChildCount());
    assertEquals(6, stored(onlyFileOfResults().getName()).models.size());
  }

  @Test
  public void theTimeLimitEndsANetwork() throws Exception {
    engine.add("a", 3, 2.5);
    start("--graph=" + push("a.tflite") + " --max_secs=0 --output=x.json");
    awaitEnd();
    assertEquals(1, stored("x.json").models.get(0).samplesMs.length);
    assertNull(stored("x.json").models.get(0).error);
  }

  @Test
  public void aLeastTimeAsksForMoreRuns() throws Exception {
    engine.add("a", 3, 2.5);
    engine.hold("a", 20);
    start("--graph=" + push("a.tflite") + " --warmup_runs=0 --num_runs=1 --min_secs=3600 --output=x.json");
    engine.awaitHold();
    session.stop();
    engine.release.release();
    awaitEnd();
    assertEquals(21, stored("x.json").models.get(0).samplesMs.length);
    assertNull(stored("x.json").models.get(0).error);
  }

  @Test
  public void opensDetails() throws Exception {
    ActivityController<BenchmarkActivity> controller = start();
    run(controller.get());
    awaitEnd();
    assertEquals(6, details(controller.get()).size());
    ((LinearLayout) controller.get().findViewById(R.id.details)).getChildAt(2).performClick();
    List<String> lines = details(controller.get());
    assertTrue(lines.get(2).startsWith("▾"));
    assertEquals("Raised the app's memory by 27 MB, to 122 MB at most", lines.get(4));
    assertEquals("68 binary operators run by the delegate (avx512)", lines.get(5));
    assertEquals("Output as expected: off by 0 at most", lines.get(6));
    assertEquals("Binary operators take 0% of the time:", lines.get(8));
    String operators = lines.get(9);
    String mostExpensive = "other operators: 31.6 ms, 99.9%, LceBconv2d + LceQuantize × 4: 0.012 ms, 0%";
    assertTrue(operators, operators.startsWith(mostExpensive));
    controller.recreate();
    assertTrue(details(controller.get()).get(2).startsWith("▾"));
  }

  @Test
  public void sharesTheResultsAndNothingElse() throws Exception {
    BenchmarkActivity activity = start().get();
    run(activity);
    awaitEnd();
    activity.findViewById(R.id.share).performClick();
    Intent chooser = Shadows.shadowOf(activity).getNextStartedActivity();
    Intent send = chooser.getParcelableExtra(Intent.EXTRA_INTENT, Intent.class);
    Uri uri = send.getParcelableExtra(Intent.EXTRA_STREAM, Uri.class);
    assertEquals(Intent.FLAG_GRANT_READ_URI_PERMISSION, send.getFlags() & Intent.FLAG_GRANT_READ_URI_PERMISSION);
    ResultsProvider provider = Robolectric.setupContentProvider(ResultsProvider.class, uri.getAuthority());
    assertEquals("application/json", provider.getType(uri));
    byte[] bytes;
    try (var stream = new android.os.ParcelFileDescriptor.AutoCloseInputStream(provider.openFile(uri, "r"))) {
      bytes = stream.readAllBytes();
    }
    assertEquals(6, new JSONObject(new String(bytes)).getJSONArray("models").length());
    try (var cursor = provider.query(uri, null, null, null, null)) {
      cursor.moveToFirst();
      assertEquals("larq-melius-benchmark.json", cursor.getString(0));
      assertEquals(bytes.length, cursor.getLong(1));
    }
    Uri other = Uri.parse("content://org.larqmelius.benchmark.results/../shared_prefs/settings.xml");
    assertThrows(FileNotFoundException.class, () -> provider.openFile(other, "r"));
    assertThrows(FileNotFoundException.class, () -> provider.openFile(uri, "rw"));
    try (var cursor = provider.query(other, null, null, null, null)) {
      assertEquals(0, cursor.getCount());
    }
  }

  @Test
  public void addsAndRemovesAFile() throws Exception {
    BenchmarkActivity activity = start().get();
    Uri uri = pick(activity, R.id.add_file, "content://documents/mine.tflite", "bytes".getBytes());
    File file = new File(session.models.folder(), "mine.tflite");
    await(file::isFile);
    await(() -> ((LinearLayout) activity.findViewById(R.id.models)).getChildCount() == 7);
    assertEquals("bytes", Files.readString(file.toPath()));
    LinearLayout row = (LinearLayout) ((LinearLayout) activity.findViewById(R.id.models)).getChildAt(6);
    assertTrue(((CheckBox) row.getChildAt(0)).isChecked());
    assertEquals("Remove mine", row.getChildAt(1).getContentDescription().toString());
    row.getChildAt(1).performClick();
    idle();
    org.robolectric.shadows.ShadowAlertDialog.getLatestAlertDialog()
        .getButton(android.content.DialogInterface.BUTTON_POSITIVE).performClick();
    idle();
    assertFalse(file.exists());
    assertEquals(6, ((LinearLayout) activity.findViewById(R.id.models)).getChildCount());
    assertEquals("/mine.tflite", uri.getPath());
  }

  @Test
  public void adbFindsTheFolders() throws Exception {
    start();
    assertTrue(session.models.folder().isDirectory());
    assertTrue(session.models.resultsFolder().isDirectory());
    push("pushed.tflite");
    LinearLayout list = start().get().findViewById(R.id.models);
    assertEquals(7, list.getChildCount());
    CheckBox box = (CheckBox) ((LinearLayout) list.getChildAt(6)).getChildAt(0);
    assertEquals("pushed\n7 B · file", box.getText().toString());
  }

  @Test
  public void anotherKindOfFileIsRefused() {
    BenchmarkActivity activity = start().get();
    pick(activity, R.id.add_file, "content://documents/picture.png", new byte[3]);
    await(() -> visibility(activity, R.id.message) == View.VISIBLE);
    assertEquals("picture.png is not a .tflite file.", text(activity, R.id.message));
  }

  private static Uri pick(BenchmarkActivity activity, int button, String address, byte[] bytes) {
    activity.findViewById(button).performClick();
    Intent asked = Shadows.shadowOf(activity).getNextStartedActivity();
    assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.getAction());
    Uri uri = Uri.parse(address);
    ContentResolver resolver = RuntimeEnvironment.getApplication().getContentResolver();
    Shadows.shadowOf(resolver).registerInputStreamSupplier(uri, () -> new ByteArrayInputStream(bytes));
    Shadows.shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
    return uri;
  }

  @Test
  public void classifiesADrawnDigit() {
    ActivityController<BenchmarkActivity> controller = start();
    BenchmarkActivity activity = controller.get();
    draw(activity, 0.3f, 0.2f, 0.7f, 0.2f, 0.5f, 0.5f, 0.7f, 0.8f, 0.3f, 0.8f);
    await(() -> !text(activity, R.id.digit_answer).isEmpty());
    assertEquals("3", text(activity, R.id.digit_answer));
    assertEquals("100% · otherwise 0, 0%", text(activity, R.id.digit_scores));
    controller.recreate();
    await(() -> !text(controller.get(), R.id.digit_answer).isEmpty());
    assertFalse(((DigitView) controller.get().findViewById(R.id.digit_view)).isEmpty());
    controller.get().findViewById(R.id.digit_clear).performClick();
    assertEquals("", text(controller.get(), R.id.digit_answer));
    assertTrue(((DigitView) controller.get().findViewById(R.id.digit_view)).isEmpty());
  }

  static void draw(BenchmarkActivity activity, float... points) {
    DigitView view = activity.findViewById(R.id.digit_view);
    long time = SystemClock.uptimeMillis();
    for (int i = 0; i < points.length; i += 2) {
      int action = i == 0 ? MotionEvent.ACTION_DOWN : MotionEvent.ACTION_MOVE;
      touch(view, time, action, points[i], points[i + 1]);
    }
    touch(view, time, MotionEvent.ACTION_UP, points[points.length - 2], points[points.length - 1]);
  }

  private static void touch(View view, long time, int action, float x, float y) {
    MotionEvent event = MotionEvent.obtain(time, time, action, x * view.getWidth(), y * view.getHeight(), 0);
    view.onTouchEvent(event);
    event.recycle();
  }

  @Test
  public void classifiesAPhoto() {
    Bitmap bitmap = Bitmap.createBitmap(1300, 900, Bitmap.Config.ARGB_8888);
    bitmap.eraseColor(0xffd8d4c8);
    Paint pen = new Paint();
    pen.setStrokeWidth(40);
    pen.setColor(Color.rgb(30, 30, 90));
    new Canvas(bitmap).drawLine(600, 200, 600, 700, pen);
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    bitmap.compress(Bitmap.CompressFormat.PNG, 100, png);
    BenchmarkActivity activity = start().get();
    pick(activity, R.id.digit_photo, "content://photos/1.png", png.toByteArray());
    await(() -> !text(activity, R.id.digit_answer).isEmpty());
    assertEquals("3", text(activity, R.id.digit_answer));
    pick(activity, R.id.digit_photo, "content://photos/2.png", new byte[9]);
    await(() -> visibility(activity, R.id.message) == View.VISIBLE);
    assertEquals("That file is not a picture that Android can read.", text(activity, R.id.message));
  }

  /** A lying stroke of a phone that was held upright, as its camera says by orientation 6: a quarter to the right. */
  @Test
  public void turnsAPhotoAsTheCameraWasHeld() throws Exception {
    Bitmap bitmap = Bitmap.createBitmap(400, 300, Bitmap.Config.ARGB_8888);
    bitmap.eraseColor(Color.WHITE);
    Paint pen = new Paint();
    pen.setStrokeWidth(40);
    new Canvas(bitmap).drawLine(40, 150, 360, 150, pen);
    ByteArrayOutputStream plain = new ByteArrayOutputStream();
    bitmap.compress(Bitmap.CompressFormat.JPEG, 95, plain);
    byte[] exif = {
        (byte) 0xff, (byte) 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
        0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0};
    ByteArrayOutputStream turned = new ByteArrayOutputStream();
    turned.write(plain.toByteArray(), 0, 2);
    turned.write(exif);
    turned.write(plain.toByteArray(), 2, plain.size() - 2);
    int[] lying = photo("content://photos/lying.jpg", plain.toByteArray());
    int[] standing = photo("content://photos/standing.jpg", turned.toByteArray());
    for (int i = 0; i < 8; ++i) {
      assertTrue(lying[8 * 4 + i] > 200);
      assertTrue(standing[8 * i + 4] > 200);
      assertEquals(0, standing[8 * i], 8);
    }
  }

  private static int[] photo(String address, byte[] bytes) throws Exception {
    Uri uri = Uri.parse(address);
    ContentResolver resolver = RuntimeEnvironment.getApplication().getContentResolver();
    Shadows.shadowOf(resolver).registerInputStreamSupplier(uri, () -> new ByteArrayInputStream(bytes));
    return Digit.ofPhoto(RuntimeEnvironment.getApplication(), uri);
  }

  @Test
  public void theVersionIsTheProjects() throws Exception {
    String project = Files.readString(new File("../larq_melius/version.py").toPath());
    assertTrue(project.contains("__version__ = \"" + session.version() + "\"\n"));
  }

  @Test
  public void aDamagedFileOfResultsIsForgotten() throws Exception {
    Files.writeString(session.resultsFile().toPath(), "{\"schema_version\": 1");
    newProcess();
    assertNull(session.results());
    assertEquals(View.GONE, visibility(start().get(), R.id.results));
  }
}
