package org.larqmelius.benchmark;

import android.animation.ArgbEvaluator;
import android.app.Activity;
import android.app.AlertDialog;
import android.content.ActivityNotFoundException;
import android.content.ClipData;
import android.content.DialogInterface;
import android.content.Intent;
import android.content.SharedPreferences;
import android.graphics.Bitmap;
import android.graphics.drawable.BitmapDrawable;
import android.net.Uri;
import android.os.Build;
import android.os.Bundle;
import android.text.SpannableStringBuilder;
import android.text.Spanned;
import android.text.format.Formatter;
import android.text.style.ForegroundColorSpan;
import android.text.style.RelativeSizeSpan;
import android.view.View;
import android.view.WindowInsets;
import android.view.WindowManager;
import android.widget.ArrayAdapter;
import android.widget.Button;
import android.widget.CheckBox;
import android.widget.CompoundButton;
import android.widget.ImageView;
import android.widget.LinearLayout;
import android.widget.ProgressBar;
import android.widget.Spinner;
import android.widget.TextView;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** The app's one screen. It shows what Session holds, and keeps nothing that a rotation could lose. */
public final class BenchmarkActivity extends Activity implements Session.Listener {
  private static final String CHOSEN = "chosen";
  private static final String THREADS = "threads";
  private static final String RUNS = "runs";
  private static final String SECONDS = "seconds";
  private static final String PROFILE = "profile";
  private static final String DIGIT_PIXELS = "digit pixels";
  private static final String DIGIT_SCORES = "digit scores";
  private static final String OPEN_DETAILS = "open details";

  private static final int[] RUN_CHOICES = {10, 50, 100, 500, 1000};
  private static final int[] SECOND_CHOICES = {10, 30, 60, 150, 600};
  private static final int PICK_MODEL = 1;
  private static final int PICK_PHOTO = 2;
  private static final int WIDEST_PAGE_DP = 640;
  private static final int MARGIN_DP = 16;

  private Session session;
  private SharedPreferences preferences;
  private final List<Models.Model> models = new ArrayList<>();
  private final Set<String> chosen = new HashSet<>();
  private ResultsCard resultsCard;
  private int additions;
  private int[] digitPixels;
  private float[] digitScores;

  @Override
  protected void onCreate(Bundle saved) {
    super.onCreate(saved);
    session = Session.of(this);
    preferences = getSharedPreferences("settings", MODE_PRIVATE);
    setContentView(R.layout.main);
    fitToScreen();
    resultsCard = new ResultsCard(this);
    setUpSettings();
    setUpButtons();
    setUpDigit();
    if (saved == null) {
      if ((getIntent().getFlags() & Intent.FLAG_ACTIVITY_LAUNCHED_FROM_HISTORY) == 0) {
        runArguments(getIntent());
      }
    } else {
      resultsCard.open.addAll(saved.getStringArrayList(OPEN_DETAILS));
      digitPixels = saved.getIntArray(DIGIT_PIXELS);
      digitScores = saved.getFloatArray(DIGIT_SCORES);
      if (digitPixels != null && digitScores == null) {
        classify(); // What was under way answers to the activity that is gone.
      }
      showDigit();
    }
  }

  @Override
  protected void onStart() {
    super.onStart();
    session.setListener(this);
    session.setVisible(true);
    listModels();
    onSessionChanged();
  }

  @Override
  protected void onStop() {
    super.onStop();
    session.setListener(null);
    if (!isChangingConfigurations()) {
      session.setVisible(false);
    }
  }

  @Override
  protected void onSaveInstanceState(Bundle state) {
    super.onSaveInstanceState(state);
    state.putStringArrayList(OPEN_DETAILS, new ArrayList<>(resultsCard.open));
    state.putIntArray(DIGIT_PIXELS, digitPixels);
    state.putFloatArray(DIGIT_SCORES, digitScores);
  }

  @Override
  protected void onNewIntent(Intent intent) {
    super.onNewIntent(intent);
    setIntent(intent);
    runArguments(intent);
  }

  /** Keeps the page clear of the system's bars, and not too wide to read. */
  private void fitToScreen() {
    float density = getResources().getDisplayMetrics().density;
    int spare = getResources().getConfiguration().screenWidthDp - WIDEST_PAGE_DP;
    final int margin = Math.round(Math.max(MARGIN_DP, spare / 2) * density);
    final View page = findViewById(R.id.page);
    page.setPadding(margin, page.getPaddingTop(), margin, page.getPaddingBottom());
    findViewById(R.id.scroll).setOnApplyWindowInsetsListener(new View.OnApplyWindowInsetsListener() {
      @SuppressWarnings("deprecation")
      @Override
      public WindowInsets onApplyWindowInsets(View view, WindowInsets insets) {
        view.setPadding(
            insets.getSystemWindowInsetLeft(),
            insets.getSystemWindowInsetTop(),
            insets.getSystemWindowInsetRight(),
            insets.getSystemWindowInsetBottom());
        return insets;
      }
    });
  }

