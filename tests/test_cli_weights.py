"""``larq-melius weights``, run as users run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import larq_melius as lm
from larq_melius.weights import save_packed

COMMAND = Path(sys.executable).with_name("larq-melius")
DATA = Path(__file__).with_name("data")


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "LARQ_"))}
    clean |= {"LARQ_MELIUS_HOME": str(cwd / "home"), "LARQ_MELIUS_OFFLINE": "1"}
    command = [COMMAND, "weights", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=False)


def test_a_file_is_added_listed_fetched_verified_and_removed(tmp_path) -> None:
    save_packed(lm.MeliusNetTiny(weights=None, classes=2), tmp_path / "own.npz")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    added = run(
        *("add", "own.npz", "--model", "meliusnettiny", "--tag", "pets", "--labels", "labels.txt"),
        *("--mean", "80", "--std", "90", "--top1", "0.9", "--licence", "MIT"),
        cwd=tmp_path,
    )
    assert added.returncode == 0, added.stderr
    assert "weights='pets'" in added.stdout
    entries = json.loads(run("list", "MeliusNetTiny", "--json", cwd=tmp_path).stdout)
    assert [(e["tag"], e["state"], e["top1"]) for e in entries] == [
        ("pets", "here", 0.9),
        ("digits", "shipped", 449 / 450),
    ]
    path = Path(run("fetch", "MeliusNetTiny", "--tag", "pets", cwd=tmp_path).stdout.strip())
    assert path.read_bytes() == (tmp_path / "own.npz").read_bytes()
    assert run("verify", cwd=tmp_path).returncode == 0
    path.write_bytes(b"damaged")
    damaged = run("verify", cwd=tmp_path)
    assert damaged.returncode == 1
    assert damaged.stderr.startswith(f"Error: Damaged: {path.name}")
    assert run("remove", "MeliusNetTiny", "--tag", "pets", cwd=tmp_path).returncode == 0
    assert not path.exists()
    assert len(json.loads(run("list", "MeliusNetTiny", "--json", cwd=tmp_path).stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "MeliusNet42"), "There are no 'imagenet' weights for MeliusNet42"),
        (("fetch", "BinaryDenseNet28"), "pass stem='conv7x7'"),
        (("fetch", "MeliusNet22"), "LARQ_MELIUS_OFFLINE"),
        (("add", "none.npz", "--model", "MeliusNet22", "--tag", "x"), "none.npz"),
        (("add", "text.npz", "--model", "MeliusNet22", "--tag", "x"), "not a packed weight file"),
        (("remove", "MeliusNetTiny", "--tag", "digits"), "part of the package"),
        (("import", "text.npz", "--model", "MeliusNet22", "-o", "x.npz"), "text.npz is no weight file"),
        (("import", "types.params", "--model", "MeliusNet22", "-o", "x.npz"), "types.params"),
        (("import", "types.params", "--model", "MeliusNet22", "-o", "x.txt"), "must end in"),
        (("list", "MeliusNet99"), "Unknown model"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_line_and_exit_code_2(arguments, message, tmp_path) -> None:
    (tmp_path / "text.npz").write_text("no weights")
    (tmp_path / "types.params").write_bytes((DATA / "mxnet_types.params").read_bytes())
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert message in result.stderr
    assert not (tmp_path / "x.npz").exists()
