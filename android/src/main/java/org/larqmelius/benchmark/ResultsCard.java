package org.larqmelius.benchmark;

import android.app.Activity;
import android.graphics.Typeface;
import android.text.SpannableStringBuilder;
import android.text.Spanned;
import android.text.format.Formatter;
import android.text.style.ForegroundColorSpan;
import android.util.TypedValue;
import android.view.Gravity;
import android.view.View;
import android.widget.LinearLayout;
import android.widget.TableLayout;
import android.widget.TableRow;
import android.widget.TextView;
import java.text.NumberFormat;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Shows results, and the phone that they are of: the chart, the table, and the details of each network. */
final class ResultsCard {
  /** Names of the networks whose details are shown. */
  final Set<String> open = new HashSet<>();

  private final Activity activity;
  private Results shown;

  ResultsCard(Activity activity) {
    this.activity = activity;
  }

  /** Shows results; null for none. */
  void show(Results results, Session session, boolean running) {
    showDevice(results, session);
    View card = activity.findViewById(R.id.results);
    boolean any = results != null && !results.models.isEmpty();
    card.setVisibility(any ? View.VISIBLE : View.GONE);
    activity.findViewById(R.id.share).setEnabled(!running);
    if (!any || results == shown) {
      return; // Progress is told often, and changes none of this.
    }
    shown = results;
    int threads = results.settings.optInt("num_threads");
    int runs = results.settings.optInt("num_runs");
    text(R.id.results_settings).setText(activity.getString(
        R.string.results_settings,
        activity.getResources().getQuantityString(R.plurals.thread_count, threads, threads),
        activity.getResources().getQuantityString(R.plurals.run_count, runs, runs)));
    String folder = session.models.resultsFolder().getPath();
    int start = Math.max(0, folder.indexOf("Android/data")); // Before it stands what adb calls /sdcard.
    text(R.id.stored_in).setText(activity.getString(R.string.stored_in, folder.substring(start)));
    showChart(results);
    showTable(results);
    showDetails(results);
  }

  private TextView text(int id) {
    return activity.findViewById(id);
  }

  private void showChart(Results results) {
    List<BarChartView.Bar> bars = new ArrayList<>();
    boolean binary = false;
    boolean floats = false;
    for (Results.ModelResult model : results.models) {
      if (model.measured()) {
        Statistics statistics = model.statistics();
        double median = statistics.median();
        boolean claimed = model.claimedOperators > 0;
        binary |= claimed;
        floats |= !claimed;
        bars.add(new BarChartView.Bar(
            model.name, median, statistics.quantile(0.9), activity.getString(R.string.ms, ms(median)), claimed));
      }
    }
    BarChartView chart = activity.findViewById(R.id.chart);
    chart.setBars(bars);
    SpannableStringBuilder legend = new SpannableStringBuilder();
    if (binary && floats) {
      append(legend, "■ ", R.color.accent, activity.getString(R.string.legend_binary));
      append(legend, "    ■ ", R.color.bar_float, activity.getString(R.string.legend_float));
    }
    text(R.id.legend).setText(legend);
    text(R.id.legend).setVisibility(legend.length() > 0 ? View.VISIBLE : View.GONE);
    activity.findViewById(R.id.table_scroll).setVisibility(bars.isEmpty() ? View.GONE : View.VISIBLE);
    text(R.id.results_settings).setVisibility(bars.isEmpty() ? View.GONE : View.VISIBLE);
  }

