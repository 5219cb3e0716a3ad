"""Where files are written to: devices, pipes, links, and what killed processes leave behind."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import run

from larq_melius.files import atomic_file, check_writable, write_atomically


def test_devices_stay_devices() -> None:
    for _ in range(2):
        write_atomically("/dev/null", b"gone")
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_open_files_are_written_to(tmp_path: Path) -> None:
    path = tmp_path / "output"
    with path.open("wb") as file:
        file.write(b"before ")
        file.flush()
        write_atomically(f"/dev/fd/{file.fileno()}", b"between ")
        file.seek(0, os.SEEK_END)
        file.write(b"after")
    assert path.read_bytes() == b"before between after"


def test_pipes_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomically(pipe, b"through")
    reader.join(10)
    assert received == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link, second = tmp_path / "folder" / "target", tmp_path / "link", tmp_path / "second"
    link.symlink_to("folder/target")
    second.symlink_to("link")
    for content in (b"new", b"newer"):
        assert write_atomically(second, content) == second
        assert target.read_bytes() == content
    assert link.is_symlink()
    assert second.is_symlink()
    assert not target.is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_what_cannot_be_written_is_known_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    places = {
        "folder": "Is a directory",
        "link": "Is a directory",
        "file/new": "Not a directory",
        "none/new": "No such file or directory",
    }
    for place, reason in places.items():
        with pytest.raises(OSError, match=f"Cannot write .*{place}: {reason}"):
            check_writable(tmp_path / place)
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "file")
    assert not (tmp_path / "new").exists()
    # Tests may run as root, who may write everywhere.
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "file" and real(path, mode))
    with pytest.raises(OSError, match=r"Cannot write .*file: Permission denied"):
        check_writable(tmp_path / "file")
    with pytest.raises(OSError, match=r"Cannot write .*file: Permission denied"):
        write_atomically(tmp_path / "file", b"content")


@pytest.mark.parametrize(
    "command",
    [
        ("export", "MeliusNet59", "--weights", "none", "-o"),
        ("weights", "import", __file__, "--model", "MeliusNet59", "-o"),
        ("evaluate", "MeliusNet59", "--dataset", "missing", "--report"),
        ("runs", "plot", "missing", "-o"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_commands_refuse_first_what_they_cannot_write(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / {"weights": "new.npz", "runs": "new.png"}.get(command[0], "new")
    result = run(*command, target)
    assert result.returncode == 2
    assert f"Cannot write {target}: Not a directory" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_failure_of_the_data_is_not_one_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^the data ran out$"), atomic_file(tmp_path / "file"):
        raise OSError("the data ran out")
    assert not list(tmp_path.iterdir())


WRITER = """
import sys, time
from larq_melius.files import atomic_file

with atomic_file(sys.argv[1]) as file:
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
    file.write(b", and the rest")
"""


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "file[1].npz"  # a name with a meaning in patterns
    others = [tmp_path / ".file[1].npz.keep", tmp_path / ".another.npz.abcdefgh"]
    for other in others:
        other.write_bytes(b"something")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
    killed, alive = writers
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert len(list(tmp_path.iterdir())) == 4
    write_atomically(path, b"new")
    # What the killed process left is gone, the other's file is not.
    assert len(list(tmp_path.iterdir())) == 4
    alive.communicate("")
    assert alive.returncode == 0
    assert path.read_bytes() == b"half of it, and the rest"
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_an_empty_file_may_be_of_a_process_that_has_just_begun(tmp_path: Path) -> None:
    young, old = tmp_path / ".file.abcdefgh", tmp_path / ".file.ijklmnop"
    for path in (young, old):
        path.touch()
    os.utime(old, (time.time() - 1000,) * 2)
    write_atomically(tmp_path / "file", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.abcdefgh", "file"]
