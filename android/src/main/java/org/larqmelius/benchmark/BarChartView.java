package org.larqmelius.benchmark;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.text.TextPaint;
import android.text.TextUtils;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.View;
import java.util.ArrayList;
import java.util.List;

/** Horizontal bars, each with its name above it and its number behind it. */
public final class BarChartView extends View {
  /** A bar. */
  static final class Bar {
    final String name;
    final double value;

    /** The end of a thin line from the bar's end on; NaN for none. */
    final double upTo;

    final String number;
    final boolean binary;

    Bar(String name, double value, double upTo, String number, boolean binary) {
      this.name = name;
      this.value = value;
      this.upTo = upTo;
      this.number = number;
      this.binary = binary;
    }
  }

  private final TextPaint text = new TextPaint(Paint.ANTI_ALIAS_FLAG);
  private final Paint fill = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final List<Bar> bars = new ArrayList<>();
  private final int binaryColor;
  private final int floatColor;
  private final int lineColor;
  private final float unit;

  public BarChartView(Context context) {
    this(context, null);
  }

  public BarChartView(Context context, AttributeSet attributes) {
    super(context, attributes);
    unit = getResources().getDisplayMetrics().density;
    text.setTextSize(TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 14, getResources().getDisplayMetrics()));
    text.setColor(context.getColor(R.color.text));
    binaryColor = context.getColor(R.color.accent);
    floatColor = context.getColor(R.color.bar_float);
    lineColor = context.getColor(R.color.text);
  }

  void setBars(List<Bar> list) {
    bars.clear();
    bars.addAll(list);
    StringBuilder description = new StringBuilder();
    for (Bar bar : bars) {
      description.append(description.length() > 0 ? ", " : "").append(bar.name).append(": ").append(bar.number);
    }
    setContentDescription(description);
    requestLayout();
    invalidate();
  }

  private float lineHeight() {
    return text.getFontMetrics().descent - text.getFontMetrics().ascent;
  }

  private float rowHeight() {
    return lineHeight() + 26 * unit;
  }

  @Override
  protected void onMeasure(int widthSpec, int heightSpec) {
    int height = Math.round(bars.size() * rowHeight());
    setMeasuredDimension(getDefaultSize(getSuggestedMinimumWidth(), widthSpec), resolveSize(height, heightSpec));
  }

  @Override
  protected void onDraw(Canvas canvas) {
    double most = 0;
    float widest = 0;
    for (Bar bar : bars) {
      most = Math.max(most, Double.isNaN(bar.upTo) ? bar.value : Math.max(bar.value, bar.upTo));
      widest = Math.max(widest, text.measureText(bar.number));
    }
    float room = Math.max(unit, getWidth() - widest - 8 * unit);
    boolean mirrored = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
    for (int i = 0; i < bars.size(); ++i) {
      Bar bar = bars.get(i);
      float top = i * rowHeight();
      float baseline = top - text.getFontMetrics().ascent;
      CharSequence name = TextUtils.ellipsize(bar.name, text, getWidth(), TextUtils.TruncateAt.MIDDLE);
      drawText(canvas, name.toString(), 0, baseline, mirrored);
      float barTop = top + lineHeight() + 3 * unit;
      float barBottom = barTop + 14 * unit;
      float length = most > 0 ? (float) (room * bar.value / most) : 0;
      fill.setColor(bar.binary ? binaryColor : floatColor);
      float end = Math.max(length, 2 * unit);
      float from = mirrored ? getWidth() - end : 0;
      canvas.drawRoundRect(from, barTop, from + end, barBottom, 3 * unit, 3 * unit, fill);
      if (!Double.isNaN(bar.upTo) && most > 0) {
        float reach = (float) (room * bar.upTo / most);
        fill.setColor(lineColor);
        float middle = (barTop + barBottom) / 2;
        drawLine(canvas, length, middle - unit / 2, reach, middle + unit / 2, mirrored);
        drawLine(canvas, reach - unit, barTop + 3 * unit, reach, barBottom - 3 * unit, mirrored);
        end = Math.max(end, reach);
      }
      float center = (barTop + barBottom) / 2 - (text.getFontMetrics().ascent + text.getFontMetrics().descent) / 2;
      drawText(canvas, bar.number, end + 6 * unit, center, mirrored);
    }
  }

  private void drawText(Canvas canvas, String string, float x, float baseline, boolean mirrored) {
    text.setTextAlign(mirrored ? Paint.Align.RIGHT : Paint.Align.LEFT);
    canvas.drawText(string, mirrored ? getWidth() - x : x, baseline, text);
  }

  private void drawLine(Canvas canvas, float left, float top, float right, float bottom, boolean mirrored) {
    if (mirrored) {
      canvas.drawRect(getWidth() - right, top, getWidth() - left, bottom, fill);
    } else {
      canvas.drawRect(left, top, right, bottom, fill);
    }
  }
}
