package org.larqmelius.benchmark;

import java.io.Closeable;
import java.io.File;
import java.nio.ByteBuffer;

/** What runs networks. */
interface Engine {
  /** The version of the runtime; null if unknown. */
  String version();

  /**
   * Opens a network, ready to run.
   *
   * @param profile whether it times its operators, which costs time
   * @throws RuntimeException whose message says what is wrong with the file
   */
  Network open(File file, Settings settings, boolean profile);

  /** A network that is open. It is for one thread at a time. */
  interface Network extends Closeable {
    Tensor[] inputs();

    Tensor[] outputs();

    /** Runs it once, and returns how long that took, ns. Buffers are direct, of native order, as long as the tensors. */
    long run(ByteBuffer[] inputs, ByteBuffer[] outputs);

    /** Operators of Larq Compute Engine's that the delegate runs. */
    int claimedOperators();

    /** The delegate's plan, with the times so far if the network was opened to be profiled. */
    String plan();

    @Override
    void close();
  }

  /** An input or output. */
  final class Tensor {
    /** As TensorFlow Lite names it: FLOAT32, INT8, ... */
    final String type;

    final int[] shape;
    final int bytes;

    Tensor(String type, int[] shape, int bytes) {
      this.type = type;
      this.shape = shape;
      this.bytes = bytes;
    }
  }
}
