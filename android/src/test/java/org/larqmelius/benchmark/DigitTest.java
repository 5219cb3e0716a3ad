package org.larqmelius.benchmark;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;

import org.junit.Test;

public class DigitTest {
  /** A bar of 16 x 32 pixels somewhere on the paper fills the height, and the middle half of the width. */
  @Test
  public void cropsAndCentersWhatIsDrawn() {
    int[] ink = new int[100 * 80];
    for (int y = 40; y < 72; ++y) {
      for (int x = 5; x < 21; ++x) {
        ink[y * 100 + x] = 255;
      }
    }
    int[] pixels = Digit.pixels(ink, 100, 80);
    for (int y = 0; y < 8; ++y) {
      assertArrayEquals(
          new int[] {0, 0, 255, 255, 255, 255, 0, 0}, java.util.Arrays.copyOfRange(pixels, 8 * y, 8 * y + 8));
    }
  }

  @Test
  public void averagesAreas() {
    int[] ink = new int[16 * 16];
    for (int i = 0; i < 16; ++i) {
      ink[i * 17] = 255; // A diagonal: half of each cell's four pixels. The darkest cell counts as ink.
    }
    int[] pixels = Digit.pixels(ink, 16, 16);
    for (int i = 0; i < 64; ++i) {
      assertEquals(i % 9 == 0 ? 255 : 0, pixels[i]);
    }
  }

  @Test
  public void blankPaperIsNoDigit() {
    assertNull(Digit.pixels(new int[64], 8, 8));
  }

  @Test
  public void findsInkOfEitherColor() {
    int[] photo = new int[100];
    for (int i = 0; i < 100; ++i) {
      photo[i] = i % 10 == 3 ? 0xff203040 : 0xffd0d0c0 + i % 7;
    }
    int[] dark = Digit.inkOf(photo);
    for (int i = 0; i < 100; ++i) {
      assertEquals(i % 10 == 3 ? 255 : 0, dark[i]);
      photo[i] = i % 10 == 3 ? 0xffffffff : 0xff204020;
    }
    assertArrayEquals(dark, Digit.inkOf(photo));
  }
}
