package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.List;
import org.junit.Test;

public class ArgumentsTest {
  @Test
  public void defaultsAreThoseOfBenchmarkModel() {
    Arguments arguments = Arguments.parse("--graph=/data/local/tmp/a.tflite");
    assertNull(arguments.error);
    assertEquals(List.of("/data/local/tmp/a.tflite"), arguments.graphs);
    assertEquals(1, arguments.settings.numThreads);
    assertEquals(1, arguments.settings.warmupRuns);
    assertEquals(50, arguments.settings.numRuns);
    assertEquals(150, arguments.settings.maxSecs, 0);
    assertEquals(0, arguments.settings.runDelaySecs, 0);
    assertEquals(false, arguments.settings.opProfiling);
  }

  @Test
  public void readsAllNames() {
    Arguments arguments = Arguments.parse(
        "--graph=a.tflite --graph=b.tflite\n --num_threads=4 --warmup_runs=3 --num_runs=7 --min_secs=0.5"
            + " --max_secs=12.5 --run_delay=0.25 --enable_op_profiling=true --report_peak_memory_footprint=false"
            + " --external_delegate_options=isa:portable;fuse:0 --output=x.json");
    assertNull(arguments.error);
    assertEquals(List.of("a.tflite", "b.tflite"), arguments.graphs);
    assertEquals(4, arguments.settings.numThreads);
    assertEquals(3, arguments.settings.warmupRuns);
    assertEquals(7, arguments.settings.numRuns);
    assertEquals(0.5, arguments.settings.minSecs, 0);
    assertEquals(12.5, arguments.settings.maxSecs, 0);
    assertEquals(0.25, arguments.settings.runDelaySecs, 0);
    assertTrue(arguments.settings.opProfiling);
    assertEquals("{isa=portable, fuse=0}", arguments.settings.delegateOptions.toString());
    assertEquals("x.json", arguments.output);
  }

  @Test
  public void readsAnAnswer() {
    Arguments arguments = Arguments.parse("--graph=a --input=in.bin --expected=out.bin --tolerance=1e-4");
    assertNull(arguments.error);
    assertEquals("in.bin", arguments.input);
    assertEquals("out.bin", arguments.expected);
    assertEquals(1e-4, arguments.tolerance, 0);
  }

  @Test
  public void quotesHoldSpacesTogether() {
    assertEquals(
        List.of("--graph=a b.tflite", "--num_runs=2"), Arguments.split("--graph='a b.tflite'   --num_runs=2 "));
    assertEquals(List.of("--graph=a b", "--x=1"), Arguments.split("\"--graph=a b\" --x=1"));
  }

  @Test
  public void quotesThatAShellLeftAroundAllGo() {
    assertEquals(List.of("--graph=a", "--num_runs=2"), Arguments.split("\"--graph=a --num_runs=2\""));
  }

  @Test
  public void saysWhatIsWrong() {
    assertError("Which network? Pass --graph=FILE.tflite.", "--num_runs=3");
    assertError("--num_threads must be a whole number from 1 to 256, not \"0\".", "--graph=a --num_threads=0");
    assertError("--num_runs must be a whole number from 1 to 1000000, not \"many\".", "--graph=a --num_runs=many");
    assertError("--max_secs must be a number that is not negative, not \"-1\".", "--graph=a --max_secs=-1");
    assertError("--max_secs must be a number that is not negative, not \"NaN\".", "--graph=a --max_secs=NaN");
    assertError("--enable_op_profiling must be true or false, not \"yes\".", "--graph=a --enable_op_profiling=yes");
    assertError("An argument is --NAME=VALUE, and \"a.tflite\" is not.", "a.tflite --graph=a");
    assertError("--graph has no value.", "--graph=");
    assertError("--input and --expected belong together: pass both or none.", "--graph=a --input=x");
    assertError("--input and --expected are for one --graph, and there are 2.",
        "--graph=a --graph=b --input=x --expected=y");
    String unknown = Arguments.parse("--graph=a --use_gpu=true").error;
    assertTrue(unknown, unknown.startsWith("The argument --use_gpu is unknown; there are graph,"));
  }

  @Test
  public void resultsMayNotGoElsewhere() {
    for (String name : new String[] {"../shared_prefs/settings.xml", "/data/data/x.json", "..", ".x"}) {
      Arguments arguments = Arguments.parse("--graph=a --output=" + name);
      assertNull(arguments.output);
      assertTrue(arguments.error.contains("give the name of a file alone"));
    }
    assertEquals("run 1.json", Arguments.parse("--graph=a '--output=run 1'").output);
  }

  @Test
  public void readsTheOutputThoughAnotherArgumentIsWrong() {
    Arguments arguments = Arguments.parse("--nonsense=1 --graph=a --num_runs=9 --output=x.json");
    assertEquals("x.json", arguments.output);
    assertEquals(9, arguments.settings.numRuns);
    assertTrue(arguments.error.contains("--nonsense"));
  }

  private static void assertError(String message, String text) {
    assertEquals(message, Arguments.parse(text).error);
  }
}
