"""The hyper-parameters that the digits network is trained with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Every choice of the training; all were made by the validation part.

    Attributes:
        epochs: Passes over the training part.
        batch_size: Images a step; what does not fill a last batch waits for the next pass.
        learning_rate: Rate of Adam after the warm-up; a cosine takes it to zero, step by step.
        warm_up: Share of the steps over which the rate rises from zero.
        label_smoothing: Share of the target's probability that is spread over all classes.
        degrees: Largest rotation to either side.
        zoom: Largest relative change of each side's length.
        shear: Largest horizontal shift of a row, relative to its distance from the centre.
        shift: Largest shift along each axis, in pixels.
        seed: Seed of the initial weights, of the order of the images and of their distortions.
    """

    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 0.002
    warm_up: float = 0.025
    label_smoothing: float = 0.1
    degrees: float = 12.0
    zoom: float = 0.1
    shear: float = 0.1
    shift: float = 0.8
    seed: int = 1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {self.epochs}.")
