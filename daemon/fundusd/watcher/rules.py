"""What the watcher needs from the ledger, and the rules it works by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.files import (
        Admission,
        IgnoreReason,
        InboxState,
        IncompleteFile,
        ListedFile,
        OfflineReason,
        SettledFile,
        Sighting,
        Stat,
        SweepReport,
    )


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """How captures are found and when they count as settled."""

    quiet_seconds: float = 2.0
    sweep_seconds: float = 30.0
    mode: Literal["auto", "native", "sweep-only"] = "auto"
    backlog: Literal["newest-first", "baseline"] = "newest-first"
    grace_seconds: float = 600.0  # how long a file that is not complete may stay as it is


class Intake(Protocol):
    """The ledger as the watcher sees it; each call is one transaction and raises LedgerError."""

    def registered_at_ns(self, camera_id: str) -> int:
        """Return when the camera became known, in wall-clock nanoseconds."""
        ...

    def swept_before(self, camera_id: str) -> bool:
        """Tell whether a full sweep of this camera's inbox has ever finished."""
        ...

    def remembered(
        self, camera_id: str, directories: Sequence[bytes] = (), *, below: bytes = b""
    ) -> dict[bytes, int]:
        """Count the files that were there at the last look, by directory: of some, or of all in and below one."""
        ...

    def present(
        self, camera_id: str, directories: Sequence[bytes], names: Sequence[bytes] = ()
    ) -> Mapping[ListedFile, IgnoreReason | None]:
        """Return what files looked like that were there at the last look, and why they are ignored, if they are."""
        ...

    def named(
        self, camera_id: str, directory: bytes, names: Sequence[bytes]
    ) -> Mapping[bytes, Sighting]:
        """Return what is remembered of some files of a directory by name, missing ones included."""
        ...

    def present_names(self, camera_id: str, directory: bytes, after: bytes) -> Sequence[bytes]:
        """Return the names of a directory's files that were there at the last look: some, in order, after a name."""
        ...

    def same_files(self, found: Sequence[SettledFile]) -> Sequence[bytes]:
        """Return the other paths of one camera at which the very files were that are found now."""
        ...

    def admit(self, *found: SettledFile) -> list[Admission]:
        """Make captures of settled files, each path once."""
        ...

    def ignore(self, camera_id: str, files: Mapping[bytes, tuple[Stat, IgnoreReason]]) -> None:
        """Remember files that are no captures, by path."""
        ...

    def mark_missing(self, camera_id: str, paths: Sequence[bytes]) -> None:
        """Note that files are gone."""
        ...

    def sweep_finished(self, camera_id: str, report: SweepReport) -> None:
        """Keep the report of a full sweep."""
        ...

    def whereabouts(self, camera_id: str) -> InboxState:
        """Return where an inbox was when files were last seen in it, and whether it counts as away."""
        ...

    def found_at(self, camera_id: str, at: str) -> None:
        """Note which directory the inbox is that files were seen in."""
        ...

    def offline(self, camera_id: str, reason: OfflineReason | None) -> None:
        """Note that an inbox is away, or with None that it is there."""
        ...

    def queue_unread(self, camera_id: str) -> int:
        """Queue again what failed because a file could not be read that is there; return how many."""
        ...

    def incomplete_files(self, camera_id: str) -> Mapping[bytes, IncompleteFile]:
        """Return the files of an inbox that are not complete, by path."""
        ...

    def keep_incomplete(self, camera_id: str, files: Mapping[bytes, IncompleteFile]) -> None:
        """Remember these files of an inbox as not complete, and no others."""
        ...
