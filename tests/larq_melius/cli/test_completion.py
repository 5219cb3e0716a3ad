"""Completion in the shell and help, neither of which imports TensorFlow."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest
from click.shell_completion import ShellComplete
from command_line import run

from larq_melius.cli import cli
from larq_melius.cli.errors import Group

# Tries in one process, since each would take another: what users ask for often, with TensorFlow out of reach.
WITHOUT_TENSORFLOW = """
import os
import sys

for name in ("tensorflow", "tf_keras", "larq", "matplotlib"):
    sys.modules[name] = None

from click.testing import CliRunner
from larq_melius.cli import cli

def run(*arguments, **variables):
    result = CliRunner(env=variables).invoke(cli, arguments, prog_name="larq-melius")
    assert result.exit_code == 0, (arguments, variables, result.output, result.exc_info)
    return result.stdout

def complete(words):
    count = len(words.split(" ")) - 1
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(count), "_LARQ_MELIUS_COMPLETE": "bash_complete"}
    return run(**variables)

assert "export" in run("--help")
assert "--blocks" in run("summary", "--help")
assert "complete" in run(_LARQ_MELIUS_COMPLETE="bash_source")
assert "export" in complete("larq-melius ex")
assert "MeliusNet42" in complete("larq-melius summary melius")
assert "ResNetE18-adam" in complete("larq-melius train resnet")
assert "optimizer" in complete("larq-melius ablation opt")
assert "cifar10" in complete("larq-melius train MeliusNet22 --dataset cif")
assert "imagenet" in complete("larq-melius weights fetch MeliusNet22 --tag im")
assert "MeliusNet42" in run("list")
assert "MeliusNet42" in run("recipes", "list")
assert "radam" in run("recipes", "show", "MeliusNet42")
assert "meliusnet_tiny_digits.npz" in run("weights", "list")
assert "shipped" in run("weights", "verify")
assert "meliusnet_tiny_digits.npz" in run("weights", "fetch", "MeliusNetTiny")
assert "no runs" in run("runs", "list", ".")
print("done")
"""


def test_listing_completion_and_help_do_without_tensorflow(
    run_python: Callable[..., CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("LARQ_MELIUS_HOME", str(tmp_path))
    result = run_python(WITHOUT_TENSORFLOW)
    assert result.stdout == "done\n", result.stderr


def complete(*words: str) -> list[tuple[str, str]]:
    """Values and types of what the shell gets for the last of the words."""
    *arguments, incomplete = words
    items = ShellComplete(cli, {}, "larq-melius", "_LARQ_MELIUS_COMPLETE").get_completions(arguments, incomplete)
    return [(item.value, item.type) for item in items]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("summary", "meliusneta"), [("MeliusNetA", "plain")]),
        (("export", "BiReal"), [("BiRealNet34", "plain")]),
        (("predict", "my.ker"), [("my.ker", "file")]),
        (("benchmark", "MeliusNet22", "naive"), [("NaiveNet17", "plain")]),
        (("list", "bireal"), [("BiRealNet34", "plain")]),
        (("weights", "list", "bireal"), [("BiRealNet34", "plain")]),
        (("weights", "add", "x.h5", "--model", "bireal"), [("BiRealNet34", "plain")]),
        (("weights", "remove", "MeliusNetTiny", "--tag", ""), [("digits", "plain"), ("imagenet", "plain")]),
        (("evaluate", "MeliusNetTiny", "--weights", "dig"), [("digits", "plain")]),
        (("train", "meliusnet42"), [("MeliusNet42", "plain")]),
        (("train", "my.js"), [("my.js", "file")]),
        (("recipes", "show", "naive"), [("NaiveNet17", "plain")]),
        (("ablation", "s"), [("stem", "plain")]),
        (("ablation", "stem", "--dataset", "dig"), [("digits", "plain")]),
        (("evaluate", "MeliusNet22", "--dataset", "fol"), [("folder", "plain")]),
        (("summary", "MeliusNet22", "--stem", "thumb"), [("thumbnail", "plain")]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_the_shell_completes(words: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    assert complete(*words) == expected


@pytest.mark.parametrize("group", ["weights", "runs", "recipes"])
def test_a_group_alone_shows_its_help(group: str) -> None:
    result = run(group)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith(f"Usage: larq-melius {group} ")
    assert result.stdout == run(group, "--help").stdout


@pytest.mark.parametrize("group", [cli, *(command for command in cli.commands.values() if isinstance(command, Group))])
def test_help_of_groups_is_not_cut(group: Group) -> None:
    arguments = [] if group is cli else [group.name]
    text = " ".join(run(*arguments, "--help").stdout.split())
    for command in group.commands.values():
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert first in text or first.rstrip(".") in text
