package org.larqmelius.benchmark;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;
import java.io.File;
import java.io.FileNotFoundException;

/** Lets the app with which results are shared read the last results, and nothing else. */
public final class ResultsProvider extends ContentProvider {
  static final Uri LAST_RESULTS = Uri.parse("content://org.larqmelius.benchmark.results/larq-melius-benchmark.json");

  private File file(Uri uri) throws FileNotFoundException {
    File file = Session.of(getContext()).resultsFile();
    if (!LAST_RESULTS.equals(uri) || !file.isFile()) {
      throw new FileNotFoundException("There is no " + uri);
    }
    return file;
  }

  @Override
  public boolean onCreate() {
    return true;
  }

  @Override
  public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
    if (!mode.equals("r")) {
      throw new FileNotFoundException("Results can only be read.");
    }
    return ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.MODE_READ_ONLY);
  }

  @Override
  public String getType(Uri uri) {
    return "application/json";
  }

  @Override
  public Cursor query(Uri uri, String[] projection, String selection, String[] arguments, String order) {
    String[] all = {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE};
    String[] columns = projection == null ? all : projection;
    MatrixCursor cursor = new MatrixCursor(columns, 1);
    try {
      File file = file(uri);
      Object[] row = new Object[columns.length];
      for (int i = 0; i < columns.length; ++i) {
        if (columns[i].equals(OpenableColumns.DISPLAY_NAME)) {
          row[i] = uri.getLastPathSegment();
        } else if (columns[i].equals(OpenableColumns.SIZE)) {
          row[i] = file.length();
        }
      }
      cursor.addRow(row);
    } catch (FileNotFoundException exception) {
      return cursor;
    }
    return cursor;
  }

  @Override
  public Uri insert(Uri uri, ContentValues values) {
    throw new UnsupportedOperationException("Results can only be read.");
  }

  @Override
  public int delete(Uri uri, String selection, String[] arguments) {
    throw new UnsupportedOperationException("Results can only be read.");
  }

  @Override
  public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
    throw new UnsupportedOperationException("Results can only be read.");
  }
}
