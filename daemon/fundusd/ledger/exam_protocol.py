"""The settings of cameras by which an exam is judged.

They are stored with the exam. A setting that is changed applies to an exam when the exam is judged
the next time, and until then the exam is shown as it was judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.exams import FieldProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The fields that are expected, the cameras of one field, and the share that is confirmed."""

    expected: tuple[str, ...] = ()
    one_field: tuple[str, ...] = ()  # cameras that photograph nothing but the macula
    confirmed_share: float = 0.0

    @property
    def stored(self) -> str:
        """Return the protocol as canonical JSON."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS).decode()


def of_cameras(cameras: Iterable[Row]) -> Protocol:
    """Return the protocol of an exam with photographs of these cameras."""
    expected: set[str] = set()
    one_field: set[str] = set()
    share = 0.0
    for camera in cameras:
        expected.update(camera["expected_fields"].split())
        share = max(share, camera["confirmed_share"])
        if camera["fields"] == FieldProtocol.ONE:
            one_field.add(camera["id"])
    return Protocol(tuple(sorted(expected)), tuple(sorted(one_field)), share)


def from_stored(text: str) -> Protocol:
    """Return a protocol that was stored with an exam."""
    stored = orjson.loads(text)
    return Protocol(
        tuple(stored["expected"]), tuple(stored["one_field"]), stored["confirmed_share"]
    )
