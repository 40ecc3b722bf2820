"""Whether an inbox is there: absence is an outage until proven otherwise, and never a deletion."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from fundusd.domain.files import OfflineReason
from fundusd.files.filesystem import is_network_filesystem

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.sweep import Sweep

_BELIEVED_AFTER = (
    24 * 3600.0
)  # seconds after which many files that are gone from a living inbox were tidied up


def _now() -> datetime:
    return datetime.now(UTC)


class Identity(NamedTuple):
    """Which directory an inbox is."""

    device: int
    inode: int
    remote: bool  # on a network file system

    @property
    def place(self) -> str:
        """Return it as the ledger keeps it."""
        return f"{self.device}:{self.inode}"


def identify(inbox: Inbox) -> Identity | OfflineReason:
    """Return which directory the inbox is, or why it counts as away."""
    try:
        descriptor = os.open(inbox.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return Identity(status.st_dev, status.st_ino, is_network_filesystem(inbox.root))
    except OSError as error:
        return (
            OfflineReason.MISSING
            if error.errno in {errno.ENOENT, errno.ENOTDIR}
            else OfflineReason.UNREADABLE
        )


class Absence:
    """Decide what the disappearance of files means, and have it known."""

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        log: FilteringBoundLogger,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._camera, self._ledger, self._log, self._now = inbox.camera_id, ledger, log, now
        before = ledger.whereabouts(inbox.camera_id)
        self._place = before.place
        self._reason: OfflineReason | None = before.offline_reason
        self._since = before.offline_since
        self._verdict: OfflineReason | None = None
        self.is_judged = False  # whether a full sweep has seen this very directory

    @property
    def is_there(self) -> bool:
        """Whether the last full sweep found no outage: only then is a file that is not found missing."""
        return self.is_judged and self._verdict is None

    def forget(self) -> None:
        """Begin anew: the inbox is away, or another directory."""
        self.is_judged = False

    def judge(self, sweep: Sweep, identity: Identity) -> OfflineReason | None:
        """Return why what a full sweep did not find is not to be called missing, None when it is."""
        self._verdict, self.is_judged = self._judged(sweep, identity), True
        return self._verdict

    def _judged(self, sweep: Sweep, identity: Identity) -> OfflineReason | None:
        tally = sweep.tally
        if tally.vanished and not tally.candidates and self._place not in {None, identity.place}:
            return OfflineReason.EMPTY
        if not sweep.looks_like_an_outage or (tally.candidates and self._is_believed()):
            return None
        return OfflineReason.MASS_DISAPPEARANCE

    def _is_believed(self) -> bool:
        if self._reason is not OfflineReason.MASS_DISAPPEARANCE or self._since is None:
            return False
        return (self._now() - self._since).total_seconds() > _BELIEVED_AFTER

    def found_at(self, identity: Identity, *, files: bool) -> None:
        """Note which directory the inbox is, once files are seen in it or for the first time."""
        if identity.place != self._place and (files or self._place is None):
            self._place = identity.place
            self._ledger.found_at(self._camera, identity.place)

    def tell(self, reason: OfflineReason | None, files: int = 0) -> None:
        """Say and write down that the inbox is away or, with None, that it is there."""
        if reason == self._reason:
            return
        if reason is None:
            self._log.info("camera.online")
        else:
            self._log.warning("camera.offline", reason=reason.value, missing=files or None)
        self._since = None if reason is None else (self._since or self._now())
        self._reason = reason
        self._ledger.offline(self._camera, reason)
