"""The app's native libraries on glibc: the stock TensorFlow Lite for Android runs networks with the delegate.

On x86-64 a JVM runs the Java classes of the app; on ARM64, which QEMU emulates, a program calls the same native
methods and TensorFlow Lite's C interface. This is no test of Android's loader, of its C library or of ART: see
android/PHONE.md.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from glibc_world import World, arm64_emulator, make_world
from lce_models import small_network

pytestmark = pytest.mark.android

ROOT = Path(__file__).parents[2]
TFLITE = "libtensorflowlite_jni.so"
DELEGATE = "liblarq_melius_delegate.so"


def in_the_app(apk, name):
    return apk.read(next(entry for entry in apk.namelist() if entry.endswith(name)))


def world_of(tmp_path_factory, apk, abi, delegate=None):
    if abi == "x86_64":
        compiler, emulator = ("cc",), ()
        if os.uname().machine != "x86_64" or shutil.which("cc") is None:
            pytest.skip("This needs a C compiler, on x86-64.")
    else:
        emulator = arm64_emulator()
        if emulator is None:
            pytest.skip("This needs QEMU and Debian's libc6-arm64-cross.")
        compiler = (os.environ["ANDROID_ZIG"], "cc", "-target", "aarch64-linux-gnu.2.28")
    libraries = [apk.read(f"lib/{abi}/{name}") for name in (TFLITE, DELEGATE)]
    if delegate is not None:
        libraries[1] = delegate
    return make_world(tmp_path_factory.mktemp(abi), *libraries, compiler, emulator)


@pytest.fixture(scope="module", params=["x86_64", "arm64-v8a"])
def world(request, tmp_path_factory, apk) -> World:
    return world_of(tmp_path_factory, apk, request.param)


def run_in_c(world, model, x):
    (world.folder / "model.tflite").write_bytes(model)
    x.astype("f4").tofile(world.folder / "input")
    files = (world.folder / name for name in (TFLITE, DELEGATE, "model.tflite", "input", "output"))
    said = world.run(world.folder / "run_network", *files)
    return np.fromfile(world.folder / "output", "f4"), said


@pytest.fixture(scope="module")
def run_in_java(tmp_path_factory, apk):
    """A function that runs a network by the Java classes of the app."""
    if shutil.which("javac") is None:
        pytest.skip("There is no JDK.")
    world = world_of(tmp_path_factory, apk, "x86_64")
    # The app's own classes, among them TensorFlow Lite's, as they were before dx translated them.
    classes = ROOT / "android/target/classes"
    source = Path(__file__).with_name("RunNetwork.java")
    subprocess.run(["javac", "-cp", classes, "-d", world.folder, source], check=True, capture_output=True)

    def run(model, x):
        (world.folder / "model.tflite").write_bytes(model)
        x.astype("f4").tofile(world.folder / "input")
        path = f"{classes}:{world.folder}"
        files = (world.folder / name for name in ("model.tflite", "input", "output"))
        said = world.run("java", f"-Djava.library.path={world.folder}", "-cp", path, "RunNetwork", *files)
        return np.fromfile(world.folder / "output", "f4"), said

    return run


@pytest.fixture(scope="module")
def meliusnet22(apk):
    """The app's MeliusNet22, its input, and the logits that Keras gave."""
    record = json.loads(in_the_app(apk, "models/MeliusNet22.json"))
    spec = importlib.util.spec_from_file_location("models", ROOT / "android/models.py")
    models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(models)
    x = models.seeded_input(record["input_seed"], (224, 224, 3))
    return in_the_app(apk, "models/MeliusNet22.tflite"), x, np.asarray(record["expected"])


def check_what_it_said(said, operators):
    assert 'the option "speed" is unknown' in said
    assert f"claimed: {operators}\n" in said
    assert "claimed when closed: 0" in said
    lines = re.findall(r"^  %\d+ .* = \w+\(.*\) \[.*\] \d+\.\d{3} ms$", said, re.MULTILINE)
    assert len(lines) == sum(map(int, re.findall(r"^program: (\d+) instructions", said, re.MULTILINE))) > 0


def lce_operators(model):
    from network_checks import lce_operators as count

    return sum(count(model).values())


def test_a_network_of_bits_is_right_to_the_bit(world):
    model, compute = small_network()
    x = np.random.default_rng(1).normal(size=(1, 6, 6, 20)).astype("f4")
    output, said = run_in_c(world, model, x)
    np.testing.assert_array_equal(output, compute(x).ravel())
    check_what_it_said(said, 4)


def test_logits_are_those_of_keras(world, meliusnet22):
    model, x, expected = meliusnet22
    output, said = run_in_c(world, model, x)
    assert np.abs(output - expected).max() < 1e-4 * expected.std()
    check_what_it_said(said, lce_operators(model))


def test_java_gives_the_logits_of_keras(run_in_java, meliusnet22):
    model, x, expected = meliusnet22
    output, said = run_in_java(model, x)
    assert np.abs(output - expected).max() < 1e-4 * expected.std()
    check_what_it_said(said, lce_operators(model))
    if re.search(r"\bavx2\b.*\bfma\b|\bfma\b.*\bavx2\b", Path("/proc/cpuinfo").read_text()):
        assert re.search(r"\[avx(2|512),", said), "the processor has more than the delegate uses"


def test_java_classifies_digits(run_in_java, apk):
    """Scans that training never saw, through the classes of the app."""
    from larq_melius.zoo.data.digits import load_digits_split

    record = json.loads(in_the_app(apk, "models/digits.json"))
    test = load_digits_split().test
    model = in_the_app(apk, "models/digits.tflite")
    for image, label in list(zip(test.images, test.labels, strict=True))[:3]:
        output, _ = run_in_java(model, (image.astype("f4") - record["mean"]) / record["std"])
        assert output.argmax() == label


def test_the_library_for_linux_runs_in_it_too(tmp_path_factory, apk, meliusnet22):
    library = ROOT / "build/delegates/liblarq_melius_delegate-linux-x86_64.so"
    if not library.exists():
        pytest.skip("make delegates has not built the library for Linux.")
    world = world_of(tmp_path_factory, apk, "x86_64", library.read_bytes())
    model, x, expected = meliusnet22
    output, _ = run_in_c(world, model, x)
    assert np.abs(output - expected).max() < 1e-4 * expected.std()
