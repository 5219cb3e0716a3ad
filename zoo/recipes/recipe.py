"""All settings of a training, as one flat record that a file or the command line can change."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from larq_melius.stems import Stem
from larq_melius.validation import Items, OrNone, checked

Optimizer = Literal["radam", "adam", "sgd"]
Schedule = Literal["cosine", "steps", "constant"]
RateScaling = Literal["none", "linear", "sqrt"]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
Quantization = Literal["binary", "float_weights", "float_activations", "float"]
FirstStage = Literal["float_weights", "float_activations", "float"]
CountedFlips = Literal["none", "ends", "all"]
Sharding = Literal["examples", "files"]


def _check_fraction(value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError("must be at least 0 and below 1")
    return value


def _check_positive_share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError("must be above 0 and at most 1")
    return value


Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, AfterValidator(_check_fraction)]
PositiveShare = Annotated[float, AfterValidator(_check_positive_share)]


@checked
class Recipe:
    """How a network is trained.

    ``None`` stands for the default of the network, the data set or the optimizer.

    Attributes:
        model: Name of a network of the zoo, or of a builder (``"MeliusNet"``, ``"ResNetE"``) for ``architecture``.
        architecture: Arguments of that builder, such as ``num_blocks``.
        stem: First layers of the network.
        dataset: Name of the data set.
        image_size: Side of the images, in pixels.
        augmentation: Random changes to the training images.
        epochs: Passes over the training images.
        batch_size: Images per step, over all devices and hosts.
        reference_batch_size: The batch that ``learning_rate`` is for.
        rate_scaling: How the rate is scaled to another batch size: ``"none"``, ``"linear"`` or ``"sqrt"``.
        optimizer: ``"radam"``, ``"adam"`` or ``"sgd"``.
        learning_rate: Base rate at the reference batch.
        schedule: ``"cosine"`` to zero, ``"steps"`` at ``decay_epochs`` or ``"constant"``; changes with every step.
        warmup_epochs: Epochs over which the rate first rises from zero.
        decay_epochs: Epochs after which the rate is multiplied by ``decay_factor``.
        decay_factor: Factor on the rate at each of ``decay_epochs``.
        beta_1: Decay of the first moment of RAdam and Adam.
        beta_2: Decay of the second moment.
        epsilon: Epsilon of RAdam and Adam.
        momentum: Momentum of SGD.
        weight_decay: Weight decay: decoupled, per step and learning rate, for RAdam and Adam (as AdamW's); for SGD an
            L2 penalty, added to the gradient before the momentum (as GluonCV's).
        clip_norm: Maximum global norm of the gradients.
        label_smoothing: Share of the target probability that is spread over all classes.
        ema_momentum: Momentum of an exponential moving average of the weights, which is then evaluated and exported.
        initial_weights: Tag or file of weights to start from; a classifier of other classes is not loaded.
        quantization: What is binary in the blocks: ``"binary"`` (weights and activations), ``"float_weights"``
            (activations only), ``"float_activations"`` (weights only) or ``"float"`` (neither).
        first_stage: Quantization of a first training, from whose weights the second starts.
        first_stage_epochs: Epochs of the first training; by default ``epochs``.
        teacher: Teacher for distillation: a Keras file, or the name of a network of the zoo with weights.
        teacher_weight: Share of the distillation in the loss.
        temperature: Temperature of the teacher's and the student's probabilities in the distillation loss.
        teacher_pixels: Whether the teacher takes pixels from 0 to 255 instead of the student's normalized images.
        precision: ``"float32"``, ``"mixed_float16"`` or ``"mixed_bfloat16"``.
        xla: Whether XLA compiles the step.
        synchronize_batchnorm: Whether batch-norm statistics are computed over all replicas.
        flips: Layers whose sign flips are counted: ``"none"``, the first and last binary one (``"ends"``) or ``"all"``.
        shard_by: How hosts share the images: ``"examples"`` (each host reads all records and decodes its own; batches
            do not depend on the number of hosts) or ``"files"`` (each reads its own files).
        seed: Seed of the weights, of the order of the images and of their augmentation.
    """

    model: str
    architecture: OrNone[dict[str, Any]] = None
    stem: OrNone[Stem] = None
    dataset: str = "imagenet2012"
    image_size: OrNone[Count] = None
    augmentation: str = "imagenet"
    epochs: Count = 120
    batch_size: Count = 64
    reference_batch_size: Count = 64
    rate_scaling: RateScaling = "sqrt"
    optimizer: Optimizer = "radam"
    learning_rate: Positive = 0.002
    schedule: Schedule = "cosine"
    warmup_epochs: NotNegative = 0.0
    decay_epochs: Items[float] = ()
    decay_factor: Positive = 0.1
    beta_1: OrNone[Fraction] = None
    beta_2: OrNone[Fraction] = None
    epsilon: OrNone[Positive] = None
    momentum: OrNone[Fraction] = None
    weight_decay: NotNegative = 0.0
    clip_norm: OrNone[Positive] = None
    label_smoothing: Fraction = 0.0
    ema_momentum: OrNone[Fraction] = None
    initial_weights: OrNone[str] = None
    quantization: Quantization = "binary"
    first_stage: OrNone[FirstStage] = None
    first_stage_epochs: OrNone[Count] = None
    teacher: OrNone[str] = None
    teacher_weight: PositiveShare = 0.5
    temperature: Positive = 1.0
    teacher_pixels: bool = False
    precision: Precision = "float32"
    xla: bool = False
    synchronize_batchnorm: bool = False
    flips: CountedFlips = "ends"
    shard_by: Sharding = "examples"
    seed: int = 1

    @model_validator(mode="after")
    def _check_epochs(self) -> "Recipe":
        fewest = min(self.epochs, self.first_stage_epochs or self.epochs)
        if self.warmup_epochs and self.warmup_epochs >= fewest:
            raise ValueError(f"warmup_epochs must be fewer than the {fewest} epochs, got {self.warmup_epochs}.")
        if self.schedule == "steps" and not self.decay_epochs:
            raise ValueError("With schedule=steps, decay_epochs must name the epochs, such as [35, 37].")
        return self

    def to_json(self) -> str:
        """The recipe as JSON, one field per line."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Reads a recipe from JSON; missing fields take their defaults.

        Raises:
            ValueError: If the text is not a JSON object, a field is unknown, or a value is wrong.
        """
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"A recipe must be a JSON object, and this is not JSON: {error}.") from error
        if not isinstance(values, dict) or "model" not in values:
            raise ValueError("A recipe must be a JSON object with at least a 'model'.")
        return cls(**values)

    def override(self, values: dict[str, Any]) -> "Recipe":
        """Returns the recipe with other values in some fields.

        Raises:
            ValueError: If a field is unknown or a value is wrong.
        """
        return replace(self, **values)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parses ``key=value`` texts, whose values are JSON or else plain text.

    Raises:
        ValueError: If a text has no ``=``.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is not a setting: write it as key=value, such as epochs=10.")
        values[name.strip().replace("-", "_")] = _value(text.strip())
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        return text
