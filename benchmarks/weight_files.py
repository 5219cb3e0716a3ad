"""What the packed weight files cost beside Keras' HDF5, in one run: their size, and the time until they are loaded.

Every network has random weights and batch norms, which compress no better than trained ones. The files are loaded
into one built model and take turns, so that what else the machine does meets all alike: compare the ratios, which are
medians over the rounds, and not the milliseconds. ``plain`` is the packed file without zip's compression.
"""

import csv
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

import larq_melius as lm
from larq_melius.weights import load_packed, save_packed

# isort: split
import tensorflow as tf

COLUMNS = (
    "network",
    "packed_bytes",
    "plain_bytes",
    "hdf5_bytes",
    "size_ratio",
    "packed_ms",
    "plain_ms",
    "hdf5_ms",
    "load_ratio",
    "load_ratio_plain",
)


@click.command()
@click.option("--models", default="*", show_default=True, help="Names to measure, as a pattern.")
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to write.")
def main(models: str, rounds: int, output: Path | None) -> None:
    """Measure the size and the load time of weight files."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(name, Path(folder), rounds) for name in tqdm(lm.list_models(models), unit=" networks")]
    click.echo(tabulate([row.values() for row in rows], COLUMNS, floatfmt=".2f", intfmt=","))
    if output is not None:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)


def _measure(name: str, folder: Path, rounds: int) -> dict[str, object]:
    tf.keras.backend.clear_session()
    model = _randomized(lm.get_model(name, weights=None))
    packed, hdf5 = save_packed(model, folder / "packed.npz"), folder / "weights.h5"
    plain = _without_compression(packed, folder / "plain.npz")
    model.save_weights(hdf5)
    seconds = _times(
        [lambda: load_packed(model, packed), lambda: load_packed(model, plain), lambda: model.load_weights(hdf5)],
        rounds,
    )
    sizes = [path.stat().st_size for path in (packed, plain, hdf5)]
    figures = (
        name,
        *sizes,
        sizes[0] / sizes[2],
        *(np.median(seconds, axis=0) * 1e3).tolist(),
        *np.median(seconds[:, :2] / seconds[:, 2:], axis=0).tolist(),
    )
    return {
        column: round(value, 3) if isinstance(value, float) else value
        for column, value in zip(COLUMNS, figures, strict=True)
    }


def _times(loads: list[Callable[[], object]], rounds: int) -> np.ndarray:
    """Seconds of each, taking turns, ``(rounds, loads)``."""
    times = np.empty((rounds + 1, len(loads)))
    for round_ in range(rounds + 1):
        for index, load in enumerate(loads):
            start = time.perf_counter()
            load()
            times[round_, index] = time.perf_counter() - start
    return times[1:]  # The first round warms up.


def _without_compression(packed: Path, path: Path) -> Path:
    with np.load(packed) as archive:
        contents = io.BytesIO()
        np.savez(contents, **{name: archive[name] for name in archive.files})
    path.write_bytes(contents.getvalue())
    return path


def _randomized(model: tf.keras.Model) -> tf.keras.Model:
    """Random values for all weights: fresh batch norms are ones and zeros, which compress to nothing."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0.0, 0.2, variable.shape))
    return model


if __name__ == "__main__":
    main()
