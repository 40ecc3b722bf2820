"""What the watcher needs from the ledger, and the rules it works by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain import Admission, Found, Ignored, Sighting, Stat, SweepReport


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """How captures are found and when they count as settled."""

    quiet_seconds: float = 2.0
    sweep_seconds: float = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"


class Intake(Protocol):
    """The ledger as the watcher sees it; each call is one transaction and raises LedgerError."""

    def registered_at_ns(self, camera_id: str) -> int:
        """Return when the camera became known, in wall-clock nanoseconds."""
        ...

    def swept_before(self, camera_id: str) -> bool:
        """Tell whether a full sweep of this camera's inbox has ever finished."""
        ...

    def known(self, camera_id: str, directory: bytes) -> Mapping[bytes, Sighting]:
        """Return what is remembered of one directory's files by name, missing ones included."""
        ...

    def known_directories(self, camera_id: str) -> set[bytes]:
        """Return the directories with remembered files that are not missing."""
        ...

    def admit(self, *found: Found) -> list[Admission]:
        """Make captures of settled files, each path once."""
        ...

    def ignore(self, camera_id: str, path: bytes, stat: Stat, reason: Ignored) -> None:
        """Remember a file that is no capture."""
        ...

    def mark_missing(self, camera_id: str, paths: Sequence[bytes]) -> None:
        """Note that files are gone."""
        ...

    def sweep_finished(self, camera_id: str, report: SweepReport) -> None:
        """Keep the report of a full sweep."""
        ...
