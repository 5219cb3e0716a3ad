"""How many images a second the networks train on, beside the Larq Zoo's MeliusNet22, and how fast JPEGs are read.

Every network takes turns with the Larq Zoo's, step by step, so that what else the machine does meets both alike: the
ratio is the figure to compare.
"""

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
from PIL import Image
from tabulate import tabulate

import larq_melius
from larq_melius.zoo.data import ImageDataset, load_data, training_batches
from larq_melius.zoo.recipes import find_preset

# isort: split
import tensorflow as tf

HERE = Path(__file__).parent
NETWORKS = ("MeliusNet22", "MeliusNet29", "MeliusNet42", "MeliusNet59", "MeliusNetA", "MeliusNetB", "MeliusNetC")
IMAGENET_IMAGES = 1_281_167
JPEG_SIZE = (500, 375)
COLUMNS = ("network", "batch_size", "settings", "images_per_second", "larq_zoo_ratio", "days_of_recipe")


class Worker:
    """A process that does one training step for each line it gets."""

    def __init__(self, python: str, script: str, network: str, batch_size: int, settings: Sequence[str] = ()) -> None:
        options = [text for setting in settings for text in ("--set", setting)]
        self._process = subprocess.Popen(
            [python, HERE / script, network, str(batch_size), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read("ready")

    def step(self) -> float:
        """Seconds of one step."""
        assert self._process.stdin is not None
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        return float(self._read())

    def end(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _read(self, expected: str = "") -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line or (expected and line != expected):
            raise click.ClickException(f"{self._process.args} has failed: run it by hand to see why.")
        return line


@click.command()
@click.option("--networks", default=",".join(NETWORKS), show_default=True, help="Names, separated by commas.")
@click.option("--batch-size", "batch_sizes", type=int, multiple=True, default=(16,), show_default=True)
@click.option("--set", "settings", multiple=True, help="A field of the recipe, such as precision=mixed_bfloat16.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--larq-zoo-python", help="Python of an environment with the Larq Zoo, to compare with.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file to add the rows to.")
@click.option("--pipeline", is_flag=True, help="Measure the input pipeline from JPEG instead.")
def main(
    networks: str,
    batch_sizes: tuple[int, ...],
    settings: tuple[str, ...],
    rounds: int,
    larq_zoo_python: str | None,
    output: Path | None,
    pipeline: bool,
) -> None:
    """Measures training steps."""
    if pipeline:
        measure_pipeline(rounds)
        return
    rows = []
    for batch_size in batch_sizes:
        larq_zoo = larq_zoo_python and Worker(larq_zoo_python, "larq_zoo_steps.py", "MeliusNet22", batch_size)
        for network in networks.split(","):
            ours = Worker(sys.executable, "training_steps.py", network, batch_size, settings)
            times, theirs = [], []
            for _ in range(rounds):
                times.append(ours.step())
                if larq_zoo:
                    theirs.append(larq_zoo.step())
            ours.end()
            rate = batch_size / median(times)
            ratio = median(theirs) / median(times) if theirs else None
            days = find_preset(network).recipe.epochs * IMAGENET_IMAGES / rate / 86400
            shown = (round(rate, 3), ratio and round(ratio, 3), round(days))
            row = [network, batch_size, " ".join(settings), *shown]
            rows.append(row)
            click.echo(tabulate([row], tablefmt="plain"), err=True)
        if larq_zoo:
            larq_zoo.end()
    click.echo(tabulate(rows, COLUMNS))
    if output is not None:
        new = not output.exists()
        with output.open("a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *rows] if new else rows)


def measure_pipeline(rounds: int) -> None:
    """Images a second that are read, decoded, cropped and resized, with the crop while decoding and after it."""
    with tempfile.TemporaryDirectory() as folder:
        for split in ("train", "validation"):
            write_jpegs(Path(folder) / split / "photo", 2048 if split == "train" else 1)
        data = load_data("folder", data_dir=folder)
        whole = replace(data, source=_DecodedSource(data))
        rates: dict[str, list[float]] = {"crop while decoding": [], "decode, then crop": []}
        for epoch in range(rounds):
            for name, each in zip(rates, (data, whole), strict=True):
                started = time.monotonic()
                count = sum(
                    1 for _ in training_batches(each, augmentation="imagenet", batch_size=32, epoch=epoch, seed=1)
                )
                rates[name].append(32 * count / (time.monotonic() - started))
    click.echo(tabulate([(name, round(median(values))) for name, values in rates.items()], ("pipeline", "images/s")))


def write_jpegs(folder: Path, count: int) -> None:
    """Writes JPEGs of ImageNet's usual size."""
    folder.mkdir(parents=True)
    photo = Image.open(Path(larq_melius.__file__).parent / "data" / "china.jpg").convert("RGB")
    for number in range(count):
        box = (number % 16, number // 16, photo.width - 16, photo.height - 16)
        photo.resize(JPEG_SIZE, box=box).save(folder / f"{number}.jpg", quality=92)


class _DecodedSource:
    """Decodes the whole of each image first."""

    def __init__(self, data: ImageDataset) -> None:
        self._source = data.source

    def examples(self, split, seed, files):  # type: ignore[no-untyped-def]
        examples = self._source.examples(split, seed, files)
        return examples.map(
            lambda record, label: (tf.io.decode_jpeg(record, channels=3, dct_method="INTEGER_ACCURATE"), label),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def find_corrupt_example(self, split: str) -> None:
        """Says nothing."""


if __name__ == "__main__":
    main()
