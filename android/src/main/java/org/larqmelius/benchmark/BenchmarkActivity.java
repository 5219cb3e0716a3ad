package org.larqmelius.benchmark;
import android.app.Activity;
import android.os.Bundle;
import android.widget.*;
public final class BenchmarkActivity extends Activity {
  @Override protected void onCreate(Bundle b) { super.onCreate(b); LinearLayout l = new LinearLayout(this); l.setOrientation(1); TextView t = new TextView(this); t.setText(R.string.app_name); l.addView(t); Button u = new Button(this); u.setText("Run"); l.addView(u); setContentView(l);}
}
