package org.larqmelius.benchmark;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.TimeZone;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * The results of one run, as benchmarks/devices/schema.json of the project describes them.
 *
 * <p>An unknown number is NaN here and null there; an unknown count is -1 and null.
 */
final class Results {
  static final int SCHEMA_VERSION = 1;
  static final String TOOL = "org.larqmelius.benchmark";

  String created = "";
  String toolVersion = "";
  JSONObject device = new JSONObject();
  JSONObject stateBefore = new JSONObject();
  JSONObject stateAfter = new JSONObject();
  JSONObject settings = new JSONObject();
  final List<ModelResult> models = new ArrayList<>();
  String error;

  /** What one network costs, or why that is not known. */
  static final class ModelResult {
    String name = "";
    String sha256;
    long bytes = -1;
    String runtimeVersion;
    String delegateVersion;
    String delegateIsa;
    String outputCheck = "not_checked";
    double outputMaxError = Double.NaN;
    double loadMs = Double.NaN;
    double firstMs = Double.NaN;
    double[] samplesMs = {};
    long memoryBeforeBytes = -1;
    long memoryPeakBytes = -1;
    int claimedOperators = -1;
    final List<Operator> profile = new ArrayList<>();
    String error;

    boolean measured() {
      return samplesMs.length > 0;
    }

    /** Of a measured network only. */
    Statistics statistics() {
      return new Statistics(samplesMs);
    }

    /** Share of the profiled time that binary operators take; NaN without a profile. */
    double binaryShare() {
      double binary = 0;
      double all = 0;
      for (Operator operator : profile) {
        all += operator.minMs;
        binary += operator.binary ? operator.minMs : 0;
      }
      return all > 0 ? binary / all : Double.NaN;
    }

    JSONObject toJson() throws JSONException {
      JSONObject json = new JSONObject()
          .put("name", name)
          .put("sha256", orNull(sha256))
          .put("bytes", count(bytes))
          .put("runtime", "tflite")
          .put("runtime_version", orNull(runtimeVersion))
          .put("delegate_version", orNull(delegateVersion))
          .put("delegate_isa", orNull(delegateIsa))
          .put("output_check", outputCheck)
          .put("output_max_error", number(outputMaxError))
          .put("load_ms", number(loadMs))
          .put("first_ms", number(firstMs));
      JSONArray samples = new JSONArray();
      for (double sample : samplesMs) {
        samples.put(sample);
      }
      Statistics statistics = measured() ? statistics() : null;
      json.put("samples_ms", samples)
          .put("min_ms", statistics == null ? JSONObject.NULL : number(statistics.min()))
          .put("mean_ms", statistics == null ? JSONObject.NULL : number(statistics.mean()))
          .put("median_ms", statistics == null ? JSONObject.NULL : number(statistics.median()))
          .put("p90_ms", statistics == null ? JSONObject.NULL : number(statistics.quantile(0.9)))
          .put("p99_ms", statistics == null ? JSONObject.NULL : number(statistics.quantile(0.99)))
          .put("std_ms", statistics == null ? JSONObject.NULL : number(statistics.std()))
          .put("memory_before_bytes", count(memoryBeforeBytes))
          .put("memory_peak_bytes", count(memoryPeakBytes))
          .put("claimed_operators", count(claimedOperators))
          .put("binary_share", number(binaryShare()));
      JSONArray operators = new JSONArray();
      for (Operator operator : profile) {
        operators.put(operator.toJson());
      }
      return json.put("profile", operators).put("error", orNull(error));
    }

    static ModelResult fromJson(JSONObject json) throws JSONException {
      ModelResult result = new ModelResult();
      result.name = json.getString("name");
      result.sha256 = text(json, "sha256");
      result.bytes = json.optLong("bytes", -1);
      result.runtimeVersion = text(json, "runtime_version");
      result.delegateVersion = text(json, "delegate_version");
      result.delegateIsa = text(json, "delegate_isa");
      result.outputCheck = json.getString("output_check");
      result.outputMaxError = json.optDouble("output_max_error");
      result.loadMs = json.optDouble("load_ms");
      result.firstMs = json.optDouble("first_ms");
      JSONArray samples = json.getJSONArray("samples_ms");
      result.samplesMs = new double[samples.length()];
      for (int i = 0; i < samples.length(); ++i) {
        result.samplesMs[i] = samples.getDouble(i);
      }
      result.memoryBeforeBytes = json.optLong("memory_before_bytes", -1);
      result.memoryPeakBytes = json.optLong("memory_peak_bytes", -1);
      result.claimedOperators = json.optInt("claimed_operators", -1);
      JSONArray operators = json.getJSONArray("profile");
      for (int i = 0; i < operators.length(); ++i) {
        result.profile.add(Operator.fromJson(operators.getJSONObject(i)));
      }
      result.error = text(json, "error");
      return result;
    }
  }

