package org.larqmelius.benchmark;

import android.util.Log;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.json.JSONException;

/**
 * Measures networks, one after the other, in a thread of its own.
 *
 * <p>Each is opened, compared with its stored answer, warmed up, and timed; then, if asked for, opened again to time
 * its operators, so that this does not slow what is measured.
 */
final class BenchmarkRun {
  /** The tag of benchmark_model's lines in the log. */
  static final String TAG = "tflite";

  private static final int PROFILED_RUNS = 30;

  /** Drawing progress takes processor time from what is measured: it is told twice a second. */
  private static final long PROGRESS_NANOS = 500000000L;

  /** What a run does at a moment. */
  enum Phase { OPENING, CHECKING, WARMING_UP, MEASURING, PROFILING, DONE }

  /** How far a run is. */
  static final class Progress {
    final Phase phase;
    final String model;
    final int modelIndex;
    final int models;
    final int runs;
    final int allRuns;

    Progress(Phase phase, String model, int modelIndex, int models, int runs, int allRuns) {
      this.phase = phase;
      this.model = model;
      this.modelIndex = modelIndex;
      this.models = models;
      this.runs = runs;
      this.allRuns = allRuns;
    }

    /** From 0 to 1. */
    double share() {
      double within = phase == Phase.PROFILING ? 0.95 : phase == Phase.MEASURING ? 0.1 + 0.85 * runs / allRuns : 0.05;
      return phase == Phase.DONE ? 1 : (modelIndex + Math.min(1, within)) / models;
    }
  }

  /** Is told, in the run's thread, what happens. */
  interface Observer {
    void onProgress(BenchmarkRun run, Progress progress);

    /** After each network, and at the end with {@code last}. */
    void onResults(BenchmarkRun run, Results results, boolean last);
  }

  private final Engine engine;
  private final Models library;
  private final DeviceInfo device;
  private final List<Models.Model> models;
  private final Settings settings;
  private final String version;
  private final Observer observer;

  private volatile boolean stopped;
  private volatile Progress progress;
  private boolean paused;
  private int pauses;
  private long pausedNanos;
  private long lastProgress;

  BenchmarkRun(
      Engine engine,
      Models library,
      DeviceInfo device,
      List<Models.Model> models,
      Settings settings,
      String version,
      Observer observer) {
    this.engine = engine;
    this.library = library;
    this.device = device;
    this.models = new ArrayList<>(models);
    this.settings = settings;
    this.version = version;
    this.observer = observer;
    progress = new Progress(Phase.OPENING, models.get(0).name, 0, models.size(), 0, settings.numRuns);
  }

  void start() {
    new Thread("benchmark") {
      @Override
      public void run() {
        measureAll();
      }
    }.start();
  }

  /** Ends it after the inference that is under way. What was measured is kept. */
  void stop() {
    synchronized (this) {
      stopped = true;
      notifyAll();
    }
  }

  boolean isStopped() {
    return stopped;
  }

  /** Holds it after the inference that is under way, which then does not count: in the background it is slowed. */
  synchronized void setPaused(boolean value) {
    if (value && !paused) {
      ++pauses;
    }
    paused = value;
    notifyAll();
  }

  synchronized boolean isPaused() {
    return paused;
  }

  Progress progress() {
    return progress;
  }

