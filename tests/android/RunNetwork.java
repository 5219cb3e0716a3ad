import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Collections;
import org.larqmelius.delegate.MeliusDelegate;
import org.tensorflow.lite.Interpreter;

/** Runs a network as an app does: RunNetwork MODEL INPUT OUTPUT; prints what the delegate tells, the plan last. */
public final class RunNetwork {
  public static void main(String[] arguments) throws Exception {
    try {
      new MeliusDelegate(Collections.singletonMap("speed", "high"));
      throw new AssertionError("an unknown option was taken");
    } catch (IllegalArgumentException error) {
      System.out.println("refused: " + error.getMessage());
    }
    MeliusDelegate delegate = new MeliusDelegate(Collections.singletonMap("profile", "1"));
    Interpreter.Options options = new Interpreter.Options();
    options.setNumThreads(2);
    options.addDelegate(delegate);
    options.setUseXNNPACK(true);
    Interpreter interpreter = new Interpreter(new File(arguments[0]), options);
    byte[] bytes = Files.readAllBytes(Paths.get(arguments[1]));
    ByteBuffer input = ByteBuffer.allocateDirect(bytes.length);
    input.put(bytes).rewind();
    ByteBuffer output = ByteBuffer.allocateDirect(interpreter.getOutputTensor(0).numBytes());
    interpreter.run(input, output);
    byte[] result = new byte[output.capacity()];
    output.rewind();
    output.get(result);
    Files.write(Paths.get(arguments[2]), result);
    System.out.println("claimed: " + delegate.claimedOperators());
    System.out.println(delegate.profile());
    interpreter.close();
    System.out.println("claimed when closed: " + delegate.claimedOperators());
    delegate.close();
    delegate.close();
  }
}
