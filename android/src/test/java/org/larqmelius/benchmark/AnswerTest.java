package org.larqmelius.benchmark;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class AnswerTest {
  private static final Engine.Tensor[] THREE_FLOATS = {new Engine.Tensor("FLOAT32", new int[] {1, 3}, 12)};

  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  /** The expected numbers are those of the same recipe in Python's integers. */
  @Test
  public void seededNumbersArePythons() {
    float[] expected = {-0.5224384069442749f, 0.8269864320755005f, 0.22498321533203125f, 0.8539628982543945f,
        -0.9013177156448364f};
    assertArrayEquals(expected, Answer.seeded(7, 5), 0);
  }

  @Test
  public void tellsTheLargestDifference() throws Exception {
    Answer answer = Answer.ofJson(new JSONObject("{'input': [1, 2], 'expected': [1, -2, 3], 'tolerance': 0.5}"), 2);
    ByteBuffer[] input = Answer.buffers(new Engine.Tensor[] {new Engine.Tensor("FLOAT32", new int[] {2}, 8)});
    answer.fill(input);
    assertEquals(2, input[0].getFloat(4), 0);
    assertEquals(0.25, answer.error(THREE_FLOATS, floats(1.125f, -2.25f, 3)), 0);
    assertEquals(0.5, answer.tolerance(THREE_FLOATS), 0);
    assertTrue(Double.isNaN(answer.error(THREE_FLOATS, floats(Float.NaN, -2, 3))));
  }

  /** The standard deviation of 1, 2, 3 is sqrt(2 / 3). */
  @Test
  public void allowsAThousandthOfTheStandardDeviation() throws Exception {
    Answer answer = Answer.ofJson(new JSONObject("{'input_seed': 1, 'expected': [1, 2, 3]}"), 2);
    assertEquals(1e-3 * Math.sqrt(2.0 / 3) + 1e-5, answer.tolerance(THREE_FLOATS), 1e-12);
  }

  @Test
  public void withoutExpectedNumbersThereIsNone() throws Exception {
    assertNull(Answer.ofJson(new JSONObject("{'input_seed': 1}"), 2));
  }

  @Test
  public void readsFilesOfSeveralTensors() throws Exception {
    Engine.Tensor[] tensors = {
        new Engine.Tensor("INT32", new int[] {1}, 4), new Engine.Tensor("INT8", new int[] {2}, 2)};
    File file = folder.newFile();
    Files.write(file.toPath(), new byte[] {5, 1, 0, 0, -1, 7});
    Answer answer = Answer.ofFiles(file, file, Double.NaN);
    ByteBuffer[] buffers = Answer.buffers(tensors);
    answer.fill(buffers);
    assertEquals(261, buffers[0].getInt(0));
    assertEquals(0, answer.error(tensors, buffers), 0);
    buffers[1].put(0, (byte) 3);
    assertEquals(4, answer.error(tensors, buffers), 0);
  }

  @Test
  public void aWrongLengthIsAnError() throws Exception {
    Answer answer = Answer.ofJson(new JSONObject("{'input': [1], 'expected': [1, 2]}"), 2);
    Exception error = assertThrows(
        IllegalArgumentException.class, () -> answer.fill(floats(0, 0, 0)));
    assertEquals("The input of the stored answer has 4 bytes, the network's has 12.", error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> answer.error(THREE_FLOATS, floats(1, 2, 3)));
  }

  @Test
  public void randomInputsAreOfTheirType() {
    Engine.Tensor[] tensors = {
        new Engine.Tensor("FLOAT32", new int[] {1000}, 4000), new Engine.Tensor("BOOL", new int[] {9}, 9)};
    ByteBuffer[] buffers = Answer.buffers(tensors);
    Answer.fillRandomly(tensors, buffers);
    double squares = 0;
    for (int i = 0; i < 1000; ++i) {
      squares += buffers[0].getFloat(4 * i) * buffers[0].getFloat(4 * i);
    }
    assertEquals(1, squares / 1000, 0.2);
    for (int i = 0; i < 9; ++i) {
      assertTrue(buffers[1].get(i) == 0 || buffers[1].get(i) == 1);
    }
  }

  private static ByteBuffer[] floats(float... values) {
    ByteBuffer buffer = ByteBuffer.allocateDirect(4 * values.length).order(ByteOrder.nativeOrder());
    for (float value : values) {
      buffer.putFloat(value);
    }
    return new ByteBuffer[] {buffer};
  }
}
