"""Read the body of a STOW-RS response (PS3.18 10.5.3): which instances were stored, which not.

The body is DICOM JSON or Native DICOM XML. Its form, and not the Content-Type, decides, because
servers label it in many ways.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # returns the values of an attribute of a dataset, given its tag
    _Values = Callable[[Any, str], list[Any]]

_REFERENCED_SOP_SEQUENCE, _FAILED_SOP_SEQUENCE = "00081199", "00081198"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_FAILURE_REASON, _WARNING_REASON = "00081197", "00081196"
_MAX_US = 0xFFFF


@dataclass(frozen=True, slots=True)
class ReportedInstance:
    """What a response says about an instance; each value is None if it is missing or unusable."""

    uid: str | None
    failure: int | None
    warning: int | None


@dataclass(frozen=True, slots=True)
class StowResponse:
    """The instances that a response reports as stored and as failed."""

    stored: tuple[ReportedInstance, ...] = ()
    failed: tuple[ReportedInstance, ...] = ()


def parse(body: bytes) -> StowResponse:
    """Return what a body says, which is nothing if the body is no STOW-RS response."""
    body = body.removeprefix(codecs.BOM_UTF8).strip()
    try:
        if body.startswith(b"<"):
            # the body is short, and expat bounds the expansion of entities
            return _response(ET.fromstring(body), _xml_values)  # noqa: S314
        dataset = orjson.loads(body)
        if isinstance(dataset, list) and len(dataset) == 1:
            [dataset] = dataset  # as in the responses to searches
        return _response(dataset, _json_values)
    except (ValueError, SyntaxError, LookupError):  # LookupError: an unknown encoding in XML
        return StowResponse()


def _response(dataset: Any, values: _Values) -> StowResponse:
    return StowResponse(
        tuple(_instances(dataset, _REFERENCED_SOP_SEQUENCE, values)),
        tuple(_instances(dataset, _FAILED_SOP_SEQUENCE, values)),
    )


def _instances(dataset: Any, sequence: str, values: _Values) -> Iterator[ReportedInstance]:
    for item in values(dataset, sequence):
        yield ReportedInstance(
            _text(values(item, _REFERENCED_SOP_INSTANCE_UID)),
            _number(values(item, _FAILURE_REASON)),
            _number(values(item, _WARNING_REASON)),
        )


def _json_values(dataset: Any, tag: str) -> list[Any]:
    attribute = dataset.get(tag) if isinstance(dataset, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


def _xml_values(dataset: Any, tag: str) -> list[Any]:
    """Return the values of an attribute: the items of a sequence, and otherwise texts."""
    values: list[Any] = []
    if isinstance(dataset, ET.Element):
        for attribute in dataset.findall("{*}DicomAttribute"):
            if attribute.get("tag") == tag:
                values += attribute.findall("{*}Item")
                values += [value.text for value in attribute.findall("{*}Value")]
    return values


def _text(values: list[Any]) -> str | None:
    if values and isinstance(values[0], str):
        return values[0].strip(" \0\n\t")
    return None


def _number(values: list[Any]) -> int | None:
    """Return the first value as an unsigned 16-bit number, which XML writes as text."""
    value = values[0] if values else None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdecimal():
        value = int(value) if len(value) <= len("65535") else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_US:
        return value
    return None
