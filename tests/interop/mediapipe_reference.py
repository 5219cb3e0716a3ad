"""Reads the metadata of a TFLite file with MediaPipe's reader, and prints it as JSON."""

import importlib.util
import json
import sys
import types
from pathlib import Path

# MediaPipe's packages import all of its tasks, with OpenCV, an audio library and a native one that not every wheel has.
# In their place stand empty ones, in which Python finds the modules of the metadata that are imported below.
location = importlib.util.find_spec("mediapipe")
if location is None or location.origin is None:
    sys.exit("MediaPipe is not installed here.")
folder = Path(location.origin).parent
for name in ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.metadata"):
    package = types.ModuleType(name)
    package.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
    sys.modules[name] = package
# The metadata's module asks for the native library, which only its writer uses.
for name in ("mediapipe.tasks.cc", "mediapipe.tasks.cc.metadata", "mediapipe.tasks.cc.metadata.python"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["mediapipe.tasks.cc.metadata.python"]._pywrap_metadata_version = None  # type: ignore[attr-defined]

from mediapipe.tasks.python.metadata.metadata import MetadataDisplayer  # noqa: E402

displayer = MetadataDisplayer.with_model_file(sys.argv[1])
files = {
    name: displayer.get_associated_file_buffer(name).decode() for name in displayer.get_packed_associated_file_list()
}
print(json.dumps({"metadata": json.loads(displayer.get_metadata_json()), "files": files}))
