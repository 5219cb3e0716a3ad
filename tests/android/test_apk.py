"""The app's file: signature, manifest, alignment, code, native libraries, and that it can be built again."""

import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import check_library
import pytest

pytestmark = pytest.mark.android

ROOT = Path(__file__).parents[2]
ABIS = ("arm64-v8a", "x86_64")
NETWORKS = {"digits", "MeliusNetC", "MeliusNet22", "MeliusNet42", "MobileNet-0.5", "MobileNet-1.0"}


def output_of(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed.")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    return result.stdout


def test_signature(apk_path):
    said = output_of("apksigner", "verify", "--verbose", "--min-sdk-version", "24", str(apk_path))
    assert "(APK Signature Scheme v2): true" in said
    assert "(APK Signature Scheme v3): true" in said
    assert "WARNING" not in said


def test_manifest(apk_path):
    said = output_of("aapt", "dump", "badging", str(apk_path))
    assert "package: name='org.larqmelius.benchmark'" in said
    assert "sdkVersion:'24'" in said
    assert "targetSdkVersion:'35'" in said
    assert "launchable-activity: name='org.larqmelius.benchmark.BenchmarkActivity'" in said
    assert "native-code: 'arm64-v8a' 'x86_64'\n" in said
    assert "uses-permission" not in said
    attributes = output_of("aapt", "dump", "xmltree", str(apk_path), "AndroidManifest.xml")
    assert re.search(r"extractNativeLibs.*0x0\n", attributes), "libraries would be unpacked"


def test_code(apk_path):
    assert "Checksum verified" in output_of("dexdump", "-c", str(apk_path))
    classes = set(re.findall(r"Class descriptor *: '(.*)'", output_of("dexdump", str(apk_path))))
    for name in (
        "larqmelius/benchmark/BenchmarkActivity",
        "larqmelius/delegate/MeliusDelegate",
        "tensorflow/lite/Interpreter",
    ):
        assert f"Lorg/{name};" in classes
    assert not {name for name in classes if name.startswith(("Landroid/", "Ljava/", "Lorg/robolectric", "Lorg/junit"))}


def test_stored_files_are_aligned(apk):
    stored = [entry for entry in apk.infolist() if entry.compress_type == zipfile.ZIP_STORED]
    assert {Path(entry.filename).suffix for entry in stored} == {".so", ".arsc", ".tflite"}
    for entry in stored:
        apk.fp.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", apk.fp.read(4))
        start = entry.header_offset + 30 + name + extra
        assert start % (0x4000 if entry.filename.endswith(".so") else 4) == 0, entry.filename


@pytest.mark.parametrize("abi", ABIS)
def test_delegate_needs_only_what_android_has(abi, apk, tmp_path):
    library = tmp_path / "delegate.so"
    library.write_bytes(apk.read(f"lib/{abi}/liblarq_melius_delegate.so"))
    assert list(check_library.problems(str(library), "android", "24")) == []
    # Somebody who looks for a name that no Android has, or for one of a later level, finds it.
    assert list(check_library.problems(str(library), "android", "22")) == ["Android does not have stderr"]


@pytest.mark.parametrize("abi", ABIS)
def test_tensorflow_lite_is_the_stock_one_for_pages_of_4_kib(abi, apk, tmp_path):
    library = tmp_path / "tflite.so"
    library.write_bytes(apk.read(f"lib/{abi}/libtensorflowlite_jni.so"))
    archive = ROOT / "android/target/tensorflow-lite.aar"
    if archive.exists():
        assert zipfile.ZipFile(archive).read(
            f"jni/{abi}/{library.name.replace('tflite', 'libtensorflowlite_jni')}"
        ) == (library.read_bytes())
    segments = output_of("readelf", "-lW", str(library))
    alignments = {int(text, 16) for text in re.findall(r"LOAD .* (0x[0-9a-f]+)$", segments, re.MULTILINE)}
    # If this fails, TensorFlow Lite suits larger pages at last: docs/android.md says that it does not.
    assert alignments == {0x1000}


def test_networks_have_answers(apk):
    names = {Path(name).stem for name in apk.namelist() if name.endswith(".tflite")}
    assert names == NETWORKS
    for name in names:
        record = json.loads(apk.read(f"assets/models/{name}.json"))
        assert record["name"] == name
        assert record["sha256"] == hashlib.sha256(apk.read(f"assets/models/{name}.tflite")).hexdigest()
        assert len(record["expected"]) == (10 if name == "digits" else 1000)
        assert 0 < record["tolerance"] < max(record["expected"]) - min(record["expected"])
        assert record["random_weights"] == (name != "digits")


def test_no_library_is_left_out_of_the_licenses(apk):
    notice = apk.read("assets/licenses/NOTICE").decode()
    for name in ("TensorFlow Lite", "libc++", "larq-melius"):
        assert name in notice
    assert "Apache License" in apk.read("assets/licenses/LICENSE").decode()


def test_built_again_it_is_the_same(apk_path, tmp_path):
    """From a copy of the sources in another folder, compiled anew; libraries and networks are those there are."""
    key = os.environ["ANDROID_KEY"]
    copy = tmp_path / "another" / "android"
    shutil.copytree(ROOT / "android", copy, ignore=shutil.ignore_patterns("target"))
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, copy.parent)
    output_of("mvn", "--quiet", "--offline", "--batch-mode", "--file", str(copy / "pom.xml"), "compile")
    build = ROOT / "build"
    # fmt: off
    output_of(
        sys.executable, str(copy / "package.py"), "--classes", str(copy / "target/classes"),
        "--delegates", str(build / "delegates"), "--tflite", str(copy / "target/tensorflow-lite.aar"),
        "--models", str(build / "android/models"), "--dx", str(build / "android/dalvik-dx.jar"),
        "--key", key, str(tmp_path / "again.apk"),
    )
    # fmt: on
    assert (tmp_path / "again.apk").read_bytes() == apk_path.read_bytes()
    archive = "larq-melius-delegate.aar"
    assert (tmp_path / archive).read_bytes() == apk_path.with_name(archive).read_bytes()


def test_archive_for_other_apps(apk, apk_path):
    with zipfile.ZipFile(apk_path.with_name("larq-melius-delegate.aar")) as archive:
        for abi in ABIS:
            name = "liblarq_melius_delegate.so"
            assert archive.read(f"jni/{abi}/{name}") == apk.read(f"lib/{abi}/{name}")
        with zipfile.ZipFile(io.BytesIO(archive.read("classes.jar"))) as classes:
            assert classes.namelist() == ["org/larqmelius/delegate/MeliusDelegate.class"]
        assert {"AndroidManifest.xml", "R.txt", "proguard.txt", "LICENSE", "NOTICE"} <= set(archive.namelist())
