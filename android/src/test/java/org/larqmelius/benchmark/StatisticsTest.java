package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import org.junit.Test;

public class StatisticsTest {
  /** The expected values are NumPy's: min, mean, median, quantile(0.9), quantile(0.99), std. */
  @Test
  public void agreesWithNumPy() {
    Statistics statistics = new Statistics(new double[] {12.41, 12.12, 12.09, 12.55, 12.1, 40.0, 12.3});
    assertEquals(12.09, statistics.min(), 0);
    assertEquals(16.224285714285717, statistics.mean(), 1e-12);
    assertEquals(12.3, statistics.median(), 1e-12);
    assertEquals(23.53000000000001, statistics.quantile(0.9), 1e-12);
    assertEquals(38.35299999999999, statistics.quantile(0.99), 1e-12);
    assertEquals(9.707736027288247, statistics.std(), 1e-12);
  }

  @Test
  public void aSingleSampleIsAllOfThem() {
    Statistics statistics = new Statistics(new double[] {3});
    assertEquals(3, statistics.quantile(0.99), 0);
    assertEquals(3, statistics.median(), 0);
    assertEquals(0, statistics.std(), 0);
  }

  @Test
  public void samplesStayInTheirOrder() {
    double[] samples = {3, 1, 2};
    new Statistics(samples);
    assertEquals(3, samples[0], 0);
  }

  @Test
  public void noSamplesAreAnError() {
    assertThrows(IllegalArgumentException.class, () -> new Statistics(new double[0]));
  }

  /** The expected texts are those of C's printf("%g"). */
  @Test
  public void printsNumbersAsCDoes() {
    assertEquals("4913.62", Statistics.sixDigits(4913.62));
    assertEquals("4913.62", Statistics.sixDigits(4913.625));
    assertEquals("1.09136e+06", Statistics.sixDigits(1091362.2));
    assertEquals("12", Statistics.sixDigits(12));
    assertEquals("0.000123457", Statistics.sixDigits(0.00012345678));
    assertEquals("1.23457e-05", Statistics.sixDigits(0.000012345678));
    assertEquals("100000", Statistics.sixDigits(100000));
    assertEquals("1e+06", Statistics.sixDigits(999999.5));
    assertEquals("0.1", Statistics.sixDigits(0.1));
    assertEquals("0", Statistics.sixDigits(0));
  }

  /** The line is one that TensorFlow Lite's documentation shows. */
  @Test
  public void theResultLineIsTensorFlowLites() {
    assertEquals(
        "Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, Inference (avg): 14575.2",
        Statistics.resultLine(5685, 18535, 14462.3, 14575.2));
  }
}
