package org.larqmelius.benchmark;

import android.content.Context;
import android.content.pm.PackageManager;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.json.JSONException;

/**
 * What outlives an activity: the run that is under way, and the last results.
 *
 * <p>The results are also in a file, from which a new process has them.
 */
final class Session implements BenchmarkRun.Observer {
  /** Is told, in the main thread, that the run or the results changed. */
  interface Listener {
    void onSessionChanged();
  }

  /** Takes, in the main thread, what came of a task. What goes wrong becomes the session's message. */
  interface Answered<T> {
    void onAnswer(T answer);
  }

  private static Session instance;

  final Models models;
  final DeviceInfo device;
  private final Engine engine;
  private final Context context;
  private final File lastResults;
  private final Handler main = new Handler(Looper.getMainLooper());
  private final ExecutorService tasks = Executors.newSingleThreadExecutor();
  private final Runnable change = new Runnable() {
    @Override
    public void run() {
      if (listener != null) {
        listener.onSessionChanged();
      }
    }
  };

  private Listener listener;
  private String message;
  private int additions;
  private volatile BenchmarkRun run;
  private volatile Results results;
  private volatile String output;
  private volatile boolean runsInBackground;

  Session(Context context, Engine engine, DeviceInfo device) {
    this.context = context.getApplicationContext();
    this.engine = engine;
    this.device = device;
    models = new Models(context);
    lastResults = new File(this.context.getFilesDir(), "last.json");
    if (lastResults.isFile()) {
      try {
        results = Results.read(lastResults);
      } catch (IOException | JSONException exception) {
        lastResults.delete(); // Of another version of the app, or damaged: as if there were none.
      }
    }
  }

  static synchronized Session of(Context context) {
    if (instance == null) {
      instance = new Session(context, new TfLiteEngine(), new DeviceInfo(context, new File("/")));
    }
    return instance;
  }

  /** Puts another one in its place, as tests do; null makes a new one at the next need. */
  static synchronized void replace(Session session) {
    instance = session;
  }

  void setListener(Listener listener) {
    this.listener = listener;
  }

  /** What the user is told of a mistake, or of what failed; null for nothing. */
  String message() {
    return message;
  }

  void say(String text) {
    message = text;
    main.post(change);
  }

  /** How many networks have been added: with more of them, their list is another. */
  int additions() {
    return additions;
  }

  /** The version of larq-melius, which is the app's. */
  String version() {
    try {
      return context.getPackageManager().getPackageInfo(context.getPackageName(), 0).versionName;
    } catch (PackageManager.NameNotFoundException exception) {
      throw new IllegalStateException(exception); // It is this very package.
    }
  }

  boolean isRunning() {
    return run != null;
  }

  /** Of the run that is under way; null without one. */
  BenchmarkRun.Progress progress() {
    BenchmarkRun current = run;
    return current == null ? null : current.progress();
  }

  boolean isStopping() {
    BenchmarkRun current = run;
    return current != null && current.isStopped();
  }

  /** The last results, the run's so far while one is under way; null without any. */
  Results results() {
    return results;
  }

  /** A file with the last results to share. */
  File resultsFile() {
    return lastResults;
  }

  /**
   * Starts a run.
   *
   * @param outputName name of the file of results; null for one with the time
   * @param inBackground whether it goes on while the app is not seen, as a run that a script started does
   */
  void start(List<Models.Model> chosen, Settings settings, String outputName, boolean inBackground) {
    if (run != null) {
      throw new IllegalStateException("A run is under way.");
    }
    output = outputName;
    runsInBackground = inBackground;
    message = null;
    results = null;
    run = new BenchmarkRun(engine, models, device, chosen, settings, version(), this);
    run.start();
    main.post(change);
  }

  void stop() {
    BenchmarkRun current = run;
    if (current != null) {
      current.stop();
      main.post(change);
    }
  }

  /** Says whether the app is seen: a run that a user started waits while it is not. */
  void setVisible(boolean visible) {
    BenchmarkRun current = run;
    if (current != null && !runsInBackground) {
      current.setPaused(!visible);
    }
  }

