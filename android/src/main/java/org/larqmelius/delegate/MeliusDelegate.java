package org.larqmelius.delegate;

import java.util.Collections;
import java.util.Map;
import org.tensorflow.lite.Delegate;

/**
 * Runs Larq Compute Engine's operators in the stock TensorFlow Lite.
 *
 * <pre>
 * MeliusDelegate melius = new MeliusDelegate();
 * Interpreter.Options options = new Interpreter.Options().addDelegate(melius).setUseXNNPACK(true);
 * Interpreter interpreter = new Interpreter(model, options);
 * interpreter.run(input, output);
 * interpreter.close();
 * melius.close();
 * </pre>
 *
 * The delegate may serve several interpreters. It must be closed after them, never before.
 */
public final class MeliusDelegate implements Delegate, AutoCloseable {
  static {
    System.loadLibrary("larq_melius_delegate");
  }

  private long handle;

  /** A delegate that uses as many threads as the interpreter. */
  public MeliusDelegate() {
    this(Collections.<String, String>emptyMap());
  }

  /**
   * A delegate with options.
   *
   * @param options {@code num_threads}: the number of threads, by default the interpreter's; {@code profile}: "1"
   *     measures each instruction for {@link #profile()}; {@code isa}, {@code fuse}, {@code glue} and {@code dump}: as
   *     in docs/runtime.md
   * @throws IllegalArgumentException if an option or its value does not exist
   */
  public MeliusDelegate(Map<String, String> options) {
    String[] keys = new String[options.size()];
    String[] values = new String[options.size()];
    int count = 0;
    for (Map.Entry<String, String> option : options.entrySet()) {
      if (option.getKey() == null || option.getValue() == null) {
        throw new IllegalArgumentException("options of a delegate must not be null: " + option);
      }
      keys[count] = option.getKey();
      values[count] = option.getValue();
      count++;
    }
    handle = create(keys, values);
  }

  /** The address of the TfLiteDelegate, for the interpreter. */
  @Override
  public long getNativeHandle() {
    return open();
  }

  /**
   * The plans of all open interpreters that use this delegate: one instruction a line, each ending with the least time
   * that it took so far, such as {@code 0.123 ms}, if the delegate was made with the option {@code profile}. None of
   * these interpreters may run meanwhile.
   */
  public String profile() {
    return profile(open());
  }

  /** How many of Larq Compute Engine's operators this delegate runs, in all open interpreters that use it. */
  public int claimedOperators() {
    return claimedOperators(open());
  }

  /** Frees the delegate. The interpreters that use it must be closed already. */
  @Override
  public void close() {
    if (handle != 0) {
      destroy(handle);
      handle = 0;
    }
  }

  private long open() {
    if (handle == 0) {
      throw new IllegalStateException("the delegate is closed");
    }
    return handle;
  }

  private static native long create(String[] keys, String[] values);

  private static native void destroy(long handle);

  private static native String profile(long handle);

  private static native int claimedOperators(long handle);
}
