"""A page about an export: one HTML file that needs nothing else."""

import base64
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from larq_melius.analysis.operations import is_binary_convolution
from larq_melius.converters.export.report import ExportReport
from larq_melius.converters.tflite import flatbuffer as fb
from larq_melius.converters.tflite.inspection import Inspection, inspect_tflite
from larq_melius.runtime import Interpreter, find_library, make_interpreter

_RUNS = 3
_STORED_AS = {None: "32 bits", "weights": "8-bit integers", "float16": "16-bit floats"}
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd}"
    "td,th{text-align:left;overflow-wrap:anywhere}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}.bar{background:#3b6ea5;height:.8em;display:inline-block}"
    "figure{display:inline-block;margin:.5em;text-align:center}img{width:112px;height:112px;image-rendering:pixelated}"
    ".warning{background:#fff3cd;padding:.4em .8em}"
)


@dataclass(frozen=True)
class SignAgreement:
    """How the signs that a binary convolution sees in the file compare with those in Keras.

    Attributes:
        layer: Name of the Keras layer.
        signs: Number of signs compared.
        flipped: How many of them differ.
    """

    layer: str
    signs: int
    flipped: int


def sign_agreement(model: tf.keras.Model, flatbuffer: bytes, images: np.ndarray) -> list[SignAgreement]:
    """Compares what each binary convolution sees in Larq Compute Engine's interpreter with what it sees in Keras.

    Args:
        model: The Keras model.
        flatbuffer: The file made from it, for one image.
        images: Normalized images, ``(samples, height, width, channels)``.

    Returns:
        One entry for each convolution, in the order in which they run; none if the two cannot be matched.
    """
    layers = [layer for layer in model.layers if is_binary_convolution(layer)]
    parsed = fb.parse(flatbuffer)
    graph = parsed.subgraphs[0]
    maps = [op.inputs[0] for op in graph.operators if fb.operator_name(parsed, op) == "LceBconv2d"]
    if not layers or len(maps) != len(layers):
        return []
    distinct = list(dict.fromkeys(maps))
    graph.outputs = np.asarray(distinct, np.int32)
    parsed.signatureDefs = []
    interpreter = make_interpreter(fb.serialize(parsed))
    words = interpreter.predict(images)
    packed = dict(zip(distinct, words if isinstance(words, list) else [words], strict=True))
    seen = tf.keras.Model(model.inputs, [layer.input for layer in layers])(images, training=False)
    agreement = []
    for layer, index, values in zip(layers, maps, seen if isinstance(seen, list) else [seen], strict=True):
        negative = np.asarray(values) < 0
        bits = np.unpackbits(np.ascontiguousarray(packed[index]).view(np.uint8), axis=-1, bitorder="little")
        if bits.shape[:-1] != negative.shape[:-1]:
            return []
        flipped = int((bits[..., : negative.shape[-1]].astype(bool) != negative).sum())
        agreement.append(SignAgreement(layer.name, negative.size, flipped))
    return agreement


def report_page(report: ExportReport, model: tf.keras.Model, network: bytes, inputs: np.ndarray) -> str:
    """An HTML page about an export.

    Args:
        report: What was exported.
        model: The Keras model.
        network: The network of the file, for one image.
        inputs: Normalized images that the file was checked with, ``(samples, height, width, channels)``.
    """
    found = inspect_tflite(report.path)
    scores = np.asarray(make_interpreter(network).predict(inputs))
    title = f"{report.metadata.name}: {report.path.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(report.metadata.description)}</p>",
        *(f'<p class="warning">{escape(text)}</p>' for text in (*report.warnings, *found.warnings)),
        _facts(report, found),
        "<h2>Size</h2>",
        _sizes(found),
        "<h2>Signs: Keras beside the file</h2>",
        _signs(sign_agreement(model, network, inputs)),
        "<h2>Latency on this machine</h2>",
        _latencies(network, inputs[:1]),
        "<h2>Images</h2>",
        _figures(report, inputs, scores),
        "<h2>Operators</h2>",
        _operators(found),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        if isinstance(value, _Markup):
            return f"<td>{value.text}</td>"
        return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"

    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