  // What an intent asks for.

  private void runArguments(Intent intent) {
    String text = intent.getStringExtra("args");
    if (text == null) {
      return;
    }
    if (Build.VERSION.SDK_INT >= 27) {
      setShowWhenLocked(true);
      setTurnScreenOn(true);
    }
    Arguments arguments = Arguments.parse(text);
    if (arguments.error != null) {
      session.fail(arguments.settings, arguments.output, arguments.error);
      return;
    }
    if (session.isRunning()) {
      session.fail(arguments.settings, arguments.output, "A benchmark is running: stop it, or start the app with -S.");
      return;
    }
    List<Models.Model> list = new ArrayList<>();
    for (String graph : arguments.graphs) {
      list.add(Models.Model.ofFile(new File(graph)));
    }
    if (arguments.input != null) {
      try {
        list.get(0).answer =
            Answer.ofFiles(new File(arguments.input), new File(arguments.expected), arguments.tolerance);
      } catch (IOException exception) {
        session.fail(arguments.settings, arguments.output, Results.oneLine(exception));
        return;
      }
    }
    session.start(list, arguments.settings, arguments.output, true);
  }

  // Networks and settings.

  private void listModels() {
    additions = session.additions();
    models.clear();
    models.addAll(session.models.list());
    chosen.clear();
    Set<String> stored = preferences.getStringSet(CHOSEN, null);
    boolean anyRandom = false;
    LinearLayout list = findViewById(R.id.models);
    list.removeAllViews();
    for (Models.Model model : models) {
      if (stored == null ? model.bundled() : stored.contains(model.key())) {
        chosen.add(model.key());
      }
      anyRandom |= model.randomWeights();
      list.addView(modelRow(model));
    }
    TextView note = findViewById(R.id.models_note);
    note.setText(models.isEmpty() ? R.string.no_models : R.string.random_weights_note);
    note.setVisibility(models.isEmpty() || anyRandom ? View.VISIBLE : View.GONE);
  }

