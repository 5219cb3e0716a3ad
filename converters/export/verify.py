"""Proof that a flatbuffer computes what its Keras model does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from larq_melius.analysis.operations import count_binary_convolutions
from larq_melius.analysis.padding import pads_with_minus_one
from larq_melius.converters.tflite.batching import with_batch
from larq_melius.converters.tflite.flatbuffer import count_operators, without_softmax
from larq_melius.runtime import Interpreter, delegate, find_library, make_interpreter
from larq_melius.runtime.library import import_litert
from larq_melius.weights.checks import first_line

#: Largest relative difference that rounding alone makes. Seen over the zoo: up to 1e-5.
ROUNDING_TOLERANCE = 1e-4
#: Largest relative difference that a binary activation makes whose sign flips on rounding, with all that follows from
#: it. Seen over the zoo: up to 0.1.
FLIP_TOLERANCE = 0.35
#: Largest relative difference of a network whose weights are stored in fewer bits, and the largest of the median over
#: samples: every sample has signs that flip. Seen: 0.10 and 0.04 in the digits network, 0.09 and 0.08 in
#: MeliusNet22 with random weights.
QUANTIZATION_TOLERANCES = {"weights": (0.5, 0.3), "float16": (0.5, 0.3)}
#: Samples that Larq Compute Engine's interpreter, slow on x86, runs where the delegate runs all.
_FEW = 2
#: Images that a network of an open batch size is tried on.
_OPEN_BATCH = 3


@dataclass(frozen=True)
class Verification:
    """How a flatbuffer compares with the Keras model it was made from.

    A difference is *relative*: the root of the mean squared difference of one sample's logits over their standard
    deviation.

    Attributes:
        samples: Number of inputs compared.
        max_logit_difference: Largest difference of a single logit.
        relative_differences: Relative difference of each sample that Larq Compute Engine's interpreter ran, ascending:
            all samples, or a few of them if the delegate ran all.
        top1_agreement: Share of samples whose highest logit is the same.
        binary_convolutions: Binary convolutions of the Keras model.
        lce_bconv2d: ``LceBconv2d`` operators of the flatbuffer.
        problems: Why the flatbuffer is not to be trusted; empty if it is.
        delegate_differences: Relative difference of each sample, ascending, between the delegate and Keras; ``None``
            where this installation has no delegate.
        quantization: How the flatbuffer's weights are stored; ``None`` for 32 bits.
    """

    samples: int
    max_logit_difference: float
    relative_differences: tuple[float, ...]
    top1_agreement: float
    binary_convolutions: int
    lce_bconv2d: int
    problems: tuple[str, ...]
    delegate_differences: tuple[float, ...] | None = None
    quantization: str | None = None

    @property
    def flipped_samples(self) -> int:
        """Samples in which a binary activation came out on the other side of zero."""
        differences = self.delegate_differences or self.relative_differences
        return sum(difference > ROUNDING_TOLERANCE for difference in differences)


def verify(
    model: tf.keras.Model,
    flatbuffer: bytes,
    inputs: np.ndarray,
    *,
    quantization: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Runs a Keras model and a flatbuffer on the same inputs and compares their logits.

    In a binary network, an activation within rounding of zero can come out as +1 on one side and -1 on the other, and
    the difference spreads: most samples agree to about 1e-6, a few differ by some percent. An error of the
    conversion (a shifted padding, another epsilon) moves every sample instead. So the flatbuffer passes if at least
    one sample agrees to rounding, every such sample has the same top-1 class, and no sample is further off than
    flips explain. With quantized weights signs flip in every sample; the bounds are ``QUANTIZATION_TOLERANCES``.

    Larq Compute Engine's interpreter runs all samples. Where this installation has the delegate, that runs all samples
    and the interpreter a few: both are held to Keras, and to each other without any allowance for quantization.

    Args:
        model: The model, ending in logits or a softmax.
        flatbuffer: The flatbuffer made from it.
        inputs: Normalized images, ``(samples, height, width, channels)``, float32.
        quantization: How the flatbuffer's weights are stored; ``None`` for 32 bits.
        progress: Called with a line about each step.

    Raises:
        ValueError: If the flatbuffer cannot be run.
    """
    report = progress or (lambda line: None)
    report(f"Running Keras on {len(inputs)} images")
    expected = _flat(logits_model(model)(inputs, training=False))
    logits = without_softmax(flatbuffer)
    by_delegate = None
    if find_library() is not None:
        report(f"Running the delegate on {len(inputs)} images")
        by_delegate = _flat(Interpreter(logits, runtime="delegate").predict(inputs))
    reference = expected if by_delegate is None or quantization is None else by_delegate
    enough = len(inputs) if by_delegate is None else _FEW
    report(f"Running the LCE interpreter on {'up to ' if enough < len(inputs) else ''}{len(inputs)} images")
    by_lce = _run_lce(logits, inputs, reference, enough, show=progress is not None)
    hint = " (the network pads with -1, which no LceBconv2d does)" if pads_with_minus_one(model) else ""
    binary, lce = count_binary_convolutions(model), count_operators(flatbuffer)["LceBconv2d"]
    return _compare(expected, by_lce, binary, lce, hint, by_delegate, quantization)


