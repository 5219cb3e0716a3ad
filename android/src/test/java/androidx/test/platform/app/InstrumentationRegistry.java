package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** Holds the instrumentation that Robolectric registers. It and its neighbors have what Robolectric calls. */
public final class InstrumentationRegistry {
  private static Instrumentation instrumentation;

  private InstrumentationRegistry() {}

  public static void registerInstance(Instrumentation instance, Bundle arguments) {
    instrumentation = instance;
  }

  public static Instrumentation getInstrumentation() {
    if (instrumentation == null) {
      throw new IllegalStateException("no instrumentation is registered");
    }
    return instrumentation;
  }
}
