package org.larqmelius.benchmark;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.file.Files;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;

@RunWith(RobolectricTestRunner.class)
public class DeviceInfoTest extends AppTest {
  @Test
  public void describesThePhone() throws Exception {
    JSONObject device = session.device.device();
    assertEquals("Example", device.getString("manufacturer"));
    assertEquals("EX1", device.getString("soc"));
    assertEquals(35, device.getInt("android_sdk"));
    assertEquals(9, device.getInt("cores"));
    assertEquals("[1704,1704,1704,1704,2367,2367,2367,2367,2914]", device.getJSONArray("core_max_mhz").toString());
    assertEquals(7714843L * 1024, device.getLong("memory_bytes"));
  }

  @Test
  public void describesItsState() throws Exception {
    JSONObject state = session.device.state();
    assertEquals(1, state.getInt("thermal_status"));
    assertEquals(38.2, state.getDouble("hottest_zone_c"), 0);
    assertEquals(1200, state.getJSONArray("core_mhz").getDouble(8), 0);
    assertEquals(81, state.getInt("battery_percent"));
    assertEquals(29.5, state.getDouble("battery_c"), 0);
    assertTrue(state.getBoolean("charging"));
    assertEquals("[0,1,2,3,6]", session.device.affinity().toString());
  }

  @Test
  public void resetsThePeakOfMemory() throws Exception {
    assertEquals(90 << 20, session.device.peakMemory());
    session.device.resetPeakMemory();
    assertEquals("5", Files.readString(new File(phone.getRoot(), "proc/self/clear_refs").toPath()));
  }

  @Test
  public void whatMayNotBeReadIsUnknown() throws Exception {
    DeviceInfo blind = new DeviceInfo(RuntimeEnvironment.getApplication(), new File(phone.getRoot(), "nothing"));
    assertTrue(blind.state().isNull("hottest_zone_c"));
    assertEquals(0, blind.state().getJSONArray("core_mhz").length());
    assertTrue(blind.device().isNull("memory_bytes"));
    assertTrue(blind.device().getInt("cores") >= 1);
    assertEquals(0, blind.affinity().length());
    assertEquals(-1, blind.peakMemory());
    blind.resetPeakMemory();
  }

  @Test
  public void readsListsOfCores() {
    assertArrayEquals(new int[] {0}, DeviceInfo.parseList("0"));
    assertArrayEquals(new int[] {0, 1, 2, 7, 9, 10}, DeviceInfo.parseList("0-2,7,9-10\n"));
    assertArrayEquals(new int[0], DeviceInfo.parseList(""));
  }
}
