package org.larqmelius.benchmark;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** An input of a network and the output that it must have. */
final class Answer {
  private final byte[] input;
  private final byte[] expected;
  private final double tolerance;

  private Answer(byte[] input, byte[] expected, double tolerance) {
    this.input = input;
    this.expected = expected;
    this.tolerance = tolerance;
  }

  /** Of two files of raw little-endian numbers, all inputs (outputs) one after the other. */
  static Answer ofFiles(File input, File expected, double tolerance) throws IOException {
    return new Answer(readFile(input), readFile(expected), tolerance);
  }

  private static byte[] readFile(File file) throws IOException {
    try (InputStream stream = new FileInputStream(file)) {
      return Results.readAll(stream);
    }
  }

  /**
   * Of the JSON beside a bundled network of 32-bit numbers; null if it has none.
   *
   * @param inputs how many numbers the input has, for those that are made from a seed
   */
  static Answer ofJson(JSONObject json, int inputs) throws JSONException {
    if (!json.has("expected")) {
      return null;
    }
    double tolerance = json.optDouble("tolerance");
    byte[] expected = bytes(floats(json.getJSONArray("expected")));
    if (json.has("input")) {
      return new Answer(bytes(floats(json.getJSONArray("input"))), expected, tolerance);
    }
    return new Answer(bytes(seeded(json.getLong("input_seed"), inputs)), expected, tolerance);
  }

  /** Numbers from -1 to 1 that Python and Java make alike: 24 bits each of a linear congruential generator. */
  static float[] seeded(long seed, int count) {
    float[] values = new float[count];
    long x = seed & 0xffffffffL;
    for (int i = 0; i < count; ++i) {
      x = (x * 1664525 + 1013904223) & 0xffffffffL;
      values[i] = (x >> 8) / 8388608f - 1;
    }
    return values;
  }

  /** Direct buffers for tensors, of zeros. */
  static ByteBuffer[] buffers(Engine.Tensor[] tensors) {
    ByteBuffer[] buffers = new ByteBuffer[tensors.length];
    for (int i = 0; i < tensors.length; ++i) {
      buffers[i] = ByteBuffer.allocateDirect(tensors[i].bytes).order(ByteOrder.nativeOrder());
    }
    return buffers;
  }

  /** Fills inputs for which there is no answer: normal numbers, or whole ones of the input's type. */
  static void fillRandomly(Engine.Tensor[] tensors, ByteBuffer[] buffers) {
    Random random = new Random(0);
    for (int i = 0; i < tensors.length; ++i) {
      buffers[i].rewind();
      int size = size(tensors[i].type);
      while (buffers[i].hasRemaining()) {
        if (tensors[i].type.equals("FLOAT32")) {
          buffers[i].putFloat((float) random.nextGaussian());
        } else if (size == 4) {
          buffers[i].putInt(random.nextInt(128));
        } else if (size == 8) {
          buffers[i].putLong(random.nextInt(128));
        } else {
          buffers[i].put((byte) random.nextInt(tensors[i].type.equals("BOOL") ? 2 : 128));
        }
      }
    }
  }

  /** Puts the input into buffers. */
  void fill(ByteBuffer[] buffers) {
    distribute(input, buffers, "The input of the stored answer");
  }

  private static void distribute(byte[] bytes, ByteBuffer[] buffers, String what) {
    int wanted = 0;
    for (ByteBuffer buffer : buffers) {
      wanted += buffer.capacity();
    }
    if (bytes.length != wanted) {
      throw new IllegalArgumentException(what + " has " + bytes.length + " bytes, the network's has " + wanted + ".");
    }
    int start = 0;
    for (ByteBuffer buffer : buffers) {
      buffer.rewind();
      buffer.put(bytes, start, buffer.capacity());
      start += buffer.capacity();
    }
  }

  /** The largest difference between what a network put out and what it should have. NaN if there is a NaN. */
  double error(Engine.Tensor[] tensors, ByteBuffer[] outputs) {
    ByteBuffer[] wanted = buffers(tensors);
    distribute(expected, wanted, "The output of the stored answer");
    double largest = 0;
    for (int i = 0; i < tensors.length; ++i) {
      for (int at = 0; at < tensors[i].bytes; at += size(tensors[i].type)) {
        double error = Math.abs(number(tensors[i].type, outputs[i], at) - number(tensors[i].type, wanted[i], at));
        largest = Double.isNaN(error) || error > largest ? error : largest;
        if (Double.isNaN(largest)) {
          return largest;
        }
      }
    }
    return largest;
  }

  /** The error that is allowed: what was given, or by default a thousandth of the output's standard deviation. */
  double tolerance(Engine.Tensor[] tensors) {
    if (!Double.isNaN(tolerance)) {
      return tolerance;
    }
    ByteBuffer[] wanted = buffers(tensors);
    distribute(expected, wanted, "The output of the stored answer");
    int count = 0;
    for (Engine.Tensor tensor : tensors) {
      count += tensor.bytes / size(tensor.type);
    }
    double[] values = new double[count];
    count = 0;
    for (int i = 0; i < tensors.length; ++i) {
      for (int at = 0; at < tensors[i].bytes; at += size(tensors[i].type)) {
        values[count++] = number(tensors[i].type, wanted[i], at);
      }
    }
    return 1e-3 * new Statistics(values).std() + 1e-5;
  }

  private static int size(String type) {
    switch (type) {
      case "FLOAT32":
      case "INT32":
        return 4;
      case "INT64":
        return 8;
      case "INT8":
      case "UINT8":
      case "BOOL":
        return 1;
      default:
        throw new IllegalArgumentException("Tensors of type " + type + " are not supported.");
    }
  }

  private static double number(String type, ByteBuffer buffer, int at) {
    switch (type) {
      case "FLOAT32":
        return buffer.getFloat(at);
      case "INT32":
        return buffer.getInt(at);
      case "INT64":
        return buffer.getLong(at);
      case "INT8":
        return buffer.get(at);
      default:
        return buffer.get(at) & 0xff;
    }
  }

  static float[] floats(JSONArray array) throws JSONException {
    float[] values = new float[array.length()];
    for (int i = 0; i < values.length; ++i) {
      values[i] = (float) array.getDouble(i);
    }
    return values;
  }

  private static byte[] bytes(float[] values) {
    ByteBuffer buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.nativeOrder());
    for (float value : values) {
      buffer.putFloat(value);
    }
    return buffer.array();
  }
}
