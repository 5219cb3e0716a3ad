package androidx.test.runner.intent;

/** No intent is stubbed: Robolectric asks by isLoaded. */
public final class IntentStubberRegistry {
  private IntentStubberRegistry() {}

  public static boolean isLoaded() {
    return false;
  }

  public static IntentStubber getInstance() {
    throw new IllegalStateException("no stubber is registered");
  }
}
