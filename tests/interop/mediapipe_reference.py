"""Reads the metadata of a TFLite file with MediaPipe's reader, and prints it as JSON."""

import json
import sys
import types

# MediaPipe's metadata module asks for a native library that only its writer uses, and that not every wheel has.
for name in ("mediapipe.tasks.cc", "mediapipe.tasks.cc.metadata", "mediapipe.tasks.cc.metadata.python"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules["mediapipe.tasks.cc.metadata.python"]._pywrap_metadata_version = None  # type: ignore[attr-defined]

from mediapipe.tasks.python.metadata.metadata import MetadataDisplayer  # noqa: E402

displayer = MetadataDisplayer.with_model_file(sys.argv[1])
files = {
    name: displayer.get_associated_file_buffer(name).decode() for name in displayer.get_packed_associated_file_list()
}
print(json.dumps({"metadata": json.loads(displayer.get_metadata_json()), "files": files}))
