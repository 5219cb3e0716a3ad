package org.larqmelius.benchmark;

import static org.junit.Assert.assertTrue;

import android.content.Context;
import android.content.Intent;
import android.os.Looper;
import android.widget.LinearLayout;
import android.widget.TextView;
import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.rules.TemporaryFolder;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.Shadows;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowLog;

/** What tests of the app share: a phone, an engine, and ways to look at the screen. */
abstract class AppTest {
  static final float[] THREE = {0, 0, 0, 1, 0, 0, 0, 0, 0, 0};

  @Rule public final TemporaryFolder phone = new TemporaryFolder();

  FakeEngine engine;
  Session session;

  @Before
  public void setUpApp() {
    FakePhone.make(RuntimeEnvironment.getApplication(), phone.getRoot());
    engine = new FakeEngine(FakePhone.status(phone.getRoot()));
    engine.add("digits", 8, 0.19, THREE).memory = 93 << 20;
    engine.add("MeliusNetC", 56, 14.3).memory = 104 << 20;
    engine.add("MeliusNet22", 68, 31.6).memory = 116 << 20;
    engine.add("MeliusNet42", 124, 72.4).memory = 141 << 20;
    engine.add("MobileNet-0.5", 0, 9.7).memory = 112 << 20;
    engine.add("MobileNet-1.0", 0, 33.8).memory = 149 << 20;
    newProcess();
  }

  @After
  public void tearDownApp() {
    engine.release.release(1000);
    await(() -> !session.isRunning());
    Session.replace(null);
  }

  /** As after the end of the process: only what is in files is left. */
  void newProcess() {
    Context context = RuntimeEnvironment.getApplication();
    session = new Session(context, engine, new DeviceInfo(context, phone.getRoot()));
    Session.replace(session);
  }

  static ActivityController<BenchmarkActivity> start() {
    return Robolectric.buildActivity(BenchmarkActivity.class).setup();
  }

  static ActivityController<BenchmarkActivity> start(String args) {
    return Robolectric.buildActivity(BenchmarkActivity.class, new Intent().putExtra("args", args)).setup();
  }

  static void await(BooleanSupplier condition) {
    for (int i = 0; i < 4000 && !condition.getAsBoolean(); ++i) {
      try {
        Thread.sleep(5);
      } catch (InterruptedException exception) {
        throw new AssertionError(exception);
      }
      idle();
    }
    assertTrue("in time", condition.getAsBoolean());
    idle();
  }

  static void idle() {
    Shadows.shadowOf(Looper.getMainLooper()).idle();
  }

  void awaitEnd() {
    await(() -> !session.isRunning());
  }

  static String text(BenchmarkActivity activity, int id) {
    return ((TextView) activity.findViewById(id)).getText().toString();
  }

  static int visibility(BenchmarkActivity activity, int id) {
    return activity.findViewById(id).getVisibility();
  }

  /** The lines of the details. */
  static List<String> details(BenchmarkActivity activity) {
    LinearLayout list = activity.findViewById(R.id.details);
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < list.getChildCount(); ++i) {
      lines.add(list.getChildAt(i) instanceof TextView
          ? ((TextView) list.getChildAt(i)).getText().toString()
          : String.valueOf(list.getChildAt(i).getContentDescription()));
    }
    return lines;
  }

  static List<String> logged() {
    List<String> lines = new ArrayList<>();
    for (ShadowLog.LogItem item : ShadowLog.getLogsForTag("tflite")) {
      lines.add(item.msg);
    }
    return lines;
  }

  Results stored(String name) throws Exception {
    File file = new File(session.models.resultsFolder(), name);
    assertTrue(file + " is there", file.isFile());
    String json = Files.readString(file.toPath());
    Schema.check(json);
    return Results.read(file);
  }

  /** A file as adb pushes it. */
  File push(String name) throws Exception {
    File file = new File(session.models.folder(), name);
    file.getParentFile().mkdirs();
    Files.writeString(file.toPath(), "network");
    return file;
  }
}
