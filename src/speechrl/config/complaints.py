"""pydantic's faults as sentences: where, what was expected, what was found, how to mend it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

Location = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list (lines that start with `- `)",
    "dict_type": "a section (`key: value` lines)",
    "model_type": "a section (`key: value` lines)",
    "model_attributes_type": "a section (`key: value` lines)",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "literal_error": "one of {expected}",
    "too_short": "at least {min_length} entry",
}


def describe(
    error: ValidationError, *, file: str, origins: dict[Location, str], root: type[BaseModel]
) -> str:
    """One line per fault.

    Args:
        error: What pydantic found.
        file: The file that was read.
        origins: Keys that were set by an override, with the name of that override.
        root: The model that was validated; its fields give the known keys.
    """
    return "\n".join(
        f"{_origin(fault['loc'], file, origins, unknown=fault['type'] == 'extra_forbidden')}: {_sentence(fault, root)}"
        for fault in error.errors(include_url=False)
    )


def _origin(location: Location, file: str, origins: dict[Location, str], *, unknown: bool) -> str:
    """The last override that set this key (or a section around it, or a key in it), else the file."""
    for key, origin in reversed(origins.items()):
        if location[: len(key)] == key:
            return origin
    # A whole section may be one that only overrides made: `trian.steps=1` makes an unknown `trian`.
    inside = [origin for key, origin in origins.items() if key[: len(location)] == location]
    return inside[-1] if inside and unknown else file


def _sentence(fault: Any, root: type[BaseModel]) -> str:
    location: Location = fault["loc"]
    key = ".".join(map(str, location))
    kind: str = fault["type"]
    if kind == "extra_forbidden":
        section = _section(root, location[:-1])
        known = list(section.model_fields) if section else []
        return f"unknown key `{key}`. {_suggest(str(location[-1]), location[:-1], known, root)}"
    if kind == "missing":
        return f"`{key}` is missing. Add it: {_explanation(root, location)}."
    if kind == "value_error":  # a validator of ours, whose message is a sentence
        return f"`{key}`: {fault['ctx']['error']}." if key else f"{fault['ctx']['error']}."
    expected = _EXPECTED.get(kind, fault["msg"]).format(**fault.get("ctx", {}))
    explanation = _explanation(root, location)
    return f"`{key}` must be {expected}, not {_found(fault['input'])}." + (
        f" It is: {explanation}." if explanation else ""
    )


def _suggest(name: str, parents: Location, known: list[str], root: type[BaseModel]) -> str:
    """The nearest key of the section; else the same key in another section; else all keys."""
    prefix = "".join(f"{part}." for part in parents)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{prefix}{near[0]}`?"
    elsewhere = [path for path in _all_keys(root) if path.rsplit(".", 1)[-1] == name]
    if elsewhere:
        return f"Did you mean `{elsewhere[0]}`?"
    return f"Known keys here: {', '.join(known)}."


def _all_keys(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        # Not sections in a list, whose keys need a number.
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _all_keys(field.annotation, f"{prefix}{name}.")


def _section(root: type[BaseModel], location: Location) -> type[BaseModel] | None:
    section: type[BaseModel] | None = root
    names_follow = False
    for part in location:
        if isinstance(part, int) or names_follow:  # an item of a list, or a name that the user gave
            names_follow = False
            continue
        field = section.model_fields.get(part) if section else None
        section = _model_in(field.annotation) if field else None
        names_follow = field is not None and _is_named(field.annotation)
    return section


def _is_named(annotation: Any) -> bool:
    """Whether a field holds sections under names of the user's."""
    return get_origin(annotation) is dict or any(_is_named(inner) for inner in get_args(annotation))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section an annotation holds, directly or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)


def _explanation(root: type[BaseModel], location: Location) -> str:
    names = [part for part in location if isinstance(part, str)]
    section = _section(root, tuple(names[:-1]))
    field = section.model_fields.get(names[-1]) if section and names else None
    return (field.description or f"the section `{names[-1]}`") if field else ""


def _found(value: Any) -> str:
    if value is None:
        return "nothing (an empty value)"
    names = {
        bool: "true/false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a section",
    }
    text = repr(value)
    return (
        f"{text if len(text) <= 40 else text[:37] + '...'} ({names.get(type(value), type(value).__name__)})"
    )
