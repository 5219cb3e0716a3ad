"""What commands print is JSON, whatever the numbers are."""

import json

import pytest

from larq_melius.cli.output import print_json


def test_json_has_no_numbers_that_are_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "rows": [(float("inf"), 1.5), [-float("inf")]], "name": "nan"})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    printed = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert printed == {"loss": None, "rows": [[None, 1.5], [None]], "name": "nan"}
