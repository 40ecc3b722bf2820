"""Explain the mistakes that pydantic finds in the settings, in plain words."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, get_args

from fundusd.app.settings import Settings
from fundusd.app.settings_section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import ValidationError

    Location = tuple[int | str, ...]

# names used in development versions of 0.1, which some settings files still contain
_RENAMED_KEYS = {
    "smallest_side": "min_side_pixels",
    "least_luminance": "min_luminance",
    "most_luminance": "max_luminance",
    "most_saturated": "max_saturated",
    "least_field": "min_field",
    "most_glare": "max_glare",
    "least_sharpness": "min_sharpness",
    "least_visibility": "min_visibility",
    "most_haze": "max_haze",
}
_RENAMED_VALUES = {("when", "judged"): "resulted"}
_WHOLE = "must be a whole number, without quotes"
_NUMBER = "must be a number, without quotes"
_SECTION = "must be a section with keys of its own, not a value"
# by the kind of mistake, as pydantic names it
_WORDS = {
    "missing": "is missing",
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, without quotes",
    "string_type": "must be text in quotes",
    "path_type": "must be a path in quotes",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
# likewise, of sections and lists
_FORMS = {
    "tuple_type": "must be a list in square brackets",
    "dict_type": _SECTION,
    "model_type": _SECTION,
}
_LIMITS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}
_PATTERNS = {
    "id": "must be at most 64 letters, digits, dots, hyphens or underscores, and begin with a "
    "letter or a digit",
    "revision": 'must be the 40 hexadecimal digits of a commit, or ""',
    "weights_digest": 'must be the 64 hexadecimal digits of a sha256, or ""',
    "dicom": "must be TITLE@HOST:PORT, with a title of at most 16 characters",
}


def explain(error: ValidationError, document: Mapping[str, Any]) -> list[str]:
    """Return a line for each mistake that pydantic found in a settings file.

    A line names the key and the broken rule, and usually quotes the value. `document` is the
    content of the file; the ids of cameras, receivers and readers are taken from it.
    """
    mistakes = error.errors()
    places = [details["loc"] for details in mistakes]
    lines = []
    for details in mistakes:
        is_consequence = details["type"] == "too_short" and _has_mistake_within(
            details["loc"], places
        )
        if not is_consequence:
            lines.append(_line(details, document))
    return lines


def _has_mistake_within(place: Location, places: Sequence[Location]) -> bool:
    """Return whether an item of a list is wrong; pydantic then also calls the list too short."""
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


def _line(details: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    location, value = details["loc"], details["input"]
    name = str(location[-1]) if location else ""
    key = _key(location, document)
    if details["type"] == "extra_forbidden":
        return f"  {key}: {_advice_on(location)}"
    if isinstance(value, str) and (name, value) in _RENAMED_VALUES:
        return f'  {key} = {value!r}: is called "{_RENAMED_VALUES[name, value]}" now'
    rule = _rule(details)
    is_shown = isinstance(value, str | int | float) and "password" not in rule
    if not key:
        return f"  {rule}"  # it concerns several sections
    return f"  {key} = {_as_written(value)}: {rule}" if is_shown else f"  {key}: {rule}"


def _as_written(value: str | float) -> str:
    """Return a value as TOML writes it, except that text is in single quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _key(location: Location, document: Mapping[str, Any]) -> str:
    """Return the place of a mistake, such as "camera 1 (id cr2), quality.min_field"."""
    text, separator, content = "", "", document
    for part in location:
        content = _part(content, part)
        if isinstance(part, str):
            text += separator + (part or '""')
            separator = "."
            continue
        separator = ", "
        if text in LISTED:
            text += f" {part + 1}{_identity(content)}"
        else:
            text += f", item {part + 1}"
    return text


def _part(content: Any, part: int | str) -> Any:
    try:
        return content[part]
    except (KeyError, IndexError, TypeError):  # the key is missing, or the value has no parts
        return None


def _identity(section: Any) -> str:
    if isinstance(section, dict) and isinstance(section.get("id"), str) and section["id"]:
        return f" (id {section['id']})"
    return ""


def _rule(details: Mapping[str, Any]) -> str:
    """Return the rule that a value breaks."""
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    name = str(details["loc"][-1]) if details["loc"] else ""
    if kind in _FORMS:
        return _form(details, name)
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        return f"{words} {context[limit]:g}"
    if kind in {"literal_error", "enum"}:
        return _choice(value, context["expected"])
    if kind == "string_pattern_mismatch" and name in _PATTERNS:
        return _PATTERNS[name]
    if kind in {"too_long", "string_too_long"}:
        things = "characters" if isinstance(value, str) else "items"
        return f"must have at most {context['max_length']} {things}"
    return str(details["msg"]).removeprefix("Value error, ")


def _form(details: Mapping[str, Any], name: str) -> str:
    """Return how a section or a list must be written."""
    if details["type"] == "tuple_type" and name in LISTED:
        return f"must be written as [[{name}]], once for each {name}"
    if details["type"] == "model_type" and isinstance(details["input"], list):
        return f"must be written as [{_heading(details['loc'])}], once"
    return _FORMS[details["type"]]


def _heading(location: Location) -> str:
    """Return the name of a section as its heading in the file has it, such as camera.quality."""
    return ".".join(part for part in location if isinstance(part, str))


def _choice(value: Any, expected: str) -> str:
    """Return a rule that names the possible values, and the one that is most like `value`."""
    choices = re.findall(r"'([^']*)'", expected)
    near = difflib.get_close_matches(value, choices, 1, 0.8) if isinstance(value, str) else []
    question = f'; did you mean "{near[0]}"?' if near else ""
    return f"must be {expected}{question}".replace("'", '"')


def _advice_on(location: Location) -> str:
    """Return what to do about an unknown key: a new name, another section or a near match."""
    unknown = str(location[-1])
    if new_name := _RENAMED_KEYS.get(unknown):
        return f"is called {new_name} now"
    own = list(_section_at(location[:-1]).model_fields)
    kind = "key" if len(location) > 1 else "section"
    for label, section in _sections(Settings):
        if unknown in section.model_fields:
            return f"there is no such {kind} here; it belongs to {label}"
    near = difflib.get_close_matches(unknown, own, n=1)
    if near:
        return f"there is no such {kind}; did you mean {near[0]}?"
    every: set[str] = set()
    for _, section in _sections(Settings):
        every.update(section.model_fields)
    near = difflib.get_close_matches(unknown, sorted(every), n=1)
    if near:
        return f"there is no such {kind}; did you mean {near[0]}?"
    return f"there is no such {kind}"


def _section_at(location: Location) -> type[Section]:
    section: type[Section] = Settings
    for part in location:
        if isinstance(part, str):
            section = _section_in(section.model_fields[part].annotation) or section
    return section


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that an annotation names, by itself or as the items of a tuple."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _sections(above: type[Section], prefix: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield all sections below a section, with their headings, such as "[camera.quality]"."""
    for name, field in above.model_fields.items():
        section = _section_in(field.annotation)
        if section is not None:
            heading = f"[{prefix}{name}]"
            if section is not field.annotation:
                heading = f"[{heading}]"
            yield heading, section
            yield from _sections(section, f"{prefix}{name}.")


# sections that may occur several times
LISTED = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if _section_in(field.annotation) is not field.annotation
)
