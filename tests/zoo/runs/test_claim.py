"""The folder of a run belongs to one process at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from larq_melius.zoo.recipes import Recipe, load_recipe
from larq_melius.zoo.runs.claim import claimed_folder

HOLD = """
import sys
from pathlib import Path
from larq_melius.zoo.recipes import load_recipe
from larq_melius.zoo.runs.claim import claimed_folder
with claimed_folder(Path(sys.argv[1]), load_recipe("MeliusNet22"), resume=False):
    Path(sys.argv[1], "log.csv").touch()
    Path(sys.argv[1], "checkpoints/step-0000000001").mkdir(parents=True)
    print("claimed", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("MeliusNet22")


def test_a_running_run_is_left_alone_until_it_ends(tmp_path: Path, recipe: Recipe) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "claimed\n"
        before = sorted(folder.rglob("*"))
        with (
            pytest.raises(BlockingIOError, match=f"Another process is training in {folder}"),
            claimed_folder(folder, recipe, resume=True),
        ):
            pass
        assert sorted(folder.rglob("*")) == before
        # However it ends: nothing that it could do about the lock is needed.
        running.kill()
    with claimed_folder(folder, recipe, resume=True):
        pass


def test_two_that_start_at_once_do_not_both_get_the_folder(tmp_path: Path, recipe: Recipe) -> None:
    folder = tmp_path / "run"
    with (
        claimed_folder(folder, recipe, resume=True),
        pytest.raises(BlockingIOError, match="name another folder"),
        claimed_folder(folder, recipe, resume=True),
    ):
        pass
