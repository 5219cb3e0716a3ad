"""Checked records: what they take, and what they say about the rest."""

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from larq_melius.validation import Items, OrNone, Share, checked


@checked
class Blend:
    """A record with one field of each kind."""

    name: str
    size: Annotated[int, Field(gt=0)] = 1
    share: Share = 0.5
    colors: Items[float] = ()
    shape: Annotated[tuple[int, int], Field(strict=False)] = (1, 2)
    mode: OrNone[Literal["add", "multiply"]] = None
    options: OrNone[dict[str, Any]] = None
    fast: bool = False


def test_a_record_is_an_immutable_dataclass_with_the_types_of_its_fields() -> None:
    blend = Blend("a", colors=[1, 2.5], mode="none", share=1)  # type: ignore[arg-type]
    assert (blend.colors, blend.mode, blend.share) == ((1.0, 2.5), None, 1.0)
    assert all(isinstance(number, float) for number in (*blend.colors, blend.share))
    assert replace(blend, size=3) == Blend(**{**asdict(blend), "size": 3}) != blend
    assert hash(blend) == hash(replace(blend))
    with pytest.raises(FrozenInstanceError):
        blend.size = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": 1}, "name must be text, got 1."),
        ({"size": True}, "size must be a whole number, got True."),
        ({"size": 2.0}, "size must be a whole number, got 2.0."),
        ({"size": 0}, "size must be above 0, got 0."),
        ({"share": 1.5}, "share must be a share from 0 to 1, got 1.5."),
        ({"share": False}, "share must be a number, got False."),
        ({"share": float("nan")}, "share must be a finite number, got nan."),
        ({"colors": "red"}, "colors must be a list, got 'red'."),
        ({"colors": [1, "2"]}, "colors[1] must be a number, got '2'."),
        ({"colors": [float("inf")]}, "colors[0] must be a finite number, got inf."),
        ({"shape": [1]}, "shape[1] is missing."),
        ({"shape": [1, 2, 3]}, "shape must be a list of 2, got [1, 2, 3]."),
        ({"mode": "subtract"}, "mode must be one of add, multiply or none, got 'subtract'."),
        ({"options": []}, "options must be an object or none, got []."),
        ({"fast": 1}, "fast must be true or false, got 1."),
        ({"colour": []}, "there is no field 'colour'; did you mean 'colors'?"),
        ({"zzz": 1}, "there is no field 'zzz'; the fields are name, size, share, colors, shape, mode, options, fast."),
        ({"size": 0, "fast": 1}, "size must be above 0, got 0; fast must be true or false, got 1."),
    ],
    ids=str,
)
def test_errors_name_the_field_the_value_and_what_is_allowed(values, message) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        Blend(**{"name": "a", **values})
    assert str(error.value) == message


def test_missing_fields_and_superfluous_arguments() -> None:
    with pytest.raises(ValueError, match=r"^name is missing\.$"):
        Blend(size=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"^there is no field 'nam'; did you mean 'name'\?|name is missing\.$"):
        Blend(nam="a")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Blend("a", name="b")  # type: ignore[misc]
