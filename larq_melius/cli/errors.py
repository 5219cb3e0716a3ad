"""Reports errors in one line each."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from larq_melius.cli.quiet import quiet_tensorflow


class UserError(click.ClickException):
    """An error that the user can fix."""

    exit_code = 2


class Group(click.Group):
    """A group of commands whose help does not truncate their descriptions."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the commands with untruncated descriptions."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [(name, command.get_short_help_str(limit=sys.maxsize)) for name, command in commands.items() if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class OneLineErrors(Group):
    """The group of all commands: it reports an error in one line, without click's usage text."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the command line as click does, except for how errors are shown."""
        try:
            result = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            if not standalone_mode:
                raise
            click.echo(error.ctx.get_help() if error.ctx else "")
            sys.exit(0)
        except click.ClickException as error:
            if not standalone_mode:
                raise
            click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            if not standalone_mode:
                raise
            click.echo("Aborted.", err=True)
            sys.exit(1)
        if standalone_mode:
            sys.exit(result if isinstance(result, int) else 0)
        return result


@contextlib.contextmanager
def one_line_errors(*, tensorflow: bool = True) -> Iterator[None]:
    """Runs library code: imports TensorFlow quietly, and reports errors in one line each.

    A ``RuntimeError`` is not the user's mistake (such as a flatbuffer that differs from its model) and ends the command
    with exit code 1, any other error with 2. With ``--traceback``, errors pass unchanged.

    Args:
        tensorflow: Whether the command needs TensorFlow, which takes seconds to import.
    """
    try:
        with quiet_tensorflow() if tensorflow else contextlib.nullcontext():
            yield
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if isinstance(error, click.exceptions.Exit) or click.get_current_context().obj["traceback"]:
            raise
        kind = click.ClickException if isinstance(error, RuntimeError) else UserError
        raise kind(error_text(error)) from error


def error_text(error: Exception) -> str:
    """The text of an error of the library."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__
