package org.larqmelius.benchmark;

import java.util.ArrayList;
import java.util.List;

/**
 * The arguments that an intent brings, in one text: {@code --graph=a.tflite --num_threads=4}.
 *
 * <p>The names are those of TensorFlow Lite's benchmark_model. Several {@code --graph}, {@code --output},
 * {@code --input}, {@code --expected} and {@code --tolerance} are ours. All arguments are read even if one is wrong, so
 * that the error can be written to the file that was asked for.
 */
final class Arguments {
  final Settings settings = new Settings();
  final List<String> graphs = new ArrayList<>();

  /** Files of raw little-endian numbers, all inputs (outputs) one after the other; null if not given. */
  String input;

  String expected;

  /** Largest difference of an output to the expected one; NaN if not given. */
  double tolerance = Double.NaN;

  /** Name of the file of results, without folders; null if not given. */
  String output;

  /** What is wrong with them, in one line; null if nothing is. */
  String error;

  static Arguments parse(String text) {
    Arguments arguments = new Arguments();
    for (String argument : split(text)) {
      try {
        arguments.read(argument);
      } catch (IllegalArgumentException exception) {
        arguments.fail(exception.getMessage());
      }
    }
    if (arguments.graphs.isEmpty()) {
      arguments.fail("Which network? Pass --graph=FILE.tflite.");
    }
    if ((arguments.input == null) != (arguments.expected == null)) {
      arguments.fail("--input and --expected belong together: pass both or none.");
    }
    if (arguments.input != null && arguments.graphs.size() > 1) {
      arguments.fail("--input and --expected are for one --graph, and there are " + arguments.graphs.size() + ".");
    }
    return arguments;
  }

  /** Splits at white space, but for what stands in quotes. Quotes around the whole, which some shells leave, go. */
  static List<String> split(String text) {
    String trimmed = text.trim();
    if (trimmed.length() > 1 && trimmed.startsWith("\"--") && trimmed.indexOf('"', 1) == trimmed.length() - 1) {
      trimmed = trimmed.substring(1, trimmed.length() - 1);
    }
    List<String> words = new ArrayList<>();
    StringBuilder word = new StringBuilder();
    char quote = 0;
    for (int i = 0; i < trimmed.length(); ++i) {
      char c = trimmed.charAt(i);
      if (c == quote) {
        quote = 0;
      } else if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (quote == 0 && Character.isWhitespace(c)) {
        if (word.length() > 0) {
          words.add(word.toString());
          word.setLength(0);
        }
      } else {
        word.append(c);
      }
    }
    if (word.length() > 0) {
      words.add(word.toString());
    }
    return words;
  }

  private void fail(String message) {
    if (error == null) {
      error = message;
    }
  }

  private void read(String argument) {
    int equals = argument.indexOf('=');
    if (!argument.startsWith("--") || equals < 0) {
      throw new IllegalArgumentException("An argument is --NAME=VALUE, and \"" + argument + "\" is not.");
    }
    String name = argument.substring(2, equals);
    String value = argument.substring(equals + 1);
    if (value.isEmpty()) {
      throw new IllegalArgumentException("--" + name + " has no value.");
    }
    switch (name) {
      case "graph":
        graphs.add(value);
        break;
      case "input":
        input = value;
        break;
      case "expected":
        expected = value;
        break;
      case "tolerance":
        tolerance = number(name, value);
        break;
      case "output":
        output = outputName(value);
        break;
      case "num_threads":
        settings.numThreads = integer(name, value, 1, Settings.MOST_THREADS);
        break;
      case "warmup_runs":
        settings.warmupRuns = integer(name, value, 0, Settings.MOST_RUNS);
        break;
      case "num_runs":
        settings.numRuns = integer(name, value, 1, Settings.MOST_RUNS);
        break;
      case "min_secs":
        settings.minSecs = number(name, value);
        break;
      case "max_secs":
        settings.maxSecs = number(name, value);
        break;
      case "run_delay":
        // benchmark_model takes -1 for none.
        settings.runDelaySecs = value.startsWith("-") ? -number(name, value.substring(1)) : number(name, value);
        settings.runDelaySecs = Math.max(0, settings.runDelaySecs);
        break;
      case "enable_op_profiling":
        settings.opProfiling = truth(name, value);
        break;
      case "report_peak_memory_footprint":
        truth(name, value); // It is always reported.
        break;
      case "external_delegate_options":
        readDelegateOptions(value);
        break;
      default:
        throw new IllegalArgumentException(
            "The argument --" + name + " is unknown; there are graph, num_threads, warmup_runs, num_runs, min_secs,"
                + " max_secs, run_delay, enable_op_profiling, report_peak_memory_footprint, external_delegate_options,"
                + " input, expected, tolerance and output.");
    }
  }

  private static String outputName(String value) {
    // Any app may start the activity: it must not get to write elsewhere.
    if (value.contains("/") || value.startsWith(".")) {
      throw new IllegalArgumentException(
          "--output=" + value + ": give the name of a file alone; it is written to the app's folder of results.");
    }
    return value.endsWith(".json") ? value : value + ".json";
  }

  private void readDelegateOptions(String value) {
    for (String option : value.split(";")) {
      int colon = option.indexOf(':');
      if (colon < 1) {
        throw new IllegalArgumentException(
            "--external_delegate_options is KEY:VALUE;KEY:VALUE, and \"" + option + "\" is not KEY:VALUE.");
      }
      settings.delegateOptions.put(option.substring(0, colon), option.substring(colon + 1));
    }
  }

  private static int integer(String name, String value, int least, int most) {
    try {
      int number = Integer.parseInt(value);
      if (number >= least && number <= most) {
        return number;
      }
    } catch (NumberFormatException exception) {
      // Reported below.
    }
    throw new IllegalArgumentException(
        "--" + name + " must be a whole number from " + least + " to " + most + ", not \"" + value + "\".");
  }

  private static double number(String name, String value) {
    try {
      double number = Double.parseDouble(value);
      if (number >= 0 && !Double.isInfinite(number)) {
        return number;
      }
    } catch (NumberFormatException exception) {
      // Reported below.
    }
    throw new IllegalArgumentException("--" + name + " must be a number that is not negative, not \"" + value + "\".");
  }

  private static boolean truth(String name, String value) {
    if (value.equals("true") || value.equals("1")) {
      return true;
    }
    if (value.equals("false") || value.equals("0")) {
      return false;
    }
    throw new IllegalArgumentException("--" + name + " must be true or false, not \"" + value + "\".");
  }
}
