"""List the settings in force as TOML, with the place that each comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.app.settings_section import Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE, DEFAULT = "file", "default"
MASK = "***"
# secrets have files of their own, and a setting that contains one is refused or masked
_SECRET_KEY = re.compile(r"(password|token|secret)$")
_SECRET_PART = re.compile(r"(password|token|secret|key)=[^&\s]+|(?<=://)[^/@\s]+:[^/@\s]+(?=@)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A setting: its section as TOML writes it, its key, its value, and where it comes from."""

    heading: str  # such as "[intake]" or "[[camera]]"
    key: str
    value: Any  # None, or "" by default: not set
    source: str
    number: int = 0  # of the section, among those of the same name

    @property
    def line(self) -> str:
        """Return the setting as a line of TOML, with its source as a comment."""
        if self.value is None or (self.value == "" and self.source == DEFAULT):
            return f"# {self.key} is not set"
        return f"{self.key} = {_toml(self.value)}  # {self.source}"


def entries(section: Section, name: str = "", source: str = FILE) -> Iterator[Entry]:
    """Yield the settings of a section, and then those of the sections in it.

    `source` is DEFAULT for a section that the file does not contain.
    """
    heading = f"[{name}]"
    inner = []
    for key in type(section).model_fields:
        value = getattr(section, key)
        own = source if key in section.model_fields_set else DEFAULT
        if isinstance(value, Section | dict) or _are_sections(value):
            inner.append((key, value, own))
        elif name or value != ():  # outside sections, there are only lists of sections
            yield Entry(heading, key, _shown(key, value), own)
    for key, value, own in inner:
        yield from _inner(f"{name}.{key}".lstrip("."), value, own)


def _inner(name: str, value: Any, source: str) -> Iterator[Entry]:
    if isinstance(value, Section):
        yield from entries(value, name, source)
    elif isinstance(value, dict):
        yield from _of_table(name, value, source)
    else:
        for number, section in enumerate(value, 1):
            for entry in entries(section, name, source):
                heading = entry.heading
                if heading == f"[{name}]":
                    heading = f"[{heading}]"
                yield replace(entry, heading=heading, number=number)


def _of_table(name: str, table: Mapping[str, Any], source: str) -> Iterator[Entry]:
    for key, value in table.items():
        quoted = key if _BARE_KEY.fullmatch(key) else _toml(key)
        yield Entry(f"[{name}]", quoted, _shown(key, value), source)


def _are_sections(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(item, Section) for item in value)


def _shown(key: str, value: Any) -> Any:
    """Return a value as TOML and JSON have it, with its secrets masked."""
    if isinstance(value, tuple):
        return [_shown(key, item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and value:
        if _SECRET_KEY.search(key):
            return MASK
        return _SECRET_PART.sub(_masked, value)
    return value


def _masked(match: re.Match[str]) -> str:
    return f"{match[1]}={MASK}" if match[1] else f"{match[0].partition(':')[0]}:{MASK}"


def _toml(value: Any) -> str:
    """Return a value as TOML; of strings, numbers, booleans and lists, JSON is the same."""
    return orjson.dumps(value).decode()