@dataclass(frozen=True)
class _Markup:
    """What is HTML already."""

    text: str


def _bar(share: float) -> _Markup:
    return _Markup(f'<span class="bar" style="width:{max(share, 0.002) * 20:.2f}em"></span>')


def _facts(report: ExportReport, found: Inspection) -> str:
    checked = report.verification
    rows = [
        ("bytes", report.bytes),
        (
            "weights of 32-bit layers",
            _STORED_AS[checked.quantization],
        ),
        ("batch", report.batch or "any"),
        ("binary convolutions", f"{checked.lce_bconv2d} of {checked.binary_convolutions} are LceBconv2d"),
        ("binary multiply-accumulates", found.binary_macs),
        ("other multiply-accumulates", found.float_macs),
        ("top-1 agreement with Keras", f"{checked.top1_agreement:.0%} of {checked.samples} images"),
        ("largest relative difference, LCE", f"{max(checked.relative_differences):.1g}"),
    ]
    if checked.delegate_differences:
        rows.append(("largest relative difference, delegate", f"{max(checked.delegate_differences):.1g}"))
    return _table(("", ""), rows)


def _sizes(found: Inspection) -> str:
    rows: list[tuple[str, int | str, int]] = [
        (f"{item.use}, {item.precision}", item.count, item.bytes) for item in found.weights
    ]
    rows.append(("structure, names, metadata", "", found.bytes - sum(item.bytes for item in found.weights)))
    return _table(("what", "numbers", "bytes", ""), [(*row, _bar(row[2] / found.bytes)) for row in rows])


def _signs(agreement: Sequence[SignAgreement]) -> str:
    if not agreement:
        return "<p>The network has no binary convolutions, or they cannot be matched with those of the file.</p>"
    first = next((item.layer for item in agreement if item.flipped), None)
    text = f"The first signs that differ are those that {first} sees." if first else "All signs are the same."
    rows = [(item.layer, item.signs, item.flipped, _bar(item.flipped / item.signs)) for item in agreement]
    return f"<p>{escape(text)}</p>" + _table(("binary convolution", "signs it sees", "flipped", ""), rows)


def _latencies(network: bytes, image: np.ndarray) -> str:
    runtimes = {"LCE's interpreter": "lce", **({"LiteRT with the delegate": "delegate"} if find_library() else {})}
    rows = []
    for name, runtime in runtimes.items():
        interpreter: Any = Interpreter(network, runtime=runtime)  # type: ignore[arg-type]
        interpreter.predict(image)
        seconds = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            interpreter.predict(image)
            seconds.append(time.perf_counter() - start)
        rows.append((name, f"{min(seconds) * 1e3:.2f} ms"))
    note = f"<p>The least of {_RUNS} runs of one image on one thread; LCE's kernels are slow on x86.</p>"
    return note + _table(("runtime", "latency"), rows)


def _figures(report: ExportReport, inputs: np.ndarray, scores: np.ndarray) -> str:
    preprocessing, labels = report.metadata.preprocessing, report.metadata.labels
    figures = []
    for sample, values in zip(inputs, scores.reshape(len(inputs), -1), strict=True):
        pixels = np.clip(np.rint(sample * preprocessing.std + preprocessing.mean), 0, 255).astype(np.uint8)
        if pixels.shape[-1] not in (1, 3):
            return "<p>The inputs are no pictures.</p>"
        buffer = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
        source = base64.b64encode(buffer.getvalue()).decode()
        best = int(values.argmax())
        caption = f"{labels[best] if labels else f'class {best}'} ({values[best]:.2f})"
        figures.append(
            f'<figure><img alt="" src="data:image/png;base64,{source}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return "".join(figures)


def _operators(found: Inspection) -> str:
    rows = [
        (
            index,
            operator.name,
            operator.output.name[-60:],
            " x ".join(map(str, operator.output.shape)),
            operator.macs,
            "binary" if operator.binary else "",
            operator.runner,
        )
        for index, operator in enumerate(found.operators)
    ]
    return _table(("", "operator", "output", "shape", "MACs", "", "run by"), rows)
