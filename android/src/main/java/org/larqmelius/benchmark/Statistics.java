package org.larqmelius.benchmark;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.Locale;

/** What is told of a series of times. */
final class Statistics {
  private final double[] sorted;

  /** Statistics of at least one number. */
  Statistics(double[] samples) {
    if (samples.length == 0) {
      throw new IllegalArgumentException("There are no samples.");
    }
    sorted = samples.clone();
    Arrays.sort(sorted);
  }

  double min() {
    return sorted[0];
  }

  double mean() {
    double sum = 0;
    for (double sample : sorted) {
      sum += sample;
    }
    return sum / sorted.length;
  }

  double median() {
    return quantile(0.5);
  }

  /** The value that a share of the samples do not exceed, interpolated linearly between samples, as NumPy does. */
  double quantile(double share) {
    double position = share * (sorted.length - 1);
    int below = (int) Math.floor(position);
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
  }

  /** The standard deviation of the population: divided by the number of samples. */
  double std() {
    double mean = mean();
    double squares = 0;
    for (double sample : sorted) {
      squares += (sample - mean) * (sample - mean);
    }
    return Math.sqrt(squares / sorted.length);
  }

  /** The line that benchmark_model logs. Times are in µs; averages have six digits, as C++ prints them. */
  static String resultLine(long init, long first, double warmup, double inference) {
    return "Inference timings in us: Init: " + init + ", First inference: " + first + ", Warmup (avg): "
        + sixDigits(warmup) + ", Inference (avg): " + sixDigits(inference);
  }

  /** A number as by C's %g: six significant digits, no zeros at the end, an exponent where it would be long. */
  static String sixDigits(double value) {
    if (value == 0) {
      return "0";
    }
    BigDecimal rounded = new BigDecimal(value).round(new MathContext(6, RoundingMode.HALF_EVEN)).stripTrailingZeros();
    int exponent = rounded.precision() - rounded.scale() - 1;
    if (exponent >= -4 && exponent < 6) {
      return rounded.toPlainString();
    }
    String mantissa = rounded.movePointLeft(exponent).toPlainString();
    return mantissa + (exponent < 0 ? "e-" : "e+") + String.format(Locale.ROOT, "%02d", Math.abs(exponent));
  }
}
