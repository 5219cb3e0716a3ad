package org.larqmelius.benchmark;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.larqmelius.delegate.MeliusDelegate;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.TensorFlowLite;

/** Stock TensorFlow Lite: the delegate first, XNNPACK for what it leaves. */
final class TfLiteEngine implements Engine {
  @Override
  public String version() {
    return TensorFlowLite.runtimeVersion();
  }

  @Override
  public Network open(File file, Settings settings, boolean profile) {
    return new OpenNetwork(file, settings, profile);
  }

  private static final class OpenNetwork implements Network {
    private final MeliusDelegate delegate;
    private final Interpreter interpreter;

    OpenNetwork(File file, Settings settings, boolean profile) {
      if (!file.isFile()) {
        throw new IllegalArgumentException(file + " is not there, or may not be read.");
      }
      Map<String, String> options = new HashMap<>(settings.delegateOptions);
      if (profile) {
        options.put("profile", "1");
      }
      delegate = new MeliusDelegate(options);
      Interpreter opened = null;
      boolean ready = false;
      try {
        Interpreter.Options all = new Interpreter.Options();
        all.setNumThreads(settings.numThreads);
        all.addDelegate(delegate);
        all.setUseXNNPACK(true);
        opened = new Interpreter(file, all);
        opened.allocateTensors();
        ready = true;
      } finally {
        if (!ready) {
          if (opened != null) {
            opened.close();
          }
          delegate.close();
        }
      }
      interpreter = opened;
    }

    @Override
    public Tensor[] inputs() {
      Tensor[] tensors = new Tensor[interpreter.getInputTensorCount()];
      for (int i = 0; i < tensors.length; ++i) {
        tensors[i] = describe(interpreter.getInputTensor(i));
      }
      return tensors;
    }

    @Override
    public Tensor[] outputs() {
      Tensor[] tensors = new Tensor[interpreter.getOutputTensorCount()];
      for (int i = 0; i < tensors.length; ++i) {
        tensors[i] = describe(interpreter.getOutputTensor(i));
      }
      return tensors;
    }

    private static Tensor describe(org.tensorflow.lite.Tensor tensor) {
      return new Tensor(tensor.dataType().name(), tensor.shape(), tensor.numBytes());
    }

    @Override
    public long run(ByteBuffer[] inputs, ByteBuffer[] outputs) {
      Map<Integer, Object> map = new HashMap<>();
      for (int i = 0; i < outputs.length; ++i) {
        outputs[i].rewind();
        map.put(i, outputs[i]);
      }
      for (ByteBuffer input : inputs) {
        input.rewind();
      }
      long start = System.nanoTime();
      interpreter.runForMultipleInputsOutputs(inputs, map);
      long took = System.nanoTime() - start;
      // The inference alone, as benchmark_model measures it, without copies between Java and TensorFlow Lite.
      Long inference = interpreter.getLastNativeInferenceDurationNanoseconds();
      return inference == null ? took : inference;
    }

    @Override
    public int claimedOperators() {
      return delegate.claimedOperators();
    }

    @Override
    public String plan() {
      return delegate.profile();
    }

    @Override
    public void close() {
      interpreter.close();
      delegate.close(); // The interpreter uses it until it is closed.
    }
  }
}
