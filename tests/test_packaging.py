"""The wheel: it holds everything, and works away from the repository."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from larq_melius.runtime.library import LIBRARY_NAME

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.process


def build_wheel(folder, *options, **variables):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", *options, "-w", folder, ROOT]
    environment = {**os.environ, **variables}
    result = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (wheel,) = folder.glob("larq_melius-*.whl")
    return wheel, result.stdout + result.stderr


def test_wheel_without_a_compiler(tmp_path):
    wheel, log = build_wheel(tmp_path, "--verbose", CXX="/no/compiler", LARQ_MELIUS_PREBUILT_DELEGATE="")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "liblarq_melius" in name]
    assert log.count("larq-melius is installed without its delegate") == 1


def test_wheel_works_from_elsewhere(tmp_path, delegate_library):
    wheel, _ = build_wheel(tmp_path, LARQ_MELIUS_PREBUILT_DELEGATE=str(delegate_library))
    assert re.search(r"-py3-none-(linux|macosx)_\w+\.whl$", wheel.name)
    (library,) = [name for name in zipfile.ZipFile(wheel).namelist() if "liblarq_melius" in name]
    assert library == f"larq_melius/runtime/{LIBRARY_NAME}"
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if "dist-info" not in name} == {"larq_melius"}
    for folder, package in (
        ("larq_melius", "larq_melius"),
        ("zoo", "larq_melius/zoo"),
        ("converters", "larq_melius/converters"),
        ("runtime", "larq_melius/runtime"),
    ):
        modules = {f"{package}/{file.relative_to(ROOT / folder).as_posix()}" for file in (ROOT / folder).rglob("*.py")}
        assert modules <= set(names)
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = (
        "import sys; sys.path.insert(0, 'site'); import larq_melius, larq_melius.zoo, larq_melius.converters\n"
        "from larq_melius import runtime; runtime.delegate()\n"
        "assert str(runtime.find_library()).startswith(sys.argv[1]), runtime.find_library()\n"
        "assert larq_melius.__file__.startswith(sys.argv[1]), larq_melius.__file__\n"
        "larq_melius.MeliusNetTiny(); print(larq_melius.decode_predictions([[1.0] + [0.0] * 999], top=1))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "LARQ_MELIUS_DELEGATE"}
    command = [sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "tench" in result.stdout