  /** Ends with an error what a script asked for: one line in the log, and a file of results that has it. */
  void fail(Settings settings, String outputName, String failure) {
    Results failed = new Results();
    failed.created = Results.now();
    failed.toolVersion = version();
    failed.error = failure;
    Log.e(BenchmarkRun.TAG, "Error: " + failure);
    try {
      failed.device = device.device();
      failed.stateBefore = device.state();
      failed.stateAfter = failed.stateBefore;
      failed.settings = settings.toJson(device.affinity());
    } catch (JSONException exception) {
      throw new IllegalStateException(exception);
    }
    store(failed, outputName);
    if (run == null) {
      message = null;
      results = failed;
      main.post(change);
    }
  }

  @Override
  public void onProgress(BenchmarkRun current, BenchmarkRun.Progress progress) {
    main.post(change);
  }

  @Override
  public void onResults(BenchmarkRun current, Results all, boolean last) {
    try {
      all.write(lastResults);
    } catch (IOException exception) {
      all.error = "The results could not be stored: " + Results.oneLine(exception);
      Log.e(BenchmarkRun.TAG, "Error: " + all.error);
    }
    // The run goes on with its own: what is shown must not change meanwhile.
    results = last ? all : copy(all);
    if (last) {
      store(all, output);
      run = null;
    }
    main.post(change);
  }

  private static Results copy(Results all) {
    try {
      Results copied = Results.fromJson(all.toJson());
      copied.error = null;
      return copied;
    } catch (JSONException exception) {
      throw new IllegalStateException(exception);
    }
  }

  private void store(Results all, String name) {
    String fileName = name == null ? "benchmark-" + all.created.replace(":", "") + ".json" : name;
    try {
      all.write(new File(models.resultsFolder(), fileName));
    } catch (IOException exception) {
      all.error = "The results could not be stored: " + Results.oneLine(exception);
      Log.e(BenchmarkRun.TAG, "Error: " + all.error);
    }
  }

  /** Classifies a digit of 64 pixels: its ten scores. */
  void classify(final int[] pixels, final Answered<float[]> answered) {
    submit(answered, new Task<float[]>() {
      @Override
      public float[] run() throws IOException, JSONException {
        for (Models.Model model : models.list()) {
          if (model.bundled() && model.name.equals(Models.DIGITS)) {
            return scores(model, pixels);
          }
        }
        throw new IOException("This app was built without the digits network.");
      }
    });
  }

  private float[] scores(Models.Model model, int[] pixels) throws IOException, JSONException {
    float[] mean = Answer.floats(model.description.getJSONArray("mean"));
    float[] std = Answer.floats(model.description.getJSONArray("std"));
    try (Engine.Network network = engine.open(models.file(model), new Settings(), false)) {
      ByteBuffer[] inputs = Answer.buffers(network.inputs());
      ByteBuffer[] outputs = Answer.buffers(network.outputs());
      for (int pixel : pixels) {
        inputs[0].putFloat((pixel - mean[0]) / std[0]);
      }
      network.run(inputs, outputs);
      float[] scores = new float[outputs[0].capacity() / 4];
      for (int i = 0; i < scores.length; ++i) {
        scores[i] = outputs[0].getFloat(4 * i);
      }
      return scores;
    }
  }

  /** Copies a network that the file picker gave. */
  void addModel(final Uri uri, final Answered<File> answered) {
    Answered<File> counted = new Answered<File>() {
      @Override
      public void onAnswer(File file) {
        ++additions;
        answered.onAnswer(file);
      }
    };
    submit(counted, new Task<File>() {
      @Override
      public File run() throws IOException {
        return models.add(uri);
      }
    });
  }

  /** Reads the digit of a photo: its 64 pixels. */
  void readPhoto(final Uri uri, Answered<int[]> answered) {
    submit(answered, new Task<int[]>() {
      @Override
      public int[] run() throws IOException {
        return Digit.ofPhoto(context, uri);
      }
    });
  }

  private interface Task<T> {
    T run() throws IOException, JSONException;
  }

  private <T> void submit(final Answered<T> answered, final Task<T> task) {
    tasks.execute(new Runnable() {
      @Override
      public void run() {
        T answer = null;
        String error = null;
        try {
          answer = task.run();
        } catch (IOException | JSONException | RuntimeException | LinkageError | OutOfMemoryError exception) {
          error = Results.oneLine(exception);
        }
        final T found = answer;
        final String failure = error;
        main.post(new Runnable() {
          @Override
          public void run() {
            message = failure;
            if (failure == null) {
              answered.onAnswer(found);
            }
            change.run();
          }
        });
      }
    });
  }
}