def batch_problems(single: bytes, batched: bytes, batch: int | None, inputs: np.ndarray) -> list[str]:
    """What is wrong with a network for a batch of images, beside the same network for one.

    Args:
        single: The network for one image.
        batched: The network for a batch.
        batch: Size of the batch; ``None`` if it is open. Larq Compute Engine's interpreter cannot resize a network, so
            only the delegate runs that as it is.
        inputs: Normalized images, ``(samples, height, width, channels)``, float32.
    """
    count = batch or _OPEN_BATCH
    images = np.resize(inputs, (count, *inputs.shape[1:]))
    single, batched = without_softmax(single), without_softmax(batched)
    problems = []
    try:
        if find_library() is not None:
            expected = _flat(Interpreter(single, runtime="delegate").predict(images))
            problems += _of_batch(expected, _run_resized(batched, images), "the delegate")
        if batch is not None or find_library() is None:
            expected = _flat(make_interpreter(single).predict(images))
            fixed = batched if batch is not None else with_batch(single, count)
            actual = make_interpreter(fixed).interpreter.predict([images])[0]
            problems += _of_batch(expected, actual, "LCE's interpreter")
    except (RuntimeError, ValueError) as error:
        problems.append(f"it does not run on {count} images at once ({first_line(error)})")
    return problems


def _of_batch(expected: np.ndarray, actual: np.ndarray, runtime: str) -> list[str]:
    if len(actual) != len(expected):
        return [f"for {len(expected)} images, {runtime} gives {len(actual)} results"]
    return [f"on a batch, run by {runtime}, {problem}" for problem in _rounding_problems(expected, _flat(actual))]