  private View modelRow(final Models.Model model) {
    LinearLayout row = new LinearLayout(this);
    CheckBox box = new CheckBox(this);
    box.setMinHeight(dp(52));
    box.setTextAppearance(R.style.Body);
    int kind = !model.bundled()
        ? R.string.model_size_file
        : model.randomWeights() ? R.string.model_size_random : R.string.model_size;
    SpannableStringBuilder text = new SpannableStringBuilder(model.name).append('\n');
    int end = text.length();
    text.append(getString(kind, Formatter.formatShortFileSize(this, model.bytes)));
    text.setSpan(new RelativeSizeSpan(0.87f), end, text.length(), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
    ForegroundColorSpan pale = new ForegroundColorSpan(getColor(R.color.text_secondary));
    text.setSpan(pale, end, text.length(), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
    box.setText(text);
    box.setTag(model.key());
    box.setChecked(chosen.contains(model.key()));
    box.setEnabled(!session.isRunning());
    box.setOnCheckedChangeListener(new CompoundButton.OnCheckedChangeListener() {
      @Override
      public void onCheckedChanged(CompoundButton button, boolean checked) {
        if (checked) {
          chosen.add(model.key());
        } else {
          chosen.remove(model.key());
        }
        preferences.edit().putStringSet(CHOSEN, new HashSet<>(chosen)).apply();
      }
    });
    LinearLayout.LayoutParams space = new LinearLayout.LayoutParams(0, LinearLayout.LayoutParams.WRAP_CONTENT, 1);
    space.setMarginStart(-dp(6)); // The box has a margin of its own.
    row.addView(box, space);
    if (!model.bundled()) {
      row.addView(removeButton(model));
    }
    return row;
  }

  private Button removeButton(final Models.Model model) {
    Button remove = new Button(this, null, android.R.attr.borderlessButtonStyle);
    remove.setText(R.string.remove);
    remove.setAllCaps(false);
    remove.setTextColor(getColor(R.color.accent));
    remove.setContentDescription(getString(R.string.remove_model, model.name));
    remove.setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View view) {
        new AlertDialog.Builder(BenchmarkActivity.this)
            .setMessage(getString(R.string.remove_question, model.name))
            .setNegativeButton(android.R.string.cancel, null)
            .setPositiveButton(R.string.remove, new DialogInterface.OnClickListener() {
              @Override
              public void onClick(DialogInterface dialog, int which) {
                model.file.delete();
                listModels();
              }
            })
            .show();
      }
    });
    return remove;
  }

  private void setUpSettings() {
    List<String> threads = new ArrayList<>();
    int cores = session.device.cores();
    for (int i = 1; i <= cores; ++i) {
      threads.add(String.format("%d", i));
    }
    List<String> runs = new ArrayList<>();
    for (int choice : RUN_CHOICES) {
      runs.add(String.format("%d", choice));
    }
    List<String> seconds = new ArrayList<>();
    for (int choice : SECOND_CHOICES) {
      seconds.add(getResources().getQuantityString(R.plurals.seconds, choice, choice));
    }
    setUpSpinner(R.id.threads, threads, preferences.getInt(THREADS, Math.min(4, cores) - 1));
    setUpSpinner(R.id.runs, runs, preferences.getInt(RUNS, 1));
    setUpSpinner(R.id.seconds, seconds, preferences.getInt(SECONDS, 1));
    CheckBox profile = findViewById(R.id.profile);
    profile.setChecked(preferences.getBoolean(PROFILE, true));
  }

  private void setUpSpinner(int id, List<String> choices, int selected) {
    ArrayAdapter<String> adapter = new ArrayAdapter<>(this, R.layout.choice, choices);
    adapter.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item);
    Spinner spinner = findViewById(id);
    spinner.setAdapter(adapter);
    spinner.setSelection(Math.min(selected, choices.size() - 1));
  }

  private int selected(int id) {
    return ((Spinner) findViewById(id)).getSelectedItemPosition();
  }

  @Override
  protected void onPause() {
    super.onPause();
    preferences.edit()
        .putInt(THREADS, selected(R.id.threads))
        .putInt(RUNS, selected(R.id.runs))
        .putInt(SECONDS, selected(R.id.seconds))
        .putBoolean(PROFILE, ((CheckBox) findViewById(R.id.profile)).isChecked())
        .apply();
  }

  // Running.

  private void setUpButtons() {
    findViewById(R.id.run).setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View view) {
        if (session.isRunning()) {
          session.stop();
        } else {
          runChosen();
        }
      }
    });
    findViewById(R.id.add_file).setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View view) {
        pick("*/*", PICK_MODEL);
      }
    });
    findViewById(R.id.share).setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View view) {
        share();
      }
    });
  }

  private void runChosen() {
    List<Models.Model> list = new ArrayList<>();
    for (Models.Model model : models) {
      if (chosen.contains(model.key())) {
        list.add(model);
      }
    }
    if (list.isEmpty()) {
      session.say(getString(R.string.choose_a_model));
      return;
    }
    Settings settings = new Settings();
    settings.numThreads = selected(R.id.threads) + 1;
    settings.numRuns = RUN_CHOICES[selected(R.id.runs)];
    settings.maxSecs = SECOND_CHOICES[selected(R.id.seconds)];
    settings.opProfiling = ((CheckBox) findViewById(R.id.profile)).isChecked();
    session.start(list, settings, null, false);
    onSessionChanged();
  }

  @Override
  public void onSessionChanged() {
    if (additions != session.additions()) {
      listModels();
    }
    boolean running = session.isRunning();
    Button run = findViewById(R.id.run);
    run.setText(running ? R.string.stop : R.string.run);
    run.setEnabled(!session.isStopping());
    findViewById(R.id.progress_card).setVisibility(running ? View.VISIBLE : View.GONE);
    if (running) {
      getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
      showProgress(session.progress());
    } else {
      getWindow().clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
    }
    for (int id : new int[] {R.id.threads, R.id.runs, R.id.seconds, R.id.profile, R.id.add_file, R.id.digit_view,
        R.id.digit_photo}) {
      findViewById(id).setEnabled(!running);
    }
    LinearLayout list = findViewById(R.id.models);
    for (int i = 0; i < list.getChildCount(); ++i) {
      LinearLayout row = (LinearLayout) list.getChildAt(i);
      for (int j = 0; j < row.getChildCount(); ++j) {
        row.getChildAt(j).setEnabled(!running);
      }
    }
    ((TextView) findViewById(R.id.digit_note))
        .setText(running ? R.string.digit_while_running : R.string.digit_intro);
    Results results = session.results();
    resultsCard.show(results, session, running);
    String error = session.message() != null ? session.message() : results == null ? null : results.error;
    TextView messageView = findViewById(R.id.message);
    messageView.setText(error);
    messageView.setVisibility(error == null ? View.GONE : View.VISIBLE);
  }

  private void showProgress(BenchmarkRun.Progress progress) {
    if (progress == null) {
      return;
    }
    String text;
    int place = progress.modelIndex + 1;
    switch (progress.phase) {
      case CHECKING:
        text = getString(R.string.progress_checking, progress.model, place, progress.models);
        break;
      case WARMING_UP:
        text = getString(R.string.progress_warming_up, progress.model, place, progress.models);
        break;
      case MEASURING:
        text = getString(R.string.progress_measuring, progress.model, place, progress.models, progress.runs + 1,
            progress.allRuns);
        break;
      case PROFILING:
        text = getString(R.string.progress_profiling, progress.model, place, progress.models);
        break;
      case OPENING:
      default:
        text = getString(R.string.progress_opening, progress.model, place, progress.models);
        break;
    }
    ((TextView) findViewById(R.id.progress_text)).setText(session.isStopping() ? getString(R.string.stopping) : text);
    ((ProgressBar) findViewById(R.id.progress)).setProgress((int) Math.round(1000 * progress.share()));
  }

  private void share() {
    Intent send = new Intent(Intent.ACTION_SEND);
    send.setType("application/json");
    send.putExtra(Intent.EXTRA_STREAM, ResultsProvider.LAST_RESULTS);
    send.setClipData(ClipData.newRawUri(null, ResultsProvider.LAST_RESULTS));
    send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
    startActivity(Intent.createChooser(send, getString(R.string.share_title)));
  }

  private void pick(String type, int request) {
    Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
    intent.addCategory(Intent.CATEGORY_OPENABLE);
    intent.setType(type);
    try {
      startActivityForResult(intent, request);
    } catch (ActivityNotFoundException exception) {
      session.say(getString(R.string.no_picker));
    }
  }

  @Override
  protected void onActivityResult(int request, int code, Intent data) {
    Uri uri = code == RESULT_OK && data != null ? data.getData() : null;
    if (uri == null) {
      return;
    }
    if (request == PICK_MODEL) {
      session.addModel(uri, new Session.Answered<File>() {
        @Override
        public void onAnswer(File file) {
          chosen.add(file.getPath());
          preferences.edit().putStringSet(CHOSEN, new HashSet<>(chosen)).apply();
        }
      });
    } else if (request == PICK_PHOTO) {
      ((DigitView) findViewById(R.id.digit_view)).clear();
      session.readPhoto(uri, new Session.Answered<int[]>() {
        @Override
        public void onAnswer(int[] pixels) {
          digitPixels = pixels;
          classify();
        }
      });
    }
  }

  // The digit.

  private void setUpDigit() {
    final DigitView view = findViewById(R.id.digit_view);
    view.setListener(new DigitView.Listener() {
      @Override
      public void onDrawn() {
        digitPixels = view.pixels();
        classify();
      }
    });
    findViewById(R.id.digit_clear).setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View button) {
        view.clear();
        digitPixels = null;
        digitScores = null;
        showDigit();
      }
    });
    findViewById(R.id.digit_photo).setOnClickListener(new View.OnClickListener() {
      @Override
      public void onClick(View button) {
        pick("image/*", PICK_PHOTO);
      }
    });
  }

  private void classify() {
    if (session.isRunning()) {
      return;
    }
    session.classify(digitPixels, new Session.Answered<float[]>() {
      @Override
      public void onAnswer(float[] scores) {
        digitScores = scores;
        showDigit();
      }
    });
  }

  /** Shows what the network gets, and what it says; nothing if there is no digit. */
  private void showDigit() {
    float[] scores = digitScores;
    ImageView seen = findViewById(R.id.digit_seen);
    TextView answer = findViewById(R.id.digit_answer);
    TextView note = findViewById(R.id.digit_scores);
    if (scores == null || digitPixels == null) {
      seen.setVisibility(View.INVISIBLE);
      answer.setText("");
      note.setText("");
      return;
    }
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < scores.length; ++i) {
      int place = 0;
      while (place < order.size() && scores[order.get(place)] >= scores[i]) {
        ++place;
      }
      order.add(place, i);
    }
    int first = order.get(0);
    int second = order.get(1);
    answer.setText(getString(R.string.digit_answer, first));
    answer.setContentDescription(getString(R.string.digit_answer_description, first));
    note.setText(getString(
        R.string.digit_scores, ResultsCard.percent(scores[first]), second, ResultsCard.percent(scores[second])));
    int paper = getColor(R.color.card);
    int ink = getColor(R.color.text);
    int[] colors = new int[digitPixels.length];
    for (int i = 0; i < colors.length; ++i) {
      colors[i] = (Integer) new ArgbEvaluator().evaluate(digitPixels[i] / 255f, paper, ink);
    }
    BitmapDrawable drawable = new BitmapDrawable(
        getResources(), Bitmap.createBitmap(colors, Digit.SIDE, Digit.SIDE, Bitmap.Config.ARGB_8888));
    drawable.setFilterBitmap(false);
    drawable.setAntiAlias(false);
    seen.setImageDrawable(drawable);
    seen.setVisibility(View.VISIBLE);
  }

  private int dp(int value) {
    return Math.round(value * getResources().getDisplayMetrics().density);
  }
}
