"""The ablation studies: what each compares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One training of a study.

    Attributes:
        label: Its name in the table.
        recipe: Name of its recipe.
        settings: ``key=value`` texts that change the recipe.
        top1: Top-1 accuracy on ImageNet in the paper, 0 to 1.
    """

    label: str
    recipe: str
    settings: tuple[str, ...] = ()
    top1: float | None = None


@dataclass(frozen=True)
class Ablation:
    """A study.

    Attributes:
        summary: What it compares, and where it is in the paper.
        cases: Its trainings.
        smallest_image: Smaller images are enlarged to this side, in pixels.
    """

    summary: str
    cases: tuple[Case, ...]
    smallest_image: int = 8


def _stems(name: str, original: float, grouped: float) -> tuple[Case, Case]:
    # Named, since small images would otherwise have the thumbnail stem in both cases.
    return (
        Case(f"{name}, 7x7 stem", f"{name}-conv7x7", ("stem=conv7x7",), original),
        Case(f"{name}, grouped stem", name, ("stem=grouped",), grouped),
    )


ABLATIONS: dict[str, Ablation] = {
    "stem": Ablation(
        "the grouped stem against the 7x7 one (Table 2)",
        (
            *_stems("ResNetE18", 0.600, 0.606),
            *_stems("BinaryDenseNet28", 0.617, 0.626),
            *_stems("MeliusNet22", 0.628, 0.636),
        ),
        smallest_image=32,
    ),
    "naive": Ablation(
        "the naive approach against MeliusNet, at the same number of operations (supplementary B)",
        (
            Case("NaiveNet17", "NaiveNet17", ("stem=conv7x7",)),
            Case("MeliusNet22", "MeliusNet22-40epochs", ("stem=conv7x7",)),
        ),
        smallest_image=32,
    ),
    "optimizer": Ablation(
        "RAdam, Adam and SGD (section 4.1, supplementary C)",
        (
            Case("RAdam", "ResNetE18", ("flips=ends",), 0.606),
            Case("Adam, warm-up", "ResNetE18-adam", ("flips=ends",)),
            Case("SGD, warm-up", "ResNetE18-sgd", ("flips=ends",)),
        ),
    ),
    "32bit": Ablation(
        "32-bit MeliusNet against 32-bit DenseNet (section 4.2)",
        (Case("MeliusNet 4,4,4,3", "MeliusNet-32bit"), Case("DenseNet 6,6,6,5", "DenseNet-32bit")),
        smallest_image=32,
    ),
    "precision": Ablation(
        "the effect of half precision and XLA on the loss",
        (
            Case("float32", "MeliusNet22", ("precision=float32",)),
            Case("mixed_bfloat16", "MeliusNet22", ("precision=mixed_bfloat16",)),
            Case("mixed_float16", "MeliusNet22", ("precision=mixed_float16",)),
            Case("float32, XLA", "MeliusNet22", ("xla=true",)),
        ),
    ),
}


def find_ablation(name: str) -> Ablation:
    """Finds a study by its name.

    Raises:
        ValueError: If there is none.
    """
    if name not in ABLATIONS:
        raise ValueError(f"Unknown ablation study {name!r}; choose one of {', '.join(ABLATIONS)}.")
    return ABLATIONS[name]
