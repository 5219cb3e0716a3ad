package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.util.List;
import org.junit.Test;

/** The plan is the one that the delegate prints of the digits network: 17 instructions in two programs. */
public class ProfileTest {
  @Test
  public void readsTheDelegatesPlan() throws Exception {
    Profile profile = Profile.parse(FakeEngine.plan());
    assertEquals("avx512", profile.isa);
    assertEquals(17, profile.operators.size());
    Results.Operator first = profile.operators.get(0);
    assertEquals("CONV_2D", first.name);
    assertEquals(0.006, first.minMs, 1e-9);
    assertFalse(first.binary);
    assertTrue(first.delegated);
    Results.Operator fused = profile.operators.get(4);
    assertEquals("LceBconv2d + ADD + LceQuantize", fused.name);
    assertTrue(fused.binary);
    assertEquals(0.006, fused.minMs, 1e-9);
  }

  @Test
  public void sumsOperatorsOfOneName() throws Exception {
    List<Results.Operator> sums = Profile.byName(Profile.parse(FakeEngine.plan()).operators);
    int count = 0;
    for (int i = 0; i < sums.size(); ++i) {
      count += sums.get(i).count;
      assertTrue(i == 0 || sums.get(i - 1).minMs >= sums.get(i).minMs);
      if (sums.get(i).name.equals("LceQuantize")) {
        assertEquals(2, sums.get(i).count);
        assertEquals(0.002, sums.get(i).minMs, 1e-9);
      }
    }
    assertEquals(17, count);
    assertEquals(7, sums.size());
  }

  @Test
  public void aPlanWithoutTimesTellsTheInstructionSet() {
    Profile profile = Profile.parse(
        "program: 1 instructions, 8 bytes\n"
            + "  %3 int32 1x8x8x2 in #1 = pack(%1 float32 1x8x8x64 external) [neon, compared]\n");
    assertEquals("neon", profile.isa);
    assertTrue(profile.operators.isEmpty());
  }

  @Test
  public void signsThatAreMadeOnTheWayAreBinary() {
    Profile profile = Profile.parse(
        "  %5 float32 1x8x8x2 in #1, %6 int32 1x8x8x2 in #2[0:2] = max_pool(%1 float32 1x8x8x64 external) [x]"
            + " 0.250 ms\n"
            + "  %7 float32 1x8x8x2 in #1 = max_pool(%1 float32 1x8x8x64 external) [x] 0.250 ms\n");
    assertEquals("MAX_POOL_2D + LceQuantize", profile.operators.get(0).name);
    assertTrue(profile.operators.get(0).binary);
    assertEquals("MAX_POOL_2D", profile.operators.get(1).name);
    assertFalse(profile.operators.get(1).binary);
  }

  @Test
  public void noPlanIsNoProfile() {
    assertNull(Profile.parse("").isa);
    assertTrue(Profile.parse("").operators.isEmpty());
  }
}
