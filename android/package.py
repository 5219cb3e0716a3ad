"""Puts the app together: dex, resources, native libraries and networks become one signed APK, byte by byte the same.

    python android/package.py --classes DIR --delegates DIR --tflite AAR --models DIR --dx JAR --key FILE OUTPUT.apk

Beside it lies the delegate for other apps: OUTPUT's folder gets ``larq-melius-delegate.aar``, its class and libraries.

Needs Debian's ``aapt`` (which brings ``aapt2``), ``android-framework-res``, ``apksigner`` and a JDK. The key is a
PKCS #12 file with the password "android"; where there is none, one is made for debugging. Whoever has the same key, the
same tools and the same inputs gets the same file.
"""

import argparse
import io
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ANDROID = Path(__file__).parent
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
MIN_SDK = "24"
PASSWORD = "pass:android"
# Our names of processors, and Android's.
ABIS = {"arm64": "arm64-v8a", "x86_64": "x86_64"}
# Libraries are mapped into memory from the APK itself, so they begin where a page may: 16 KiB on newer phones.
PAGE = 16384
# Read by Android straight from the APK: its table of resources; by the app: networks, which are random numbers and
# would hardly shrink.
STORED = {".arsc", ".so", ".tflite"}
EPOCH = (1980, 1, 1, 0, 0, 0)


def run(*command: str | Path) -> None:
    """Runs a tool; what it says goes to stderr.

    Raises:
        SystemExit: If it is not there, or fails.
    """
    try:
        subprocess.run(command, check=True, stdout=sys.stderr)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not here; docs/android.md says what the build needs.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{command[0]} failed with exit code {error.returncode}.")


def make_dex(dx: Path, classes: Path, folder: Path) -> bytes:
    """Android's code of a folder of Java classes."""
    dex = folder / "classes.dex"
    run(
        "java",
        "-cp",
        dx,
        "com.android.dx.command.Main",
        "--dex",
        f"--min-sdk-version={MIN_SDK}",
        f"--output={dex}",
        classes,
    )
    return dex.read_bytes()


def make_resources(folder: Path) -> zipfile.ZipFile:
    """The binary manifest, the table of resources and the files that it names."""
    compiled, linked = folder / "compiled.zip", folder / "resources.apk"
    run("aapt2", "compile", "--dir", ANDROID / "src/main/res", "-o", compiled)
    manifest = ANDROID / "src/main/AndroidManifest.xml"
    run("aapt2", "link", "--auto-add-overlay", "-I", FRAMEWORK, "--manifest", manifest, "-o", linked, compiled)
    return zipfile.ZipFile(linked)


def contents(arguments: argparse.Namespace, folder: Path) -> dict[str, bytes]:
    """All files of the APK but those of the signature."""
    files = {"classes.dex": make_dex(arguments.dx, arguments.classes, folder)}
    with make_resources(folder) as resources:
        files |= {name: resources.read(name) for name in resources.namelist()}
    with zipfile.ZipFile(arguments.tflite) as tflite:
        for ours, abi in ABIS.items():
            library = arguments.delegates / f"liblarq_melius_delegate-android-{ours}.so"
            files[f"lib/{abi}/liblarq_melius_delegate.so"] = library.read_bytes()
            name = "libtensorflowlite_jni.so"
            files[f"lib/{abi}/{name}"] = tflite.read(f"jni/{abi}/{name}")
    for path in sorted(arguments.models.iterdir()):
        if path.suffix in {".tflite", ".json"}:
            files[f"assets/models/{path.name}"] = path.read_bytes()
    # What the app brings of others comes with its licenses; TensorFlow Lite's license is our own.
    for name in ("LICENSE", "NOTICE"):
        files[f"assets/licenses/{name}"] = (ANDROID.parent / name).read_bytes()
    return files


