package org.larqmelius.benchmark;

import android.content.Context;
import android.content.res.AssetManager;
import android.database.Cursor;
import android.net.Uri;
import android.provider.OpenableColumns;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;

/** The networks that the app brings, and those in the folder to which adb push and the file picker put others. */
final class Models {
  private static final String ASSETS = "models";
  static final String DIGITS = "digits";

  private final Context context;

  Models(Context context) {
    this.context = context.getApplicationContext();
  }

  /** A network that can be chosen. */
  static final class Model {
    final String name;

    /** Where it is; null for one in the app, which Models.file unpacks. */
    final File file;

    final long bytes;

    /** What stands beside it in the app; null for other files. */
    final JSONObject description;

    /** What was given with a file; null if nothing was. */
    Answer answer;

    Model(String name, File file, long bytes, JSONObject description) {
      this.name = name;
      this.file = file;
      this.bytes = bytes;
      this.description = description;
    }

    static Model ofFile(File file) {
      String name = file.getName();
      String stem = name.endsWith(".tflite") ? name.substring(0, name.length() - ".tflite".length()) : name;
      return new Model(stem, file, file.length(), null);
    }

    boolean bundled() {
      return description != null;
    }

    boolean randomWeights() {
      return bundled() && description.optBoolean("random_weights");
    }

    /** What tells it from all others. */
    String key() {
      return bundled() ? "asset:" + name : file.getPath();
    }
  }

  /** Where adb pushes networks to. Null while the storage is not there. */
  File folder() {
    File files = context.getExternalFilesDir(null);
    return files == null ? null : new File(files, "models");
  }

  /** Where results go, to be read by adb. Within the app's own storage while the other is not there. */
  File resultsFolder() {
    File files = context.getExternalFilesDir(null);
    return new File(files == null ? context.getFilesDir() : files, "results");
  }

  /**
   * The networks of the app, the smallest first, then the other files by their names.
   *
   * <p>Makes the folders of networks and results: one that adb made would not be the app's.
   */
  List<Model> list() {
    resultsFolder().mkdirs();
    List<Model> models = new ArrayList<>();
    AssetManager assets = context.getAssets();
    try {
      String[] names = assets.list(ASSETS);
      for (String name : names == null ? new String[0] : names) {
        if (name.endsWith(".json")) {
          JSONObject description;
          try (InputStream stream = assets.open(ASSETS + "/" + name)) {
            description = new JSONObject(new String(Results.readAll(stream), StandardCharsets.UTF_8));
          }
          models.add(new Model(description.getString("name"), null, size(assets, assetPath(name)), description));
        }
      }
    } catch (IOException | JSONException exception) {
      throw new IllegalStateException("The app's own networks are damaged: install it again.", exception);
    }
    Collections.sort(models, new Comparator<Model>() {
      @Override
      public int compare(Model left, Model right) {
        return left.bytes == right.bytes ? left.name.compareTo(right.name) : Long.compare(left.bytes, right.bytes);
      }
    });
    File folder = folder();
    File[] files = folder == null || folder.mkdirs() ? null : folder.listFiles();
    if (files != null) {
      Arrays.sort(files);
      for (File file : files) {
        if (file.isFile() && file.getName().endsWith(".tflite")) {
          models.add(Model.ofFile(file));
        }
      }
    }
    return models;
  }

  private static String assetPath(String json) {
    return ASSETS + "/" + json.substring(0, json.length() - ".json".length()) + ".tflite";
  }

  private static long size(AssetManager assets, String path) throws IOException {
    try (InputStream stream = assets.open(path)) {
      return stream.available(); // Of an asset: all of it.
    }
  }

  /** The file of a network; one of the app is unpacked, as TensorFlow Lite maps files into memory. */
  File file(Model model) throws IOException {
    if (!model.bundled()) {
      return model.file;
    }
    File unpacked = new File(new File(context.getCacheDir(), ASSETS), model.name + ".tflite");
    String sha256 = model.description.optString("sha256");
    if (unpacked.length() != model.bytes || !sha256(unpacked).equals(sha256)) {
      try (InputStream stream = context.getAssets().open(ASSETS + "/" + model.name + ".tflite")) {
        copy(stream, unpacked);
      }
      if (!sha256.isEmpty() && !sha256(unpacked).equals(sha256)) {
        throw new IOException("The app's " + model.name + " is damaged: install it again.");
      }
    }
    return unpacked;
  }

  /** Copies what the file picker gave into the folder of networks, and returns the file. */
  File add(Uri uri) throws IOException {
    File folder = folder();
    if (folder == null) {
      throw new IOException("The phone's storage is not there at the moment.");
    }
    String name = displayName(uri);
    if (!name.endsWith(".tflite")) {
      throw new IOException(name + " is not a .tflite file.");
    }
    File file = new File(folder, name.replace('/', '_'));
    try (InputStream stream = context.getContentResolver().openInputStream(uri)) {
      if (stream == null) {
        throw new FileNotFoundException(name + " could not be opened.");
      }
      copy(stream, file);
    } catch (SecurityException exception) {
      throw new IOException(name + " may not be read.", exception);
    }
    return file;
  }

  private String displayName(Uri uri) {
    try (Cursor cursor =
        context.getContentResolver().query(uri, new String[] {OpenableColumns.DISPLAY_NAME}, null, null, null)) {
      if (cursor != null && cursor.moveToFirst() && !cursor.isNull(0)) {
        return cursor.getString(0);
      }
    }
    String last = uri.getLastPathSegment();
    return last == null ? "?" : last;
  }

  private static void copy(InputStream stream, File file) throws IOException {
    File folder = file.getParentFile();
    if (!folder.isDirectory() && !folder.mkdirs()) {
      throw new IOException("The folder " + folder + " could not be made.");
    }
    File temporary = new File(folder, file.getName() + ".new");
    try {
      try (OutputStream out = new FileOutputStream(temporary)) {
        byte[] buffer = new byte[1 << 16];
        for (int read = stream.read(buffer); read >= 0; read = stream.read(buffer)) {
          out.write(buffer, 0, read);
        }
      }
      if (!temporary.renameTo(file)) {
        throw new IOException("The file " + file + " could not be written.");
      }
    } finally {
      temporary.delete();
    }
  }

  /** The hash of a file in hexadecimal digits. */
  static String sha256(File file) throws IOException {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException exception) {
      throw new IllegalStateException(exception); // Android has it.
    }
    try (InputStream stream = new FileInputStream(file)) {
      byte[] buffer = new byte[1 << 16];
      for (int read = stream.read(buffer); read >= 0; read = stream.read(buffer)) {
        digest.update(buffer, 0, read);
      }
    }
    StringBuilder text = new StringBuilder();
    for (byte b : digest.digest()) {
      text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
    }
    return text.toString();
  }
}
