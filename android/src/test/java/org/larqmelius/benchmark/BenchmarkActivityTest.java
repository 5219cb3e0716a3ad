package org.larqmelius.benchmark;
import org.junit.*;
import org.junit.runner.RunWith;
import org.robolectric.*;
import org.robolectric.android.controller.ActivityController;
import android.graphics.*;
import android.view.View;
@RunWith(RobolectricTestRunner.class)
public class BenchmarkActivityTest {
  @Test public void draws() throws Exception {
    ActivityController<BenchmarkActivity> c = Robolectric.buildActivity(BenchmarkActivity.class).setup();
    View v = c.get().getWindow().getDecorView();
    Bitmap b = Bitmap.createBitmap(v.getWidth(), v.getHeight(), Bitmap.Config.ARGB_8888);
    v.draw(new Canvas(b));
    try (java.io.FileOutputStream o = new java.io.FileOutputStream("/tmp/rj/a.png")) { b.compress(Bitmap.CompressFormat.PNG, 100, o); }
    c.recreate(); c.pause().stop().destroy();
  }
}