  /** The time of one operator, or of several that run as one. */
  static final class Operator {
    final String name;
    final boolean delegated;
    final boolean binary;
    final int count;
    final double minMs;

    Operator(String name, boolean delegated, boolean binary, int count, double minMs) {
      this.name = name;
      this.delegated = delegated;
      this.binary = binary;
      this.count = count;
      this.minMs = minMs;
    }

    JSONObject toJson() throws JSONException {
      return new JSONObject()
          .put("name", name)
          .put("runner", delegated ? "delegate" : "runtime")
          .put("binary", binary)
          .put("count", count)
          .put("min_ms", number(minMs));
    }

    static Operator fromJson(JSONObject json) throws JSONException {
      return new Operator(
          json.getString("name"),
          json.getString("runner").equals("delegate"),
          json.getBoolean("binary"),
          json.getInt("count"),
          json.getDouble("min_ms"));
    }
  }

  JSONObject toJson() throws JSONException {
    JSONArray list = new JSONArray();
    for (ModelResult model : models) {
      list.put(model.toJson());
    }
    return new JSONObject()
        .put("schema_version", SCHEMA_VERSION)
        .put("created", created)
        .put("tool", TOOL)
        .put("tool_version", toolVersion)
        .put("device", device)
        .put("state_before", stateBefore)
        .put("state_after", stateAfter)
        .put("settings", settings)
        .put("models", list)
        .put("error", orNull(error));
  }

  static Results fromJson(JSONObject json) throws JSONException {
    if (json.getInt("schema_version") != SCHEMA_VERSION) {
      throw new JSONException("Version " + json.getInt("schema_version") + " of the schema is unknown.");
    }
    Results results = new Results();
    results.created = json.getString("created");
    results.toolVersion = json.getString("tool_version");
    results.device = json.getJSONObject("device");
    results.stateBefore = json.getJSONObject("state_before");
    results.stateAfter = json.getJSONObject("state_after");
    results.settings = json.getJSONObject("settings");
    JSONArray models = json.getJSONArray("models");
    for (int i = 0; i < models.length(); ++i) {
      results.models.add(ModelResult.fromJson(models.getJSONObject(i)));
    }
    results.error = text(json, "error");
    return results;
  }

  /** Writes them whole or not at all: to a temporary file, which is then renamed. */
  void write(File file) throws IOException {
    File folder = file.getParentFile();
    if (!folder.isDirectory() && !folder.mkdirs()) {
      throw new IOException("The folder " + folder + " could not be made.");
    }
    File temporary = new File(folder, file.getName() + ".new");
    try {
      try (FileOutputStream stream = new FileOutputStream(temporary)) {
        stream.write(toJson().toString(2).getBytes(StandardCharsets.UTF_8));
        stream.getFD().sync();
      }
      if (!temporary.renameTo(file)) {
        throw new IOException("The file " + file + " could not be written.");
      }
    } catch (JSONException exception) {
      throw new IOException(exception);
    } finally {
      temporary.delete();
    }
  }

  static Results read(File file) throws IOException, JSONException {
    try (InputStream stream = new FileInputStream(file)) {
      return fromJson(new JSONObject(new String(readAll(stream), StandardCharsets.UTF_8)));
    }
  }

  static byte[] readAll(InputStream stream) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    byte[] buffer = new byte[1 << 16];
    for (int read = stream.read(buffer); read >= 0; read = stream.read(buffer)) {
      bytes.write(buffer, 0, read);
    }
    return bytes.toByteArray();
  }

  /** Now, as results have it: 2026-01-31T12:00:00Z. */
  static String now() {
    SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
    format.setTimeZone(TimeZone.getTimeZone("UTC"));
    return format.format(new Date());
  }

  /** An exception in one line. */
  static String oneLine(Throwable exception) {
    String message = exception.getMessage();
    if (message == null || message.trim().isEmpty()) {
      message = exception instanceof OutOfMemoryError ? "Out of memory." : exception.getClass().getSimpleName();
    }
    return message.trim().replaceAll("\\s*[\\r\\n]+\\s*", " ");
  }

  static Object number(double value) {
    return Double.isNaN(value) || Double.isInfinite(value) ? JSONObject.NULL : (Object) value;
  }

  static Object count(long value) {
    return value < 0 ? JSONObject.NULL : (Object) value;
  }

  static Object orNull(String text) {
    return text == null ? JSONObject.NULL : text;
  }

  static String text(JSONObject json, String key) {
    return json.isNull(key) ? null : json.optString(key);
  }
}
