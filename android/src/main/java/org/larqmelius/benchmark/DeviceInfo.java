package org.larqmelius.benchmark;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.os.PowerManager;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** What the phone is, and what state it is in, as results describe it. What cannot be read is null. */
final class DeviceInfo {
  private final Context context;
  private final File root;

  /**
   * Reads the phone.
   *
   * @param root where /proc and /sys are
   */
  DeviceInfo(Context context, File root) {
    this.context = context.getApplicationContext();
    this.root = root;
  }

  JSONObject device() throws JSONException {
    JSONArray clocks = new JSONArray();
    int cores = cores();
    for (int core = 0; core < cores; ++core) {
      clocks.put(megahertz(core, "cpuinfo_max_freq"));
    }
    long memory = kilobytes("proc/meminfo", "MemTotal:");
    return new JSONObject()
        .put("manufacturer", known(Build.MANUFACTURER))
        .put("model", known(Build.MODEL))
        .put("soc", soc())
        .put("android_release", known(Build.VERSION.RELEASE))
        .put("android_sdk", Build.VERSION.SDK_INT)
        .put("abi", Build.SUPPORTED_ABIS.length > 0 ? Build.SUPPORTED_ABIS[0] : JSONObject.NULL)
        .put("cores", cores)
        .put("core_max_mhz", anyKnown(clocks) ? clocks : new JSONArray())
        .put("memory_bytes", memory < 0 ? JSONObject.NULL : (Object) memory);
  }

  JSONObject state() throws JSONException {
    JSONArray clocks = new JSONArray();
    int cores = cores();
    for (int core = 0; core < cores; ++core) {
      clocks.put(megahertz(core, "scaling_cur_freq"));
    }
    Object percent = JSONObject.NULL;
    Object celsius = JSONObject.NULL;
    Object charging = JSONObject.NULL;
    Intent battery = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
    if (battery != null) {
      int level = battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1);
      int scale = battery.getIntExtra(BatteryManager.EXTRA_SCALE, -1);
      if (level >= 0 && scale > 0 && level <= scale) {
        percent = Math.round(100f * level / scale);
      }
      int tenths = battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Integer.MIN_VALUE);
      if (tenths != Integer.MIN_VALUE) {
        celsius = tenths / 10.0;
      }
      int plugged = battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, -1);
      if (plugged >= 0) {
        charging = plugged != 0;
      }
    }
    return new JSONObject()
        .put("thermal_status", thermalStatus())
        .put("hottest_zone_c", hottestZone())
        .put("core_mhz", anyKnown(clocks) ? clocks : new JSONArray())
        .put("battery_percent", percent)
        .put("battery_c", celsius)
        .put("charging", charging);
  }

  /** The cores that the process may run on. */
  JSONArray affinity() {
    String list = line("proc/self/status", "Cpus_allowed_list:");
    JSONArray cores = new JSONArray();
    for (int core : parseList(list == null ? "" : list)) {
      cores.put(core);
    }
    return cores;
  }

  /** Lets the peak of memory start anew, so that each network has its own. Without effect where that is not allowed. */
  void resetPeakMemory() {
    try (FileOutputStream stream = new FileOutputStream(new File(root, "proc/self/clear_refs"))) {
      stream.write('5');
    } catch (IOException exception) {
      // The peak then stays that of all networks so far.
    }
  }

  /** The most memory that the process has had in RAM, bytes; -1 if unknown. */
  long peakMemory() {
    return kilobytes("proc/self/status", "VmHWM:");
  }

  /** The cores of "0-3,6": all that Linux writes so. */
  static int[] parseList(String list) {
    int[] cores = new int[0];
    for (String range : list.trim().split(",")) {
      String[] ends = range.trim().split("-");
      try {
        int first = Integer.parseInt(ends[0]);
        int last = Integer.parseInt(ends[ends.length - 1]);
        int[] more = java.util.Arrays.copyOf(cores, cores.length + Math.max(0, last - first + 1));
        for (int core = first; core <= last; ++core) {
          more[cores.length + core - first] = core;
        }
        cores = more;
      } catch (NumberFormatException exception) {
        return new int[0];
      }
    }
    return cores;
  }

  /** Processors that are configured, those that are off included. */
  int cores() {
    String possible = read("sys/devices/system/cpu/possible");
    int cores = possible == null ? 0 : parseList(possible).length;
    return cores > 0 ? cores : Runtime.getRuntime().availableProcessors();
  }

  private Object soc() {
    if (Build.VERSION.SDK_INT >= 31 && !Build.SOC_MODEL.equals(Build.UNKNOWN)) {
      return Build.SOC_MODEL;
    }
    String hardware = line("proc/cpuinfo", "Hardware");
    if (hardware != null) {
      return hardware.replaceFirst("^\\s*:\\s*", "");
    }
    return known(Build.BOARD);
  }

  private Object thermalStatus() {
    if (Build.VERSION.SDK_INT < 29) {
      return JSONObject.NULL;
    }
    PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
    int status = power.getCurrentThermalStatus();
    return status < 0 || status > 6 ? JSONObject.NULL : (Object) status;
  }

  /** Of the processor's zones, or of all if none is called so. Recent phones let no app read them. */
  private Object hottestZone() {
    File[] zones = new File(root, "sys/class/thermal").listFiles();
    double processor = Double.NEGATIVE_INFINITY;
    double any = Double.NEGATIVE_INFINITY;
    for (File zone : zones == null ? new File[0] : zones) {
      String folder = "sys/class/thermal/" + zone.getName();
      String text = zone.getName().startsWith("thermal_zone") ? read(folder + "/temp") : null;
      try {
        double celsius = text == null ? Double.NaN : Integer.parseInt(text.trim()) / 1000.0;
        if (celsius > -40 && celsius < 200) { // Others are of sensors that are off.
          any = Math.max(any, celsius);
          String type = read(folder + "/type");
          if (type != null && type.toLowerCase(java.util.Locale.ROOT).contains("cpu")) {
            processor = Math.max(processor, celsius);
          }
        }
      } catch (NumberFormatException exception) {
        continue;
      }
    }
    return Results.number(Double.isInfinite(processor) ? any : processor);
  }

  private Object megahertz(int core, String name) {
    String text = read("sys/devices/system/cpu/cpu" + core + "/cpufreq/" + name);
    try {
      return text == null ? JSONObject.NULL : (Object) (Long.parseLong(text.trim()) / 1000.0);
    } catch (NumberFormatException exception) {
      return JSONObject.NULL;
    }
  }

  private static boolean anyKnown(JSONArray array) {
    for (int i = 0; i < array.length(); ++i) {
      if (!array.isNull(i)) {
        return true;
      }
    }
    return false;
  }

  private static Object known(String text) {
    return text == null || text.isEmpty() || text.equals(Build.UNKNOWN) ? JSONObject.NULL : text;
  }

  private long kilobytes(String path, String key) {
    String value = line(path, key);
    try {
      return value == null ? -1 : Long.parseLong(value.replace("kB", "").trim()) * 1024;
    } catch (NumberFormatException exception) {
      return -1;
    }
  }

  /** What follows a key at the start of a line of a file; null if there is none. */
  private String line(String path, String key) {
    String text = read(path);
    for (String line : text == null ? new String[0] : text.split("\n")) {
      if (line.startsWith(key)) {
        return line.substring(key.length()).trim();
      }
    }
    return null;
  }

  private String read(String path) {
    try (InputStream stream = new FileInputStream(new File(root, path))) {
      return new String(Results.readAll(stream), StandardCharsets.UTF_8);
    } catch (IOException exception) {
      return null;
    }
  }
}
