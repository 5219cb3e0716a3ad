"""Details in which the two implementations that trained these networks differ: the authors' and the Larq Zoo's."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReferenceImplementation:
    """The details in which implementations of one network differ, and on which its weights depend.

    Attributes:
        name: The value of ``convention=`` that selects it.
        symmetric_padding: Whether windows of stride 2 are padded equally on both sides, unlike Keras' ``"same"``.
        binary_pad_value: The number that pads a binarized map.
        grouped_stem_pool: Window of the max pool, with stride 2, after the grouped stem.
        meliusnet_pool_padding: Keras' padding of the max pools in MeliusNet's transitions, which matters for odd sizes;
            Binary DenseNet always uses ``"valid"``, which drops the last row and column.
        input_batchnorm: Whether ResNetE has a batch norm for the image.
        resnet_e_clip: Range of the straight-through estimator in ResNetE; every other network uses 1.3. The gradient
            of an activation passes where its absolute value is at most this.
        clip_weights: Whether the same range holds for the latent weights of binary convolutions: they get no gradient
            outside of it, and every update is clipped to it. If not, their gradient passes unchanged, and they may
            grow without bound.
    """

    name: str
    symmetric_padding: bool
    binary_pad_value: float
    grouped_stem_pool: int
    meliusnet_pool_padding: str
    input_batchnorm: bool
    resnet_e_clip: float
    clip_weights: bool


# The authors pad a binarized map with -1, which Larq Compute Engine does not know. Padding with +1 is its mirror image:
# negating a batch norm and the kernel after it turns one into the other.
AUTHORS = ReferenceImplementation(
    "authors",
    symmetric_padding=True,
    binary_pad_value=1.0,
    grouped_stem_pool=3,
    meliusnet_pool_padding="valid",
    input_batchnorm=True,
    resnet_e_clip=1.3,
    clip_weights=False,
)
LARQ_ZOO = ReferenceImplementation(
    "larq_zoo",
    symmetric_padding=False,
    binary_pad_value=0.0,
    grouped_stem_pool=2,
    meliusnet_pool_padding="same",
    input_batchnorm=False,
    resnet_e_clip=1.25,
    clip_weights=True,
)

_CONVENTIONS = {convention.name: convention for convention in (AUTHORS, LARQ_ZOO)}


def get_reference_implementation(name: str | ReferenceImplementation) -> ReferenceImplementation:
    """The reference implementation that ``convention=`` names; an implementation stands for itself.

    Raises:
        ValueError: If there is none of that name.
    """
    if isinstance(name, ReferenceImplementation):
        return name
    if name not in _CONVENTIONS:
        raise ValueError(f"Unknown convention {name!r}; choose one of {sorted(_CONVENTIONS)}.")
    return _CONVENTIONS[name]