  private void measureAll() {
    Results results = new Results();
    results.created = Results.now();
    results.toolVersion = version;
    try {
      results.device = device.device();
      results.stateBefore = device.state();
      results.stateAfter = results.stateBefore;
      results.settings = settings.toJson(device.affinity());
      // Stays if the process is ended: results are stored after each network.
      results.error = "The app was ended before the run was.";
      for (int i = 0; i < models.size() && !stopped; ++i) {
        Results.ModelResult result = new Results.ModelResult();
        result.name = models.get(i).name;
        result.delegateVersion = version;
        results.models.add(result);
        try {
          result.runtimeVersion = engine.version();
          measure(i, result);
        } catch (IOException | JSONException | RuntimeException | LinkageError | OutOfMemoryError exception) {
          result.error = Results.oneLine(exception);
        }
        if (result.error != null) {
          Log.e(TAG, "Error: " + result.name + ": " + result.error);
        }
        results.stateAfter = device.state();
        if (i + 1 < models.size() && !stopped) {
          observer.onResults(this, results, false);
        }
      }
      results.error = stopped && results.models.size() < models.size()
          ? "Stopped after " + results.models.size() + " of " + models.size() + " networks."
          : null;
    } catch (JSONException | RuntimeException | LinkageError exception) {
      results.error = Results.oneLine(exception);
      Log.e(TAG, "Error: " + results.error);
    }
    progress = new Progress(Phase.DONE, "", models.size(), models.size(), 0, 0);
    observer.onResults(this, results, true);
  }

  private void measure(int index, Results.ModelResult result) throws IOException, JSONException {
    Models.Model model = models.get(index);
    tell(Phase.OPENING, index, 0, 0, true);
    File file = library.file(model);
    if (!file.isFile() || !file.canRead()) {
      throw new IOException(file + " is not there, or may not be read.");
    }
    result.bytes = file.length();
    result.sha256 = Models.sha256(file);
    device.resetPeakMemory();
    result.memoryBeforeBytes = device.peakMemory();
    long start = System.nanoTime();
    try (Engine.Network network = engine.open(file, settings, false)) {
      result.loadMs = (System.nanoTime() - start) / 1e6;
      result.claimedOperators = network.claimedOperators();
      if (result.claimedOperators > 0) {
        result.delegateIsa = Profile.parse(network.plan()).isa;
      }
      Engine.Tensor[] inputTensors = network.inputs();
      Engine.Tensor[] outputTensors = network.outputs();
      ByteBuffer[] inputs = Answer.buffers(inputTensors);
      ByteBuffer[] outputs = Answer.buffers(outputTensors);
      if (check(index, result, network, inputTensors, inputs, outputTensors, outputs)) {
        time(index, result, network, inputs, outputs);
        result.memoryPeakBytes = device.peakMemory();
      }
    }
    if (settings.opProfiling && result.error == null) {
      profile(index, file, result);
    }
  }

  /** Fills the inputs and, where there is an answer, compares the outputs with it. Whether all is well. */
  private boolean check(
      int index,
      Results.ModelResult result,
      Engine.Network network,
      Engine.Tensor[] inputTensors,
      ByteBuffer[] inputs,
      Engine.Tensor[] outputTensors,
      ByteBuffer[] outputs)
      throws JSONException {
    Models.Model model = models.get(index);
    Answer answer = model.answer;
    if (answer == null && model.bundled()) {
      answer = Answer.ofJson(model.description, inputTensors[0].bytes / 4);
    }
    if (answer == null) {
      Answer.fillRandomly(inputTensors, inputs);
      return true;
    }
    tell(Phase.CHECKING, index, 0, 0, true);
    answer.fill(inputs);
    result.firstMs = network.run(inputs, outputs) / 1e6;
    double error = answer.error(outputTensors, outputs);
    double tolerance = answer.tolerance(outputTensors);
    result.outputMaxError = error;
    if (error <= tolerance) {
      result.outputCheck = "passed";
      return true;
    }
    result.outputCheck = "failed";
    result.error = String.format(
        Locale.ROOT,
        "Not timed: its output differs from the stored answer by %s, and %s is allowed.",
        Double.isNaN(error) ? "what is not a number" : Statistics.sixDigits(error),
        Statistics.sixDigits(tolerance));
    return false;
  }

