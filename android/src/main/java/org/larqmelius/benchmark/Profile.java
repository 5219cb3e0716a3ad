package org.larqmelius.benchmark;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The delegate's plan of a network, as it prints it: one instruction a line, each with the least time that it took. */
final class Profile {
  // Outputs = kind(inputs) [details] time. An instruction may have several outputs: signs of its result.
  private static final Pattern LINE =
      Pattern.compile("^\\s*(%.*) = (\\w+)\\((.*)\\) \\[(.*)\\](?: (\\d+\\.\\d+) ms)?$");
  private static final Pattern VALUE = Pattern.compile("%\\d+ ");
  private static final Pattern ISA = Pattern.compile("portable|avx2|avx512|neon\\w*");

  final List<Results.Operator> operators = new ArrayList<>();

  /** The instruction set of the binary operators; null if there are none. */
  String isa;

  static Profile parse(String plan) {
    Profile profile = new Profile();
    for (String line : plan.split("\n")) {
      Matcher match = LINE.matcher(line);
      if (!match.matches()) {
        continue;
      }
      String kind = match.group(2);
      String details = match.group(4);
      String first = details.split(",")[0].trim();
      if (profile.isa == null && ISA.matcher(first).matches()) {
        profile.isa = first;
      }
      if (match.group(5) != null) {
        boolean isPack = kind.equals("pack");
        boolean withSigns = !isPack && count(match.group(1)) > 1;
        String name = name(kind, count(match.group(3))) + (withSigns ? " + LceQuantize" : "");
        boolean binary = isPack || withSigns || kind.equals("unpack") || kind.startsWith("binary_");
        profile.operators.add(
            new Results.Operator(name, true, binary, 1, Double.parseDouble(match.group(5))));
      }
    }
    return profile;
  }

  /** The name that TensorFlow Lite or Larq Compute Engine has for an instruction. */
  private static String name(String kind, int inputs) {
    switch (kind) {
      case "pack":
        return "LceQuantize";
      case "unpack":
        return "LceDequantize";
      case "binary_conv":
        return inputs > 1 ? "LceBconv2d + ADD" : "LceBconv2d";
      case "binary_max_pool":
        return "LceBMaxPool2d";
      case "affine":
        return "MUL + ADD";
      case "concatenate":
        return "CONCATENATION";
      case "max_pool":
        return "MAX_POOL_2D";
      case "conv":
        return "CONV_2D";
      default:
        return kind.toUpperCase(Locale.ROOT);
    }
  }

  private static int count(String values) {
    int count = 0;
    for (Matcher matcher = VALUE.matcher(values); matcher.find(); ) {
      ++count;
    }
    return count;
  }

  /** Operators of one name together, the most expensive first. */
  static List<Results.Operator> byName(List<Results.Operator> operators) {
    List<Results.Operator> sums = new ArrayList<>();
    for (Results.Operator operator : operators) {
      int index = 0;
      while (index < sums.size() && !sums.get(index).name.equals(operator.name)) {
        ++index;
      }
      Results.Operator sum = index < sums.size() ? sums.remove(index) : null;
      int count = operator.count + (sum == null ? 0 : sum.count);
      double milliseconds = operator.minMs + (sum == null ? 0 : sum.minMs);
      sum = new Results.Operator(operator.name, operator.delegated, operator.binary, count, milliseconds);
      int place = 0;
      while (place < sums.size() && sums.get(place).minMs >= milliseconds) {
        ++place;
      }
      sums.add(place, sum);
    }
    return sums;
  }
}
