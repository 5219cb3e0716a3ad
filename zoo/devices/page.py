"""A page, ``README.md``, and a figure of all results in a folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from larq_melius.files import write_atomically
from larq_melius.zoo.devices.phone import THERMAL_STATUSES
from larq_melius.zoo.devices.results import Device, ModelResult, Results, State, read_device_file
from larq_melius.zoo.runs import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "README.md"
FIGURE = "latency.png"

_INTRODUCTION = """# Results on phones

`larq-melius benchmark --device adb --results FOLDER MODELS` writes this page and its figure again, with the newest run
of each network for each tool and number of threads. The JSON files have every run with all its samples.

The app runs networks in stock TensorFlow Lite with the delegate and XNNPACK. **The static program** runs binary
operators by the same code of the delegate, but the rest by plain kernels of its own: there, networks of 32 bits are
slower than in TensorFlow Lite.
"""
_EMPTY = "\nThere are no results yet.\n"
_COLORS = {"tflite": "#3b6fb6", "program": "#c98a2b"}
_TOOLS = {"tflite": "app", "program": "program"}
_ORDER = list(_TOOLS)


@dataclass(frozen=True)
class _Entry:
    """The newest run of a network in one tool, with one number of threads."""

    model: ModelResult
    results: Results

    @property
    def label(self) -> str:
        threads = self.results.settings.num_threads
        return f"{self.model.name}, {_TOOLS[self.model.runtime]}, {threads} {'thread' if threads == 1 else 'threads'}"


def write_page(folder: Path) -> Path:
    """Writes the page of a folder of results, and its figure if Matplotlib is there to draw it.

    Args:
        folder: Where ``append_results`` has put files.

    Returns:
        The page.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If a file is of another version, or not by the schema.
    """
    check_folder(folder)
    devices = [_newest(read_device_file(path).runs) for path in _files(folder)]
    devices = [entries for entries in devices if entries]
    parts = [_INTRODUCTION]
    if not devices:
        parts.append(_EMPTY)
    elif _draw(devices, folder / FIGURE):
        parts.append(f"\n![Milliseconds of each network on each phone]({FIGURE})\n")
    parts.extend(_section(entries) for entries in devices)
    return write_atomically(folder / PAGE, "".join(parts).encode())


def check_folder(folder: Path) -> None:
    """Checks before long work that ``append_results`` and ``write_page`` can add to a folder.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If a file there is not theirs.
    """
    for path in _files(folder):
        read_device_file(path)
    page = folder / PAGE
    if page.exists() and not page.read_text("utf-8", "replace").startswith(_INTRODUCTION.splitlines()[0]):
        raise ValueError(f"{page} is not a page of results, and would be overwritten: name another folder.")


def device_name(device: Device) -> str:
    """A phone's maker and model, with its chip and Android."""
    name = " ".join(word for word in (device.manufacturer, device.model) if word) or "Unknown phone"
    details = [device.soc, f"Android {device.android_release}" if device.android_release else None, device.abi]
    return f"{name} ({', '.join(detail for detail in details if detail)})" if any(details) else name


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.name != "schema.json")


def _newest(runs: Iterable[Results]) -> list[_Entry]:
    """By network, tool and threads; networks stand together, in the order in which they first appear."""
    newest: dict[tuple[str, str, int], _Entry] = {}
    for results in runs:
        for model in results.models:
            if model.samples_ms:
                newest[model.name, model.runtime, results.settings.num_threads] = _Entry(model, results)
    order = list(dict.fromkeys(name for name, _, _ in newest))
    keys = sorted(newest, key=lambda key: (order.index(key[0]), _ORDER.index(key[1]), key[2]))
    return [newest[key] for key in keys]


def _section(entries: list[_Entry]) -> str:
    device = entries[-1].results.device
    rows = [
        (
            entry.model.name,
            _TOOLS[entry.model.runtime],
            entry.results.settings.num_threads,
            len(entry.model.samples_ms),
            *(f"{value:.2f}" for value in (entry.model.min_ms, entry.model.median_ms, entry.model.p90_ms)),
            f"{entry.model.std_ms:.2f}",
            "" if entry.model.load_ms is None else f"{entry.model.load_ms:.0f}",
            "" if entry.model.memory_bytes is None else f"{entry.model.memory_bytes / 2**20:.1f}",
            "" if entry.model.binary_share is None else f"{entry.model.binary_share:.0%}",
            entry.model.output_check.replace("_", " "),
            f"{_heat(entry.results.state_before)} to {_heat(entry.results.state_after)}",
            entry.results.created[:10],
        )
        for entry in entries
    ]
    headers = (
        "network|run by|threads|runs|min, ms|median|p90|std|open, ms|memory, MiB|binary share|outputs|throttling|date"
    )
    table = tabulate(rows, headers.split("|"), tablefmt="github", disable_numparse=True)
    return f"\n## {device_name(device)}\n\n{_cores(device)}\n\n{table}\n"


def _cores(device: Device) -> str:
    clocks = [clock for clock in device.core_max_mhz if clock is not None]
    kinds = [f"{clocks.count(clock)} at up to {clock / 1e3:.2f} GHz" for clock in sorted(set(clocks), reverse=True)]
    memory = "" if device.memory_bytes is None else f"; {device.memory_bytes / 2**30:.1f} GiB of memory"
    return f"Cores: {', '.join(kinds) or device.cores or 'unknown'}{memory}."


def _heat(state: State) -> str:
    return "unknown" if state.thermal_status is None else THERMAL_STATUSES[state.thermal_status]


def _draw(devices: list[list[_Entry]], path: Path) -> bool:
    """Draws the figure; ``False`` without Matplotlib."""
    try:
        with figures.style():
            figures.save(_figure(devices), path)
    except ImportError:
        return False
    return True


def _figure(devices: list[list[_Entry]]) -> "Figure":
    """Bars of the medians, with a line to the 90th percentile; a panel for each phone."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [len(entries) for entries in devices]
    figure = Figure(figsize=(8, 1.4 + sum(0.32 * height + 0.75 for height in heights)), layout="constrained")
    panels = figure.subplots(len(devices), 1, squeeze=False, height_ratios=[height + 1 for height in heights])[:, 0]
    for axes, entries in zip(panels, devices, strict=True):
        medians = [entry.model.median_ms or 0 for entry in entries]
        highest = [(entry.model.p90_ms or 0) - median for entry, median in zip(entries, medians, strict=True)]
        bars = axes.barh(
            [entry.label for entry in entries],
            medians,
            color=[_COLORS[entry.model.runtime] for entry in entries],
            xerr=[[0] * len(entries), highest],
            error_kw={"ecolor": figures.GRAY, "elinewidth": 1},
        )
        axes.bar_label(bars, [f"{median:.1f}" for median in medians], padding=4, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.grid(axis="y", visible=False)
        axes.set_title(device_name(entries[-1].results.device))
    panels[-1].set_xlabel("milliseconds: the median, with a line to the 90th percentile")
    used = {entry.model.runtime for entries in devices for entry in entries}
    names = {"tflite": "app: stock TensorFlow Lite, delegate, XNNPACK", "program": "program: delegate, plain kernels"}
    figure.legend(
        handles=[Patch(color=_COLORS[kind], label=names[kind]) for kind in names if kind in used],
        loc="outside upper center",
        ncols=2,
    )
    return figure
