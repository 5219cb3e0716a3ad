"""Entries of a registry: what earlier versions wrote, and what is refused."""

import json

import pytest

from larq_melius.weights.records import WeightsRecord, list_records

ENTRY = {
    "model": "MeliusNetTiny",
    "tag": "letters",
    "stem": "thumbnail",
    "convention": "authors",
    "file": "letters.npz",
    "sha256": "00",
    "input_shape": [8, 8, 1],
    "classes": ["a", "b"],
    "preprocessing": {"mean": [128], "std": [64.0], "crop_fraction": 1, "interpolation": "box"},
    "top1": None,
    "trained_on": "",
    "source": "",
    "license": "MIT",
}


def test_entries_survive_a_round_trip() -> None:
    for record in list_records():
        assert WeightsRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_the_format_that_earlier_versions_wrote_is_ignored() -> None:
    record = WeightsRecord.from_dict({**ENTRY, "format": "packed"})
    assert record == WeightsRecord.from_dict(ENTRY)
    assert "format" not in record.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem": "7x7"}, "stem must be one of grouped, conv7x7, thumbnail, got '7x7'"),
        ({"file": "../secret"}, "file must be the plain name of a file, without folders, got '../secret'"),
        ({"file": "C:\\x"}, "file must be the plain name of a file"),
        ({"file": ".."}, "file must be the plain name of a file"),
        ({"input_shape": [8, 8]}, "input_shape[2] is missing"),
        ({"input_shape": [8, 0, 1]}, "input_shape[1] must be above 0, got 0"),
        ({"classes": "letters"}, "classes must be a list, got 'letters'"),
        ({"preprocessing": {"mean": [0]}}, "std is missing"),
        ({"preprocessing": {"mean": [0], "std": [0]}}, "std[0] must be above 0, got 0"),
        ({"preprocessing": None}, "preprocessing must be an object, got None"),
        ({"top1": 99.3}, "top1 must be a share from 0 to 1 or none, got 99.3"),
        ({"bytes": "12"}, "bytes must be a whole number or none, got '12'"),
        ({"url": "https://example.org"}, "there is no field 'url'; did you mean 'urls'?"),
    ],
    ids=str,
)
def test_wrong_entries_get_one_line(change, message) -> None:
    with pytest.raises(ValueError, match=r"^The entry of \S+ is wrong: [^\n]+$") as error:
        WeightsRecord.from_dict({**ENTRY, **change})
    assert message in str(error.value)
