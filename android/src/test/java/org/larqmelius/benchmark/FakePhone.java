package org.larqmelius.benchmark;

import android.content.Context;
import android.content.Intent;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import org.robolectric.Shadows;
import org.robolectric.util.ReflectionHelpers;

/** A phone that there is not: files of /proc and /sys, and what Android says of it. */
final class FakePhone {
  /** The peak of memory without any network, bytes. */
  static final long PEAK = 90 << 20;

  private FakePhone() {}

  static void make(Context context, File root) {
    write(root, "proc/meminfo", "MemTotal:        7714843 kB\nMemFree: 1 kB\n");
    write(root, "proc/cpuinfo", "processor\t: 0\nHardware\t: Example board\n");
    write(root, "proc/self/clear_refs", "");
    writeStatus(status(root), PEAK);
    write(root, "sys/devices/system/cpu/possible", "0-8\n");
    for (int core = 0; core < 9; ++core) {
      String folder = "sys/devices/system/cpu/cpu" + core + "/cpufreq/";
      write(root, folder + "cpuinfo_max_freq", core < 4 ? "1704000\n" : core < 8 ? "2367000\n" : "2914000\n");
      write(root, folder + "scaling_cur_freq", "1200000\n");
    }
    write(root, "sys/class/thermal/thermal_zone0/type", "cpu-big\n");
    write(root, "sys/class/thermal/thermal_zone0/temp", "38200\n");
    write(root, "sys/class/thermal/thermal_zone1/type", "battery\n");
    write(root, "sys/class/thermal/thermal_zone1/temp", "41000\n");
    write(root, "sys/class/thermal/thermal_zone2/type", "cpu-off\n");
    write(root, "sys/class/thermal/thermal_zone2/temp", "-274000\n");
    ReflectionHelpers.setStaticField(Build.class, "MANUFACTURER", "Example");
    ReflectionHelpers.setStaticField(Build.class, "MODEL", "(not a real phone)");
    if (Build.VERSION.SDK_INT >= 31) {
      ReflectionHelpers.setStaticField(Build.class, "SOC_MODEL", "EX1");
    }
    if (Build.VERSION.SDK_INT >= 29) {
      PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
      Shadows.shadowOf(power).setCurrentThermalStatus(1);
    }
    context.sendStickyBroadcast(new Intent(Intent.ACTION_BATTERY_CHANGED)
        .putExtra(BatteryManager.EXTRA_LEVEL, 162)
        .putExtra(BatteryManager.EXTRA_SCALE, 200)
        .putExtra(BatteryManager.EXTRA_TEMPERATURE, 295)
        .putExtra(BatteryManager.EXTRA_PLUGGED, BatteryManager.BATTERY_PLUGGED_USB));
  }

  static File status(File root) {
    return new File(root, "proc/self/status");
  }

  static void writeStatus(File status, long peak) {
    write(status, "Name:\tlarqmelius\nVmHWM:\t  " + peak / 1024 + " kB\nCpus_allowed_list:\t0-3,6\n");
  }

  static void write(File root, String path, String text) {
    write(new File(root, path), text);
  }

  private static void write(File file, String text) {
    try {
      file.getParentFile().mkdirs();
      Files.writeString(file.toPath(), text);
    } catch (IOException exception) {
      throw new UncheckedIOException(exception);
    }
  }
}
