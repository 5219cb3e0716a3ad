"""Which network a checkpoint is of, against the kernels of the networks that Keras builds."""

import pytest
from full_size import Once, full_size

from larq_melius.converters.importers.identify import check_network, matching_networks
from larq_melius.models.registry import VARIANTS
from larq_melius.stems import STEMS


@pytest.mark.long
@pytest.mark.parametrize("name", VARIANTS)
def test_every_network_is_told_from_all_others(name: str, once: Once) -> None:
    stem = VARIANTS[name].stem
    # As MXNet and PyTorch store them.
    kernels = [(shape[3], shape[2], *shape[:2]) for shape in full_size(once, name, stem=stem).kernels]
    assert matching_networks(kernels) == [(name, stem)]
    assert matching_networks(reversed(kernels)) == [(name, stem)]
    assert matching_networks(kernels[:-1]) == []
    assert matching_networks([*kernels, kernels[-1]]) == []


@pytest.mark.parametrize("stem", STEMS)
def test_stems(stem: str, once: Once) -> None:
    network = full_size(once, "MeliusNetTiny", stem=stem, input_shape=(32, 32, 5))
    kernels = [(shape[3], shape[2], *shape[:2]) for shape in network.kernels]
    assert matching_networks(kernels) == [("MeliusNetTiny", stem)]
    check_network(kernels, "meliusnettiny", stem)
    other = "grouped" if stem != "grouped" else "conv7x7"
    with pytest.raises(ValueError, match=rf"not of MeliusNetTiny with the {other} .* with the {stem} stem"):
        check_network(kernels, "MeliusNetTiny", other)


def test_checkpoints_of_unknown_networks_pass() -> None:
    check_network([(64, 3, 7, 7), (5, 64, 3, 3)], "MeliusNet22", "grouped")
