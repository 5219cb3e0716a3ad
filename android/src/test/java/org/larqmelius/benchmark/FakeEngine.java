package org.larqmelius.benchmark;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/** Runs networks that a test describes, by their names, and takes no time. */
final class FakeEngine implements Engine {
  /** What a network does. */
  static final class Spec {
    int inputFloats = 64;
    float[] output = {1, 2, 3};
    int claimed;
    String plan = "";
    double milliseconds = 10;

    /** What the process's peak of memory becomes, bytes. */
    long memory = 100 << 20;

    RuntimeException failure;
  }

  final Map<String, Spec> specs = new HashMap<>();
  final List<String> opened = new ArrayList<>();
  volatile int closed;
  volatile int runs;

  /** The network that waits, and after how many runs; null for none. */
  volatile String heldModel;

  volatile int heldAfter;
  volatile CountDownLatch holding = new CountDownLatch(1);
  final Semaphore release = new Semaphore(0);

  private final File status;

  FakeEngine(File status) {
    this.status = status;
  }

  /** The plan that the delegate prints of the digits network. */
  static String plan() {
    try (InputStream stream = FakeEngine.class.getResourceAsStream("plan.txt")) {
      return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException exception) {
      throw new UncheckedIOException(exception);
    }
  }

  Spec add(String name, int claimed, double milliseconds, float... output) {
    Spec spec = new Spec();
    spec.claimed = claimed;
    spec.milliseconds = milliseconds;
    spec.plan = claimed > 0 ? plan() : "";
    if (output.length > 0) {
      spec.output = output;
    }
    specs.put(name, spec);
    return spec;
  }

  void hold(String model, int after) {
    heldModel = model;
    heldAfter = after;
  }

  void awaitHold() throws InterruptedException {
    if (!holding.await(20, TimeUnit.SECONDS)) {
      throw new AssertionError("The run did not come to " + heldModel);
    }
  }

  @Override
  public String version() {
    return "2.16.1";
  }

  @Override
  public Network open(File file, Settings settings, boolean profile) {
    String name = file.getName().replace(".tflite", "");
    synchronized (opened) {
      opened.add(name + (profile ? " profiled" : ""));
    }
    Spec spec = specs.get(name);
    if (spec == null) {
      throw new IllegalArgumentException(
          "Internal error: Cannot create interpreter:\nThe model is not a valid Flatbuffer");
    }
    if (spec.failure != null) {
      throw spec.failure;
    }
    FakePhone.writeStatus(status, spec.memory);
    return new Opened(name, spec);
  }

  private final class Opened implements Network {
    private final String name;
    private final Spec spec;
    private int count;

    Opened(String name, Spec spec) {
      this.name = name;
      this.spec = spec;
    }

    @Override
    public Tensor[] inputs() {
      return new Tensor[] {new Tensor("FLOAT32", new int[] {1, spec.inputFloats}, 4 * spec.inputFloats)};
    }

    @Override
    public Tensor[] outputs() {
      return new Tensor[] {new Tensor("FLOAT32", new int[] {1, spec.output.length}, 4 * spec.output.length)};
    }

    @Override
    public long run(ByteBuffer[] inputs, ByteBuffer[] outputs) {
      if (name.equals(heldModel) && count == heldAfter) {
        heldModel = null;
        holding.countDown();
        release.acquireUninterruptibly();
      }
      outputs[0].rewind();
      for (float value : spec.output) {
        outputs[0].putFloat(value);
      }
      ++runs;
      return Math.round(spec.milliseconds * 1e6 * (1 + 0.02 * (count++ * 7 % 5)));
    }

    @Override
    public int claimedOperators() {
      return spec.claimed;
    }

    @Override
    public String plan() {
      return spec.plan;
    }

    @Override
    public void close() {
      ++closed;
      FakePhone.writeStatus(status, FakePhone.PEAK); // As if the peak had been reset.
    }
  }
}