def _run_resized(flatbuffer: bytes, images: np.ndarray) -> np.ndarray:
    interpreter = import_litert().Interpreter(model_content=flatbuffer, experimental_delegates=[delegate()])
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(image["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(image["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(output["index"])


def _run_lce(flatbuffer: bytes, inputs: np.ndarray, reference: np.ndarray, enough: int, *, show: bool) -> np.ndarray:
    """The logits of ``enough`` samples, and of more until one agrees with the reference to rounding."""
    interpreter = make_interpreter(flatbuffer)
    logits = np.empty((0, reference.shape[1]))
    for sample in tqdm(inputs, "LCE's interpreter", leave=False, disable=not show or None):
        result = _flat(interpreter.predict(sample[np.newaxis]))
        if result.shape[1:] != reference.shape[1:]:
            return result
        logits = np.concatenate([logits, result])
        differences = _relative_differences(reference[: len(logits)], logits)
        if len(logits) >= enough and differences.min() <= ROUNDING_TOLERANCE:
            break
    return logits


def _compare(
    expected: np.ndarray,
    by_lce: np.ndarray,
    binary: int,
    lce: int,
    hint: str = "",
    by_delegate: np.ndarray | None = None,
    quantization: str | None = None,
) -> Verification:
    problems = []
    if lce != binary:
        problems.append(
            f"{lce} of {binary} binary convolutions became LceBconv2d: the others would run as 32-bit convolutions"
            + hint
        )
    for logits in (by_lce, by_delegate):
        if logits is not None and logits.shape[1] != expected.shape[1]:
            raise ValueError(f"The flatbuffer gives {logits.shape[1]} numbers an image, but Keras {expected.shape[1]}.")
    few = expected[: len(by_lce)]
    check = _rounding_problems if quantization is None else partial(_quantization_problems, quantization)
    problems += check(few, by_lce)
    delegate_differences = None
    if by_delegate is not None:
        found = check(expected, by_delegate)
        if quantization is not None:
            found += _rounding_problems(by_delegate[: len(by_lce)], by_lce)
        problems += [f"run by the delegate, {problem}" for problem in found]
        delegate_differences = tuple(np.sort(_relative_differences(expected, by_delegate)).tolist())
    actual = by_lce if by_delegate is None else by_delegate
    return Verification(
        samples=len(actual),
        max_logit_difference=float(max(np.abs(by_lce - few).max(), np.abs(actual - expected).max())),
        relative_differences=tuple(np.sort(_relative_differences(few, by_lce)).tolist()),
        top1_agreement=float(_same_top1(expected, actual).mean()),
        binary_convolutions=binary,
        lce_bconv2d=lce,
        problems=tuple(problems),
        delegate_differences=delegate_differences,
        quantization=quantization,
    )


def _flat(logits: Any) -> np.ndarray:
    return np.asarray(logits, "float64").reshape(len(logits), -1)


def _relative_differences(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    scale = np.maximum(expected.std(axis=1), np.finfo("float32").tiny)
    differences: np.ndarray = np.sqrt(((actual - expected) ** 2).mean(axis=1)) / scale
    return differences


def _same_top1(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    same: np.ndarray = actual.argmax(axis=1) == expected.argmax(axis=1)
    return same


def _quantization_problems(quantization: str, expected: np.ndarray, actual: np.ndarray) -> list[str]:
    """What is wrong with logits, beside those of the same network with weights of 32 bits."""
    if not np.isfinite(actual).all():
        return ["the flatbuffer gives infinities or NaN"]
    largest, median = QUANTIZATION_TOLERANCES[quantization]
    relative = _relative_differences(expected, actual)
    if relative.max() > largest or np.median(relative) > median:
        return [
            f"the samples are off by {np.median(relative):.2f} in the median and up to {relative.max():.2f}, more than "
            f"quantized weights explain ({median} and {largest})"
        ]
    return []


def _rounding_problems(expected: np.ndarray, actual: np.ndarray) -> list[str]:
    """What is wrong with logits, beside those that they should equal but for rounding and flips."""
    if not np.isfinite(actual).all():
        return ["the flatbuffer gives infinities or NaN"]
    relative = _relative_differences(expected, actual)
    rounded = relative <= ROUNDING_TOLERANCE
    if not rounded.any():
        return [
            f"no sample agrees to rounding (smallest relative difference {relative.min():.1e}, allowed "
            f"{ROUNDING_TOLERANCE:.0e})"
        ]
    if relative.max() > FLIP_TOLERANCE:
        return [f"a sample is off by {relative.max():.2f}, more than flipped signs explain ({FLIP_TOLERANCE})"]
    if not _same_top1(expected, actual)[rounded].all():
        return ["a sample that agrees to rounding has another top-1 class"]
    return []


def logits_model(model: tf.keras.Model) -> tf.keras.Model:
    """The same model, sharing its weights, without the softmax it may end in."""
    last = model.layers[-1]
    if isinstance(last, tf.keras.layers.Softmax) or _is_softmax(last, tf.keras.layers.Activation):
        return tf.keras.Model(model.inputs, last.input)
    if not _is_softmax(last, tf.keras.layers.Dense):
        return model
    # Called with its own weights once more, the layer would be renamed and shared; a copy leaves the model alone.
    linear = type(last).from_config({**last.get_config(), "activation": "linear"})
    logits = tf.keras.Model(model.inputs, linear(last.input))
    linear.set_weights(last.get_weights())
    return logits


def _is_softmax(layer: Any, kind: type) -> bool:
    return isinstance(layer, kind) and getattr(layer, "activation", None) is tf.keras.activations.softmax
