"""The command line, within this process and as a process of its own; both take and answer the same."""

import contextlib
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

from click.testing import CliRunner, Result

from larq_melius.cli import cli

#: The installed command.
COMMAND = Path(sys.executable).with_name("larq-melius")


def run(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line within this process, which saves the seconds that TensorFlow takes to import.

    Standard output, standard error and the exit code are what a user gets, but for messages that TensorFlow's C++ code
    writes past Python, and for what a process can set only once (``--devices``, ``--hosts``, ``TF_CONFIG``): these take
    a process of their own.

    Args:
        arguments: Of ``larq-melius``.
        cwd: The current folder meanwhile.
        env: Environment variables that differ; ``None`` unsets one.
    """
    # TensorFlow is imported already: who sets this is left alone, and with it the log levels of this process.
    variables = {"TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})}
    with _current_folder(cwd):
        result = CliRunner(env=variables).invoke(cli, list(map(str, arguments)), prog_name="larq-melius")
    return subprocess.CompletedProcess(
        [str(COMMAND), *map(str, arguments)], result.exit_code, result.stdout, result.stderr + _uncaught(result)
    )


def run_process(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the installed command as users do, with nothing of TensorFlow's set in its environment.

    Args:
        arguments: Of ``larq-melius``.
        cwd: The current folder of the process.
        env: Environment variables that differ; ``None`` unsets one.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TF_")} | dict(env or {})
    return subprocess.run(
        [str(COMMAND), *map(str, arguments)],
        cwd=cwd,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def _current_folder(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


def _uncaught(result: Result) -> str:
    """The traceback that Python would write to standard error."""
    if result.exception is None or isinstance(result.exception, SystemExit):
        return ""
    return "".join(traceback.format_exception(result.exception))
