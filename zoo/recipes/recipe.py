"""Every choice of a training, as one flat record that a file or the command line can change."""

import difflib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType
from typing import Any, get_args

OPTIMIZERS = ("radam", "adam", "sgd")
SCHEDULES = ("cosine", "steps", "constant")
RATE_SCALINGS = ("none", "linear", "sqrt")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
QUANTIZATIONS = ("binary", "float_weights", "float_activations", "float")
FLIPS = ("none", "ends", "all")
SHARDINGS = ("examples", "files")
STEMS = ("grouped", "conv7x7", "thumbnail")

_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "rate_scaling": RATE_SCALINGS,
    "precision": PRECISIONS,
    "quantization": QUANTIZATIONS,
    "first_stage": (None, *QUANTIZATIONS[1:]),
    "flips": FLIPS,
    "shard_by": SHARDINGS,
    "stem": (None, *STEMS),
}
_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple[float, ...]: "a list of numbers",
    dict[str, Any]: "an object",
    NoneType: "none",
}
_POSITIVE = ("epochs", "batch_size", "reference_batch_size", "learning_rate", "temperature", "decay_factor")
_SHARES = ("label_smoothing", "ema_momentum", "momentum", "beta_1", "beta_2")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    ``None`` stands for what the network, the data set or the optimizer has for its own.

    Attributes:
        model: Name of a network of the zoo, or of a builder (``"MeliusNet"``, ``"ResNetE"``) for ``architecture``.
        architecture: Arguments of that builder, such as ``num_blocks``.
        stem: First layers of the network.
        dataset: Name of the data set.
        image_size: Side of the images, in pixels.
        augmentation: Random changes to the training images.
        epochs: Passes over the training images.
        batch_size: Images of one step, over all devices and hosts.
        reference_batch_size: The batch that ``learning_rate`` is for.
        rate_scaling: How the rate grows with the batch beyond that: ``"none"``, ``"linear"`` or ``"sqrt"``.
        optimizer: ``"radam"``, ``"adam"`` or ``"sgd"``.
        learning_rate: Base rate at the reference batch.
        schedule: ``"cosine"`` to zero, ``"steps"`` at ``decay_epochs`` or ``"constant"``; changes with every step.
        warmup_epochs: Epochs over which the rate first rises from zero.
        decay_epochs: Epochs after which the rate is multiplied by ``decay_factor``.
        decay_factor: That factor.
        beta_1: Decay of the first moment of RAdam and Adam.
        beta_2: Decay of the second moment.
        epsilon: Their epsilon.
        momentum: Momentum of SGD.
        weight_decay: Decoupled weight decay, per step and learning rate.
        clip_norm: Largest norm of all gradients together.
        label_smoothing: Share of the target's probability that is spread over all classes.
        ema_momentum: Decay of an exponential moving average of the weights, which is then what is evaluated and
            exported.
        initial_weights: Tag or file of weights to start from; a classifier for other classes is not taken over.
        quantization: What of the blocks is binary: ``"binary"`` (weights and activations), ``"float_weights"``
            (activations only), ``"float_activations"`` (weights only) or ``"float"`` (neither).
        first_stage: A first training with this quantization, whose weights the second starts from.
        first_stage_epochs: Epochs of it; as many as the second's if ``None``.
        teacher: A Keras file, or the name of a network of the zoo with weights, whose answers are learned, too.
        teacher_weight: Share of the teacher in the loss.
        temperature: Temperature of the teacher's and the network's probabilities in that part of the loss.
        teacher_pixels: Whether the teacher takes pixels of 0 to 255 and not the network's own normalized images.
        precision: ``"float32"``, ``"mixed_float16"`` or ``"mixed_bfloat16"``.
        xla: Whether XLA compiles the step.
        synchronize_batchnorm: Whether batch norms take their statistics over all replicas.
        flips: Layers whose sign flips are counted: ``"none"``, the first and last binary one (``"ends"``) or ``"all"``.
        shard_by: How hosts share the images: ``"examples"`` (each reads all and decodes its own, the batches do not
            depend on the number of hosts) or ``"files"`` (each reads its own files).
        seed: Seed of the weights, of the order of the images and of their augmentation.
    """

    model: str
    architecture: dict[str, Any] | None = None
    stem: str | None = None
    dataset: str = "imagenet2012"
    image_size: int | None = None
    augmentation: str = "imagenet"
    epochs: int = 120
    batch_size: int = 64
    reference_batch_size: int = 64
    rate_scaling: str = "sqrt"
    optimizer: str = "radam"
    learning_rate: float = 0.002
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    decay_epochs: tuple[float, ...] = ()
    decay_factor: float = 0.1
    beta_1: float | None = None
    beta_2: float | None = None
    epsilon: float | None = None
    momentum: float | None = None
    weight_decay: float = 0.0
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    ema_momentum: float | None = None
    initial_weights: str | None = None
    quantization: str = "binary"
    first_stage: str | None = None
    first_stage_epochs: int | None = None
    teacher: str | None = None
    teacher_weight: float = 0.5
    temperature: float = 1.0
    teacher_pixels: bool = False
    precision: str = "float32"
    xla: bool = False
    synchronize_batchnorm: bool = False
    flips: str = "ends"
    shard_by: str = "examples"
    seed: int = 1

    def __post_init__(self) -> None:
        for spec in fields(self):
            object.__setattr__(self, spec.name, _typed(spec.name, spec.type, getattr(self, spec.name)))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                choices = ", ".join(str(choice) for choice in allowed)
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}.")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {value}.")
        if not 0 < self.teacher_weight <= 1:
            raise ValueError(f"teacher_weight must be above 0 and at most 1, got {self.teacher_weight}.")
        for name in ("warmup_epochs", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("image_size", "first_stage_epochs", "epsilon", "clip_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}.")
        fewest = min(self.epochs, self.first_stage_epochs or self.epochs)
        if self.warmup_epochs and self.warmup_epochs >= fewest:
            raise ValueError(f"warmup_epochs must be fewer than the {fewest} epochs, got {self.warmup_epochs}.")
        if self.schedule == "steps" and not self.decay_epochs:
            raise ValueError("With schedule=steps, decay_epochs must name the epochs, such as [35, 37].")

    def to_json(self) -> str:
        """The recipe as JSON, one field a line."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Reads what ``to_json`` wrote, or what a researcher made of it; missing fields take their defaults.

        Raises:
            ValueError: If it is no JSON object, a field is unknown, or a value is wrong.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"A recipe is a JSON object, and this is no JSON: {error}.") from error
        if not isinstance(values, dict) or "model" not in values:
            raise ValueError("A recipe is a JSON object that names at least its 'model'.")
        _check_names(values)
        return cls(**values)

    def override(self, values: dict[str, Any]) -> "Recipe":
        """The recipe with other values in some fields.

        Raises:
            ValueError: If a field is unknown or a value is wrong.
        """
        _check_names(values)
        return replace(self, **values)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """The values of ``key=value`` texts: JSON where that is what it is, and plain text otherwise.

    Raises:
        ValueError: If a text has no ``=``.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is no setting: write it as key=value, such as epochs=10.")
        values[name.strip().replace("-", "_")] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text


def _check_names(values: dict[str, Any]) -> None:
    known = [spec.name for spec in fields(Recipe)]
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"A recipe has no field {name!r}{f'; did you mean {close[0]!r}?' if close else '.'}")


def _typed(name: str, annotation: Any, value: Any) -> Any:
    """The value as the field's type; JSON has no tuples, and writes 1.0 as 1."""
    types = get_args(annotation) if NoneType in get_args(annotation) else (annotation,)
    if NoneType in types and value in (None, "none"):
        return None
    if float in types and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if tuple[float, ...] in types and isinstance(value, (list, tuple)):
        return tuple(_typed(name, float, item) for item in value)
    for kind in (bool, int, str):
        if kind in types and type(value) is kind:
            return value
    if dict[str, Any] in types and isinstance(value, dict):
        return dict(value)
    expected = " or ".join(_KINDS[kind] for kind in types)
    raise ValueError(f"{name} must be {expected}, got {value!r}.")
