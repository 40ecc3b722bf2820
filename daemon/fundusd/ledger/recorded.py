"""The outcome of a capture, as it is written to the log."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.clinical_terms import Reason
from fundusd.ledger.database import picked

if TYPE_CHECKING:
    from collections.abc import Iterable

_COPIED = ("camera_id", "digest", "revision", "eye", "eye_source", "patient_key", "turnaround_ms")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A capture and its outcome."""

    capture_id: int
    camera_id: str
    digest: str
    revision: int
    eye: str
    eye_source: str
    patient_key: str | None
    outcome: str
    reason: str | None
    grade: int | None
    turnaround_ms: int | None
    warnings: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return the fields of the log line.

        The fields contain neither the name nor the identifier of a patient.
        """
        fields = asdict(self) | {"camera": self.camera_id, "digest": self.digest[:12]}
        del fields["camera_id"]
        if not self.warnings:
            del fields["warnings"]
        if self.reason is not None:
            fields["action"] = Reason(self.reason).action
        return fields


def recorded(row: Any, outcome: str, reason: str | None, grade: int | None) -> Recorded:
    """Return a `Recorded` built from a capture's row and its outcome."""
    columns = picked(row, _COPIED)
    warnings = tuple(orjson.loads(row["warnings"] or "[]"))
    return Recorded(
        row["id"], outcome=outcome, reason=reason, grade=grade, warnings=warnings, **columns
    )


def log_reused(reused: Iterable[Recorded | None]) -> None:
    """Log the captures to which results that exist were applied."""
    for capture in reused:
        if capture is not None:
            import structlog  # only a daemon admits captures, and it has structlog loaded

            structlog.get_logger().info("capture.reused", **capture.fields())
