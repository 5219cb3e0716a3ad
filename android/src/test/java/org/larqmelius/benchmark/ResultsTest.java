package org.larqmelius.benchmark;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ResultsTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  /** The expected numbers are NumPy's of the same samples. */
  @Test
  public void holdsTheStatisticsOfTheSamples() throws Exception {
    JSONObject model = results().toJson().getJSONArray("models").getJSONObject(0);
    assertEquals(7, model.getJSONArray("samples_ms").length());
    assertEquals(12.09, model.getDouble("min_ms"), 0);
    assertEquals(16.224285714285717, model.getDouble("mean_ms"), 1e-12);
    assertEquals(12.3, model.getDouble("median_ms"), 1e-12);
    assertEquals(23.53000000000001, model.getDouble("p90_ms"), 1e-12);
    assertEquals(38.35299999999999, model.getDouble("p99_ms"), 1e-12);
    assertEquals(9.707736027288247, model.getDouble("std_ms"), 1e-12);
    assertEquals(0.75, model.getDouble("binary_share"), 1e-12);
    assertEquals("runtime", model.getJSONArray("profile").getJSONObject(1).getString("runner"));
  }

  @Test
  public void whatIsUnknownIsNull() throws Exception {
    JSONObject model = results().toJson().getJSONArray("models").getJSONObject(1);
    for (String key : new String[] {"sha256", "bytes", "runtime_version", "delegate_isa", "output_max_error", "load_ms",
        "first_ms", "min_ms", "mean_ms", "median_ms", "p90_ms", "p99_ms", "std_ms", "memory_before_bytes",
        "memory_peak_bytes", "claimed_operators", "binary_share"}) {
      assertTrue(key, model.has(key));
      assertTrue(key, model.isNull(key));
    }
    assertEquals("No such file", model.getString("error"));
  }

  @Test
  public void suitsTheSchema() throws Exception {
    Schema.check(results().toJson().toString());
  }

  @Test
  public void comesBackFromItsFile() throws Exception {
    File file = new File(folder.getRoot(), "results/a.json");
    results().write(file);
    Results read = Results.read(file);
    assertEquals(results().toJson().toString(2), read.toJson().toString(2));
    assertArrayEquals(results().models.get(0).samplesMs, read.models.get(0).samplesMs, 0);
    assertArrayEquals(new String[] {"a.json"}, file.getParentFile().list());
  }

  @Test
  public void aFileThatCannotBeWrittenIsLeftAsItWas() throws Exception {
    File blocked = folder.newFile("blocked");
    Files.writeString(blocked.toPath(), "mine");
    assertThrows(IOException.class, () -> results().write(new File(blocked, "a.json")));
    assertEquals("mine", Files.readString(blocked.toPath()));
  }

  @Test
  public void anotherVersionIsAnError() throws Exception {
    JSONObject json = results().toJson().put("schema_version", 2);
    assertThrows(JSONException.class, () -> Results.fromJson(json));
  }

  @Test
  public void errorsAreOneLine() {
    assertEquals("a b c", Results.oneLine(new RuntimeException("a\n  b\r\nc\n")));
    assertEquals("IllegalStateException", Results.oneLine(new IllegalStateException()));
    assertEquals("Out of memory.", Results.oneLine(new OutOfMemoryError()));
  }

  @Test
  public void timeIsUtc() {
    assertTrue(Results.now().matches("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ"));
    assertFalse(Results.now().isEmpty());
  }

  private static Results results() throws JSONException {
    Results results = new Results();
    results.created = "2026-01-31T12:00:00Z";
    results.toolVersion = "0.1.0";
    results.device = new JSONObject()
        .put("manufacturer", "Example").put("model", JSONObject.NULL).put("soc", JSONObject.NULL)
        .put("android_release", "15").put("android_sdk", 35).put("abi", "arm64-v8a").put("cores", 9)
        .put("core_max_mhz", new JSONArray().put(JSONObject.NULL).put(1704.5)).put("memory_bytes", 7900000000L);
    results.stateBefore = new JSONObject()
        .put("thermal_status", JSONObject.NULL).put("hottest_zone_c", 38.2).put("core_mhz", new JSONArray())
        .put("battery_percent", 81).put("battery_c", 29.5).put("charging", true);
    results.stateAfter = results.stateBefore;
    results.settings = new Settings().toJson(new JSONArray().put(0).put(1));
    Results.ModelResult good = new Results.ModelResult();
    good.name = "MeliusNetC";
    good.sha256 = "00ff";
    good.bytes = 4750000;
    good.runtimeVersion = "2.16.1";
    good.delegateVersion = "0.1.0";
    good.delegateIsa = "neon";
    good.outputCheck = "passed";
    good.outputMaxError = 1.25e-5;
    good.loadMs = 31.5;
    good.firstMs = 15.25;
    good.samplesMs = new double[] {12.41, 12.12, 12.09, 12.55, 12.1, 40.0, 12.3};
    good.memoryBeforeBytes = 1L << 33;
    good.memoryPeakBytes = 1L << 34;
    good.claimedOperators = 68;
    good.profile.add(new Results.Operator("LceBconv2d", true, true, 1, 9));
    good.profile.add(new Results.Operator("other operators", false, false, 3, 3));
    Results.ModelResult bad = new Results.ModelResult();
    bad.name = "broken";
    bad.error = "No such file";
    results.models.add(good);
    results.models.add(bad);
    return results;
  }
}
