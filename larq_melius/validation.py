"""Records whose fields pydantic checks, and pydantic's errors in one line."""

import difflib
import functools
from collections.abc import Callable
from dataclasses import fields
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from typing_extensions import dataclass_transform

T = TypeVar("T")

# Only what cannot be misread is converted: a whole number where any number may stand. Text is never read as a number.
_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

#: A field that may also be ``None``, which the command line and hand-written files spell "none".
OrNone = Annotated[T | None, BeforeValidator(lambda value: None if value == "none" else value)]
#: A tuple, which JSON and users may write as a list.
Items = Annotated[tuple[T, ...], Field(strict=False)]


def _check_share(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError("must be a share from 0 to 1")
    return value


#: A share of a whole, such as an accuracy.
Share = Annotated[float, AfterValidator(_check_share)]

# What a value must be, by pydantic's name for the error.
_REQUIREMENTS = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "dataclass_exact_type": "an object",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_type": "a whole number",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "string_type": "text",
    "too_long": "a list of {max_length}",
    "tuple_type": "a list",
}


@dataclass_transform(frozen_default=True)
def checked(cls: type[T]) -> type[T]:
    """Makes a class an immutable dataclass that checks its fields' types and constraints.

    ``dataclasses.replace``, ``asdict`` and ``fields`` work as on every dataclass. Wrong values, missing fields and
    unknown ones raise a ``ValueError`` with one line.

    Example:
        >>> @checked
        ... class Crop:
        ...     size: Annotated[int, Field(gt=0)]
        >>> Crop(size=0)
        Traceback (most recent call last):
        ValueError: size must be above 0, got 0.
    """
    made: Any = dataclass(frozen=True, config=_CONFIG)(cls)
    check: Callable[..., None] = made.__init__
    names = [field.name for field in fields(made)]

    @functools.wraps(check)
    def init(self: Any, *args: Any, **values: Any) -> None:
        # pydantic locates an error in a positional argument by its index: with its name, the message has the name.
        positional = dict(zip(names, args, strict=False))
        if len(args) > len(names) or positional.keys() & values.keys():
            raise TypeError(f"{cls.__name__} takes each of its {len(names)} fields once.")
        try:
            check(self, **positional, **values)
        except ValidationError as error:
            raise ValueError(one_line(error, made)) from None

    made.__init__ = init
    return made


def one_line(error: ValidationError, record: type) -> str:
    """What is wrong with each field: its name, what is allowed, and the value it got.

    Args:
        error: What pydantic found.
        record: The ``checked`` class that was to be built.
    """
    # A mistyped name is why the right one is missing, so it comes first.
    details = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "unexpected_keyword_argument")
    line = "; ".join(_sentence(each, record) for each in details)
    return line if line.endswith("?") else f"{line}."


def _sentence(detail: Any, record: type) -> str:
    kind, location = detail["type"], detail["loc"]
    if kind == "unexpected_keyword_argument":
        return _unknown_field(str(location[-1]), record)
    if kind == "value_error":
        # A validator's own words: the end of a sentence about its field, or a whole one about several fields.
        words = str(detail["ctx"]["error"]).rstrip(".")
        if not location:
            return words
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    if kind == "missing":
        return f"{name} is missing"
    if kind != "value_error":
        words = _requirement(kind, detail)
    optional = NoneType in get_args(get_type_hints(record).get(name))
    return f"{name} {words}{' or none' if optional else ''}, got {_shown(detail['input'])}"


def _requirement(kind: str, detail: Any) -> str:
    context = detail.get("ctx", {})
    if kind == "literal_error":
        # pydantic writes the choices as "'a', 'b' or 'c'".
        return f"must be one of {context['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    if kind in _REQUIREMENTS:
        return f"must be {_REQUIREMENTS[kind].format(**context)}"
    return f"is wrong: {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _unknown_field(name: str, record: type) -> str:
    known = [field.name for field in fields(record)]
    close = difflib.get_close_matches(name, known, n=1)
    return f"there is no field {name!r}; " + (
        f"did you mean {close[0]!r}?" if close else f"the fields are {', '.join(known)}"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