  private void time(
      int index, Results.ModelResult result, Engine.Network network, ByteBuffer[] inputs, ByteBuffer[] outputs) {
    double[] warmup = new double[settings.warmupRuns];
    int warm = 0;
    while (warm < warmup.length && waitToRun(warm > 0)) {
      tell(Phase.WARMING_UP, index, warm, warmup.length, false);
      warmup[warm++] = network.run(inputs, outputs) / 1e6;
    }
    double[] samples = new double[Math.min(settings.numRuns, 1024)];
    int count = 0;
    long began = System.nanoTime();
    long pausedBefore = pausedNanos;
    while (waitToRun(warm + count > 0)) {
      double seconds = (System.nanoTime() - began - (pausedNanos - pausedBefore)) / 1e9;
      boolean more = count < settings.numRuns || seconds < settings.minSecs;
      if (count > 0 && (!more || seconds > settings.maxSecs)) {
        break;
      }
      tell(Phase.MEASURING, index, Math.min(count, settings.numRuns - 1), settings.numRuns, false);
      int pausesBefore = pauses();
      double milliseconds = network.run(inputs, outputs) / 1e6;
      if (pausesBefore != pauses()) {
        continue;
      }
      if (count == samples.length) {
        samples = Arrays.copyOf(samples, 2 * count);
      }
      samples[count++] = milliseconds;
    }
    result.samplesMs = Arrays.copyOf(samples, count);
    if (Double.isNaN(result.firstMs)) {
      result.firstMs = warm > 0 ? warmup[0] : count > 0 ? samples[0] : Double.NaN;
    }
    if (stopped && count < settings.numRuns) {
      result.error = "Stopped after " + count + " of " + settings.numRuns + " runs.";
    }
    if (count > 0) {
      double average = warm > 0 ? new Statistics(Arrays.copyOf(warmup, warm)).mean() : result.firstMs;
      Log.i(TAG, Statistics.resultLine(
          Math.round(result.loadMs * 1000),
          Math.round(result.firstMs * 1000),
          average * 1000,
          result.statistics().mean() * 1000));
    }
  }

  private void profile(int index, File file, Results.ModelResult result) {
    tell(Phase.PROFILING, index, 0, PROFILED_RUNS, true);
    try (Engine.Network network = engine.open(file, settings, true)) {
      ByteBuffer[] inputs = Answer.buffers(network.inputs());
      ByteBuffer[] outputs = Answer.buffers(network.outputs());
      Answer.fillRandomly(network.inputs(), inputs);
      double least = Double.POSITIVE_INFINITY;
      long began = System.nanoTime();
      for (int i = 0; i < PROFILED_RUNS && waitToRun(false); ++i) {
        if (i > 0 && (System.nanoTime() - began) / 1e9 > settings.maxSecs) {
          break;
        }
        least = Math.min(least, network.run(inputs, outputs) / 1e6);
      }
      if (Double.isInfinite(least)) {
        return;
      }
      Profile profile = Profile.parse(network.plan());
      double rest = least;
      for (Results.Operator operator : profile.operators) {
        rest -= operator.minMs;
      }
      result.profile.addAll(profile.operators);
      // TensorFlow Lite's Java interface does not tell the times of the operators that are left to it.
      result.profile.add(new Results.Operator("other operators", false, false, 1, Math.max(0, rest)));
    }
  }

  /** Waits while the run is paused, and for the delay between two runs. Whether it goes on. */
  private synchronized boolean waitToRun(boolean delay) {
    try {
      long end = System.nanoTime() + (delay ? (long) (settings.runDelaySecs * 1e9) : 0);
      for (long left = end - System.nanoTime(); delay && left > 0 && !stopped; left = end - System.nanoTime()) {
        wait(left / 1000000, (int) (left % 1000000));
      }
      long pauseBegan = System.nanoTime();
      while (paused && !stopped) {
        wait();
      }
      pausedNanos += System.nanoTime() - pauseBegan;
    } catch (InterruptedException exception) {
      stopped = true;
    }
    return !stopped;
  }

  private synchronized int pauses() {
    return pauses;
  }

  private void tell(Phase phase, int index, int runs, int allRuns, boolean now) {
    progress = new Progress(phase, models.get(index).name, index, models.size(), runs, allRuns);
    long time = System.nanoTime();
    if (now || time - lastProgress > PROGRESS_NANOS) {
      lastProgress = time;
      observer.onProgress(this, progress);
    }
  }
}