  private void append(SpannableStringBuilder builder, String square, int color, String name) {
    int start = builder.length();
    builder.append(square);
    builder.setSpan(
        new ForegroundColorSpan(activity.getColor(color)), start, builder.length(), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
    builder.append(name);
  }

  private void showTable(Results results) {
    TableLayout table = activity.findViewById(R.id.table);
    table.removeAllViews();
    TableRow head = new TableRow(activity);
    head.addView(cell("", R.style.Note, false));
    for (int column : new int[] {R.string.column_min, R.string.column_median, R.string.column_p90, R.string.column_p99,
        R.string.column_std}) {
      head.addView(cell(activity.getString(column), R.style.Note, true));
    }
    table.addView(head);
    for (Results.ModelResult model : results.models) {
      if (!model.measured()) {
        continue;
      }
      Statistics statistics = model.statistics();
      TableRow row = new TableRow(activity);
      row.addView(cell(model.name, R.style.Body, false));
      double[] values = {statistics.min(), statistics.median(), statistics.quantile(0.9), statistics.quantile(0.99),
          statistics.std()};
      for (double value : values) {
        row.addView(cell(ms(value), R.style.Body, true));
      }
      table.addView(row);
    }
  }

  private TextView cell(String content, int style, boolean number) {
    TextView cell = new TextView(activity);
    cell.setTextAppearance(style);
    cell.setTextSize(TypedValue.COMPLEX_UNIT_SP, 13);
    cell.setText(content);
    cell.setGravity(number ? Gravity.END : Gravity.START);
    cell.setPaddingRelative(number ? dp(10) : 0, dp(5), 0, dp(5));
    return cell;
  }

  private void showDetails(final Results results) {
    LinearLayout list = activity.findViewById(R.id.details);
    list.removeAllViews();
    for (final Results.ModelResult model : results.models) {
      if (model.error != null) {
        list.addView(line(activity.getString(R.string.model_error, model.name, model.error), R.style.Error));
      }
      if (!model.measured()) {
        continue;
      }
      boolean isOpen = open.contains(model.name);
      TextView title = line(
          activity.getString(isOpen ? R.string.details_open : R.string.details_closed, model.name), R.style.Body);
      title.setTypeface(Typeface.create("sans-serif-medium", Typeface.NORMAL));
      title.setMinHeight(dp(48));
      title.setGravity(Gravity.CENTER_VERTICAL);
      TypedValue background = new TypedValue();
      activity.getTheme().resolveAttribute(android.R.attr.selectableItemBackground, background, true);
      title.setBackgroundResource(background.resourceId);
      title.setContentDescription(
          activity.getString(isOpen ? R.string.details_hide : R.string.details_show, model.name));
      title.setOnClickListener(new View.OnClickListener() {
        @Override
        public void onClick(View view) {
          if (!open.remove(model.name)) {
            open.add(model.name);
          }
          showDetails(results);
        }
      });
      list.addView(title);
      if (isOpen) {
        addDetails(list, model);
      }
    }
  }

  private void addDetails(LinearLayout list, Results.ModelResult model) {
    list.addView(line(activity.getString(R.string.details_load, ms(model.loadMs), ms(model.firstMs)), R.style.Note));
    if (model.memoryPeakBytes >= 0 && model.memoryBeforeBytes >= 0) {
      long more = Math.max(0, model.memoryPeakBytes - model.memoryBeforeBytes);
      list.addView(
          line(activity.getString(R.string.details_memory, size(more), size(model.memoryPeakBytes)), R.style.Note));
    }
    String claimed = model.claimedOperators <= 0
        ? activity.getString(R.string.details_not_claimed)
        : model.delegateIsa == null
            ? activity.getString(R.string.details_claimed_unnamed, model.claimedOperators)
            : activity.getString(R.string.details_claimed, model.claimedOperators, model.delegateIsa);
    list.addView(line(claimed, R.style.Note));
    String check = model.outputCheck.equals("passed")
        ? activity.getString(R.string.details_check_passed, Statistics.sixDigits(model.outputMaxError))
        : activity.getString(
            model.outputCheck.equals("failed") ? R.string.details_check_failed : R.string.details_check_none);
    list.addView(line(check, R.style.Note));
    if (model.sha256 != null && model.sha256.length() > 12) {
      list.addView(line(
          activity.getString(R.string.details_file, size(model.bytes), model.sha256.substring(0, 12)), R.style.Note));
    }
    if (!model.profile.isEmpty()) {
      list.addView(
          line(activity.getString(R.string.details_binary_share, percent(model.binaryShare())), R.style.Body));
      double all = 0;
      for (Results.Operator operator : model.profile) {
        all += operator.minMs;
      }
      List<BarChartView.Bar> bars = new ArrayList<>();
      for (Results.Operator operator : Profile.byName(model.profile)) {
        String name = operator.count > 1
            ? activity.getString(R.string.operator_count, operator.name, operator.count)
            : operator.name;
        String number = activity.getString(
            R.string.operator_time, ms(operator.minMs), percent(all > 0 ? operator.minMs / all : 0));
        bars.add(new BarChartView.Bar(name, operator.minMs, Double.NaN, number, operator.binary));
      }
      BarChartView chart = new BarChartView(activity);
      chart.setBars(bars);
      chart.setPadding(0, dp(6), 0, 0);
      list.addView(chart);
    }
  }

  private TextView line(String content, int style) {
    TextView view = new TextView(activity);
    view.setTextAppearance(style);
    view.setText(content);
    view.setPadding(0, dp(3), 0, dp(3));
    return view;
  }

  private void showDevice(Results results, Session session) {
    try {
      JSONObject device = session.device.device();
      JSONObject now = session.device.state();
      StringBuilder text = new StringBuilder();
      text.append(activity.getString(
          R.string.device_name,
          known(device, "manufacturer"),
          known(device, "model"),
          known(device, "android_release")));
      text.append('\n').append(activity.getString(R.string.device_soc, known(device, "soc"), device.getInt("cores")));
      JSONArray clocks = device.getJSONArray("core_max_mhz");
      if (clocks.length() > 0) {
        text.append('\n').append(activity.getString(R.string.device_clocks, runLengths(clocks)));
      }
      JSONArray affinity = session.device.affinity();
      if (affinity.length() > 0 && affinity.length() < device.getInt("cores")) {
        text.append('\n').append(activity.getString(R.string.device_affinity, affinity.join(", ")));
      }
      boolean ran = results != null && results.stateBefore.has("thermal_status");
      text.append('\n').append(ran
          ? activity.getString(R.string.device_thermal_run, heat(results.stateBefore), heat(results.stateAfter))
          : activity.getString(R.string.device_thermal, heat(now)));
      if (!now.isNull("battery_percent") && !now.isNull("charging")) {
        text.append('\n').append(activity.getString(
            now.getBoolean("charging") ? R.string.device_charging : R.string.device_battery,
            percent(now.getInt("battery_percent") / 100.0)));
      }
      text(R.id.device).setText(text);
    } catch (JSONException exception) {
      throw new IllegalStateException(exception);
    }
  }

  private String known(JSONObject json, String key) {
    return json.isNull(key) ? activity.getString(R.string.unknown) : json.optString(key);
  }

  private String heat(JSONObject state) {
    int status = state.isNull("thermal_status") ? -1 : state.optInt("thermal_status", -1);
    String[] names = activity.getResources().getStringArray(R.array.thermal);
    return status < 0 || status >= names.length ? activity.getString(R.string.unknown) : names[status];
  }

  /** "4 × 1704, 1 × 2914" of the clocks of all cores. */
  private String runLengths(JSONArray clocks) {
    StringBuilder text = new StringBuilder();
    for (int i = 0, next; i < clocks.length(); i = next) {
      next = i + 1;
      while (next < clocks.length() && clocks.opt(next).equals(clocks.opt(i))) {
        ++next;
      }
      String clock = clocks.isNull(i)
          ? activity.getString(R.string.unknown)
          : NumberFormat.getIntegerInstance().format(Math.round(clocks.optDouble(i)));
      text.append(text.length() > 0 ? ", " : "");
      text.append(activity.getString(R.string.device_clock, clock, next - i));
    }
    return text.toString();
  }

  private String size(long bytes) {
    return Formatter.formatShortFileSize(activity, bytes);
  }

  /** Milliseconds with three digits, or more before the point. */
  static String ms(double milliseconds) {
    NumberFormat format = NumberFormat.getNumberInstance();
    int digits = milliseconds < 1 ? 3 : milliseconds < 10 ? 2 : milliseconds < 100 ? 1 : 0;
    format.setMinimumFractionDigits(digits);
    format.setMaximumFractionDigits(digits);
    return format.format(milliseconds);
  }

  static String percent(double share) {
    NumberFormat format = NumberFormat.getPercentInstance();
    format.setMaximumFractionDigits(share > 0.995 && share < 1 ? 1 : 0);
    return format.format(share);
  }

  private int dp(int value) {
    return Math.round(value * activity.getResources().getDisplayMetrics().density);
  }
}
