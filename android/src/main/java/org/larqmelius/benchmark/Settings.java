package org.larqmelius.benchmark;

import java.util.LinkedHashMap;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** How networks are measured: the parameters of TensorFlow Lite's benchmark_model, of the same names and defaults. */
final class Settings {
  static final int MOST_THREADS = 256;
  static final int MOST_RUNS = 1000000;

  int numThreads = 1;
  int warmupRuns = 1;
  int numRuns = 50;

  /** Runs go on beyond numRuns until this long after the first, s. benchmark_model's default is 1. */
  double minSecs = 0;

  /** No measured run starts later than this after the first, s. */
  double maxSecs = 150;

  /** Pause between runs, s. */
  double runDelaySecs = 0;

  /** Whether operators are timed too, in runs of their own. */
  boolean opProfiling = false;

  /** Options of the delegate, such as isa=portable. */
  final Map<String, String> delegateOptions = new LinkedHashMap<>();

  /** The settings as the results have them, with the cores that the process may run on. */
  JSONObject toJson(JSONArray affinity) throws JSONException {
    return new JSONObject()
        .put("num_threads", numThreads)
        .put("warmup_runs", warmupRuns)
        .put("num_runs", numRuns)
        .put("max_secs", maxSecs)
        .put("run_delay_secs", runDelaySecs)
        .put("op_profiling", opProfiling)
        .put("affinity", affinity);
  }
}
