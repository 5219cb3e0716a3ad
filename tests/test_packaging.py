"""The wheel: it holds everything, and works away from the repository."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_wheel_works_from_elsewhere(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT],
        check=True,
        cwd=tmp_path,
    )
    (wheel,) = tmp_path.glob("larq_melius-*.whl")
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
        "assert larq_melius.__file__.startswith(sys.argv[1]), larq_melius.__file__\n"
        "larq_melius.MeliusNetTiny(); print(larq_melius.decode_predictions([[1.0] + [0.0] * 999], top=1))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "tench" in result.stdout
