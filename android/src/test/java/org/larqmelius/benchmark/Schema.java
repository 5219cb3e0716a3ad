package org.larqmelius.benchmark;

import static org.junit.Assert.assertEquals;
import static org.junit.Assume.assumeTrue;

import com.networknt.schema.InputFormat;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import java.io.File;
import java.nio.file.Files;
import java.util.Set;

/** The schema that the project has for files of results of phones: a list of runs, of which the app writes one. */
final class Schema {
  private static final File FILE = new File(System.getProperty("schema", "../benchmarks/devices/schema.json"));

  private Schema() {}

  static void check(String json) throws Exception {
    assumeTrue("There is no " + FILE, FILE.isFile());
    JsonSchema schema = JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012)
        .getSchema(Files.readString(FILE.toPath()));
    assertEquals(Set.of(), schema.validate("{\"schema_version\": 1, \"runs\": [" + json + "]}", InputFormat.JSON));
  }
}
