"""``larq-melius demo``: a trained MeliusNet becomes a TFLite file that classifies real digits as Keras does."""

import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import tensorflow as tf
from PIL import Image
from tabulate import tabulate

from larq_melius.converters import export_tflite
from larq_melius.runtime import Interpreter, Runtime
from larq_melius.zoo.classifiers import Network, Prediction, load_classifier, load_network
from larq_melius.zoo.data.digits import load_digits_split

_SHOWN = 24
_COLUMNS = 8


def demo(output: Path, runtime: Runtime = "auto") -> None:
    """Exports the digits network, evaluates the file beside Keras, and shows what it makes of some digits.

    Args:
        output: Folder for the ``.tflite`` file and the pictures; made if it is not there.
        runtime: What is to run the file; see ``larq_melius.runtime.Interpreter``.

    Raises:
        ImportError: If scikit-learn or Matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    network = load_network("MeliusNetTiny")
    assert network.record is not None, "The digits network ships with the package."
    report = export_tflite(
        network.model,
        output / "digits.tflite",
        preprocessing=network.known_preprocessing(),
        labels=network.labels,
        name=network.record.model,
        license=network.record.license,
        progress=lambda line: click.echo(f"{line}…"),
    )
    click.echo(
        f"{report.verification.lce_bconv2d} of {report.verification.binary_convolutions} binary convolutions are "
        f"LceBconv2d; logits differ by at most {report.verification.max_logit_difference:.1g}"
    )
    _evaluate(network, report.path, runtime)
    _show(report.path, output, runtime)


def _evaluate(network: Network, path: Path, runtime: Runtime) -> None:
    digits = load_digits_split().test
    model = network.model
    inputs = network.known_preprocessing().normalize(digits.images)
    interpreter = Interpreter(path, runtime=runtime)
    by_keras = np.asarray(model(inputs, training=False)).argmax(axis=1)
    by_file = interpreter.predict(inputs).argmax(axis=1)
    graph = tf.function(lambda image: model(image, training=False))
    keras_latency = _latency(lambda: np.asarray(graph(inputs[:1])))
    file_latency = _latency(lambda: interpreter.predict(inputs[:1]))
    rows = [
        ("Keras", *_score(by_keras, digits.labels), "", "", f"{keras_latency * 1e3:.2f} ms"),
        (
            "TFLite, " + {"delegate": "delegate", "lce": "LCE interpreter"}[interpreter.runtime],
            *_score(by_file, digits.labels),
            f"{(by_file == by_keras).mean():.2%}",
            f"{path.stat().st_size / 1024:.0f} KiB",
            f"{file_latency * 1e3:.2f} ms",
        ),
    ]
    click.echo(f"\nThe whole test split, {len(inputs)} scans that training never saw:")
    click.echo(tabulate(rows, ("", "top-1", "errors", "agreement", "size", "latency of one image"), tablefmt="simple"))
    click.echo(
        "The latencies are this machine's, and say nothing about phones."
        + (" Off ARM, LCE has reference kernels only." if interpreter.runtime == "lce" else "")
        + "\n"
    )


def _score(predicted: np.ndarray, labels: np.ndarray) -> tuple[str, int]:
    return f"{(predicted == labels).mean():.2%}", int((predicted != labels).sum())


def _latency(run: Callable[[], object], repeats: int = 50) -> float:
    """Median seconds of one run."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _show(path: Path, output: Path, runtime: Runtime) -> None:
    """Classifies some digits from image files, and draws them with what the network makes of them."""
    digits = load_digits_split().test
    classifier = load_classifier(str(path), runtime=runtime)
    folder = output / "digits"
    folder.mkdir(exist_ok=True)
    results = []
    for index in range(_SHOWN):
        file = folder / f"{index:02}.png"
        Image.fromarray(digits.images[index, :, :, 0]).save(file)
        results.append((file, int(digits.labels[index]), classifier.classify(file, top=1)[0]))
    picture = output / "digits.png"
    _draw(results, picture)
    click.echo(f"{_SHOWN} of them are in {folder}, and with their predictions in {picture}. Try it yourself:")
    click.echo(f"  larq-melius predict {path} {results[0][0]}")


def _draw(results: list[tuple[Path, int, Prediction]], picture: Path) -> None:
    from matplotlib.figure import Figure

    rows = -(-len(results) // _COLUMNS)
    figure = Figure(figsize=(_COLUMNS * 1.1, rows * 1.4), layout="constrained")
    for axis, (file, label, prediction) in zip(figure.subplots(rows, _COLUMNS).flat, results, strict=True):
        axis.imshow(Image.open(file), cmap="gray", interpolation="nearest")
        right = prediction.label == str(label)
        axis.set_title(f"{prediction.label}  {prediction.score:.0%}", color="black" if right else "red", fontsize=10)
        axis.axis("off")
    figure.savefig(picture, dpi=150)
