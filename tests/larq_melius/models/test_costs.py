"""The table of costs that listings show, compared with what is counted on the built networks."""

import pytest
from full_size import Once, full_size

from larq_melius.models.costs import COSTS, Cost
from larq_melius.models.registry import VARIANTS


def test_every_network_has_its_costs() -> None:
    assert list(COSTS) == list(VARIANTS)


@pytest.mark.long
@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_of_the_built_network(name: str, once: Once) -> None:
    # With the stem named as tests/larq_melius/analysis/test_operations.py names it, each network is built once.
    operations = full_size(once, name, stem=VARIANTS[name].stem).operations
    assert COSTS[name] == Cost(
        operations.binary_macs,
        operations.float_macs_without_classifier,
        operations.params,
        int(operations.size_mib * 2**20),
    )
    assert COSTS[name].ops == operations.ops_without_classifier
