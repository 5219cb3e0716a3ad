"""The part of ``larq-melius benchmark`` that measures on a phone."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from larq_melius.cli.output import progress

if TYPE_CHECKING:
    from larq_melius.zoo.devices.results import Results

_FILE = click.Path(dir_okay=False, path_type=Path)


class _DeviceType(click.ParamType):
    """``adb`` or ``adb:SERIAL``; its value is the serial number, empty for the only phone."""

    name = "adb[:SERIAL]"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> str:
        kind, colon, serial = value.partition(":")
        if kind != "adb" or bool(colon) != bool(serial):
            self.fail(f"it is adb or adb:SERIAL, not {value!r}.", parameter, context)
        return str(serial)


_OPTIONS = (
    click.option("--app", is_flag=True, help="On the phone: run the app, with stock TensorFlow Lite."),
    click.option(
        "--apk", type=_FILE, help="On the phone: the app's file.  [default: make apk's, or the installed app]"
    ),
    click.option(
        "--program", type=_FILE, help="On the phone: the program to run.  [default: make benchmark-program's]"
    ),
    click.option(
        "--max-secs",
        type=click.FloatRange(min=0, min_open=True),
        default=150,
        show_default=True,
        help="On the phone: seconds after which no run of a network starts.",
    ),
    click.option(
        "--throttling",
        type=click.Choice(["none", "light", "moderate", "severe", "critical", "emergency"]),
        default="none",
        show_default=True,
        help="On the phone: the most throttling for heat in which to measure.",
    ),
    click.option(
        "--cool-down",
        type=click.FloatRange(min=0),
        default=600,
        show_default=True,
        help="On the phone: seconds to wait until it is no hotter than that.",
    ),
    click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        help="On the phone: folder to add the results to, one file a device, with a page of them.",
    ),
    click.option("--keep", is_flag=True, help="On the phone: leave the files and the app there."),
)


def device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--device``, which is ``None`` for this computer, and the options of phones."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.option("--device", type=_DeviceType(), help="Measure on a phone, by adb.  [default: this computer]")(
        command
    )


def check_device_options(context: click.Context, device: str | None, runtime: str, options: dict[str, Any]) -> None:
    """Refuses options that mean nothing together.

    Raises:
        click.UsageError: If there are such.
    """
    if device is None:
        for name in options:
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with --device adb.")
        return
    if runtime == "lce":
        raise click.UsageError("--runtime lce is for this computer: on a phone, the delegate runs the network.")
    if options["apk"] is not None and not options["app"]:
        raise click.UsageError("--apk goes with --app.")
    if options["program"] is not None and options["app"]:
        raise click.UsageError("--program and --app exclude each other.")


class PhoneBenchmark:
    """A phone, found and ready to measure."""

    def __init__(self, serial: str, **options: Any) -> None:
        """Finds the phone, and what to run there.

        Raises:
            RuntimeError: If there is none, or nothing to run.
            OSError, ValueError: If the folder of ``--results`` has files of something else.
        """
        from larq_melius.zoo.devices.adb import Adb
        from larq_melius.zoo.devices.page import check_folder
        from larq_melius.zoo.devices.runners import AppRunner, ProgramRunner

        if options["results"] is not None:
            check_folder(options["results"])
        self._options = options
        self._adb = Adb(serial or None)
        self._runner = (
            AppRunner(self._adb, options["apk"], keep=options["keep"])
            if options["app"]
            else ProgramRunner(self._adb, options["program"], keep=options["keep"])
        )

    def measure(self, files: dict[str, Path], *, threads: int, warmup: int, runs: int, profile: bool) -> "Results":
        """Measures networks, and adds the results to the folder of ``--results``.

        Raises:
            ImportError, OSError, RuntimeError, ValueError: If nothing could be measured, or the results not be written.
        """
        from larq_melius.zoo.devices.measurement import measure_on_phone
        from larq_melius.zoo.devices.page import write_page
        from larq_melius.zoo.devices.phone import THERMAL_STATUSES, Cooling
        from larq_melius.zoo.devices.results import Settings, append_results

        options = self._options
        settings = Settings(
            num_threads=threads,
            warmup_runs=warmup,
            num_runs=runs,
            max_secs=options["max_secs"],
            run_delay_secs=0,
            op_profiling=profile,
            affinity=(),
        )
        cooling = Cooling(THERMAL_STATUSES.index(options["throttling"]), options["cool_down"])
        with tqdm(bar_format="{desc}", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False) as line:
            results = measure_on_phone(
                self._adb,
                self._runner,
                files,
                settings,
                cooling=cooling,
                say=lambda text: tqdm.write(f"{text}…", file=sys.stderr) if not line.disable else progress(text),
                on_line=line.set_description_str,
            )
        if options["results"] is not None:
            path = append_results(options["results"], results)
            write_page(options["results"])
            click.echo(f"Added the results to {path}.", err=True)
        return results


def describe_phone(results: "Results") -> str:
    """A line about the phone, and how hot it was."""
    from larq_melius.zoo.devices.page import device_name
    from larq_melius.zoo.devices.phone import THERMAL_STATUSES

    before, after = (
        "unknown" if state.thermal_status is None else THERMAL_STATUSES[state.thermal_status]
        for state in (results.state_before, results.state_after)
    )
    power = {True: ", charging", False: ", on battery", None: ""}[results.state_before.charging]
    return f"{device_name(results.device)}; throttling for heat: {before} before, {after} after{power}."