def delegate_archive(arguments: argparse.Namespace) -> dict[str, bytes]:
    """The files of an Android archive of the delegate alone."""
    folder = "org/larqmelius/delegate"
    classes = io.BytesIO()
    with zipfile.ZipFile(classes, "w") as archive:
        for path in sorted((arguments.classes / folder).glob("*.class")):
            archive.writestr(zipfile.ZipInfo(f"{folder}/{path.name}", EPOCH), path.read_bytes())
    manifest = (
        '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.larqmelius.delegate">\n'
        f'  <uses-sdk android:minSdkVersion="{MIN_SDK}" />\n</manifest>\n'
    )
    # The library calls no method by name, but shrinkers must not rename those that it is called by.
    rules = "-keepclasseswithmembernames class org.larqmelius.delegate.** { native <methods>; }\n"
    files = {"AndroidManifest.xml": manifest.encode(), "R.txt": b"", "proguard.txt": rules.encode()}
    files["classes.jar"] = classes.getvalue()
    for ours, abi in ABIS.items():
        library = arguments.delegates / f"liblarq_melius_delegate-android-{ours}.so"
        files[f"jni/{abi}/liblarq_melius_delegate.so"] = library.read_bytes()
    for name in ("LICENSE", "NOTICE"):
        files[name] = (ANDROID.parent / name).read_bytes()
    return files


def write_aligned(path: Path, files: dict[str, bytes]) -> None:
    """Writes a ZIP archive in which stored files begin at multiples of four bytes, libraries at those of a page."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files, key=lambda name: (name != "AndroidManifest.xml", name)):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 0
            if Path(name).suffix in STORED:
                alignment = PAGE if name.endswith(".so") else 4
                assert archive.fp is not None
                # 30 bytes of a local header, then name and extra field: one by which apksigner knows the alignment.
                padding = -(archive.fp.tell() + 30 + len(name) + 6) % alignment
                entry.extra = struct.pack("<HHH", 0xD935, 2 + padding, alignment) + bytes(padding)
            else:
                entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)


def make_key(key: Path) -> None:
    """Makes a key for debugging, valid for thirty years."""
    key.parent.mkdir(parents=True, exist_ok=True)
    new = key.with_name(key.name + ".new")
    new.unlink(missing_ok=True)
    # fmt: off
    run("keytool", "-genkeypair", "-keystore", new, "-storetype", "PKCS12", "-alias", "debug",
        "-storepass", PASSWORD.removeprefix("pass:"), "-keyalg", "RSA", "-keysize", "2048", "-validity", "10950",
        "-dname", "CN=larq-melius debug")
    # fmt: on
    os.replace(new, key)


def sign(unsigned: Path, key: Path, output: Path) -> None:
    """Signs by the schemes v2 and v3: Android 7 is the first that knows v2."""
    # fmt: off
    run("apksigner", "sign", "--ks", key, "--ks-pass", PASSWORD, "--min-sdk-version", MIN_SDK, "--v1-signing-enabled",
        "false", "--v2-signing-enabled", "true", "--v3-signing-enabled", "true", "--v4-signing-enabled", "false",
        "--out", output, unsigned)
    # fmt: on


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name in ("classes", "delegates", "tflite", "models", "dx", "key"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("output", type=Path)
    return parser.parse_args(arguments)


def missing(arguments: argparse.Namespace) -> Iterator[str]:
    """What is not there."""
    for name in ("classes", "delegates", "tflite", "models", "dx"):
        path = getattr(arguments, name)
        if not path.exists():
            yield f"--{name}: there is no {path}"
    if not FRAMEWORK.exists():
        yield f"there is no {FRAMEWORK}: install Debian's android-framework-res"


def main() -> None:
    """Packages, signs, and puts the files in place."""
    arguments = parse()
    problems = list(missing(arguments))
    if problems:
        sys.exit("; ".join(problems))
    if not arguments.key.exists():
        make_key(arguments.key)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.output.parent) as temporary:
        folder = Path(temporary)
        write_aligned(folder / "unsigned.apk", contents(arguments, folder))
        sign(folder / "unsigned.apk", arguments.key, folder / "signed.apk")
        write_aligned(folder / "delegate.aar", delegate_archive(arguments))
        os.replace(folder / "delegate.aar", arguments.output.with_name("larq-melius-delegate.aar"))
        os.replace(folder / "signed.apk", arguments.output)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
