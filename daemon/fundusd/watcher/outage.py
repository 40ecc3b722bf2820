"""Decide whether an inbox is online.

If many files are gone, the inbox counts as offline at first. If they stay gone for long, they count
as deleted.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from fundusd.domain.files import OfflineReason
from fundusd.files.filesystem import is_network_filesystem

if TYPE_CHECKING:
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.rules import IntakeRules
    from fundusd.watcher.sweep import Sweep


_HINT = (
    "Put the files back. If they were removed on purpose, exclude them with ignore in the settings,"
    " and reload the service; or wait: after a day they count as removed."
    " New photographs are graded meanwhile."
)


class DirectoryIdentity(NamedTuple):
    """The identity of an inbox's directory, which changes if the directory is replaced."""

    device: int
    inode: int
    remote: bool  # on a network file system

    @property
    def place(self) -> str:
        """Return the device and inode in the form in which the ledger stores them."""
        return f"{self.device}:{self.inode}"


def identify(inbox: Inbox) -> DirectoryIdentity | OfflineReason:
    """Return the identity of an inbox's directory, or the reason why the inbox is offline."""
    try:
        descriptor = os.open(inbox.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        remote = is_network_filesystem(inbox.root)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return OfflineReason.MISSING
        return OfflineReason.UNREADABLE
    return DirectoryIdentity(status.st_dev, status.st_ino, remote)


class OutageDetector:
    """Decides whether vanished files mean an outage, and reports each outage."""

    def __init__(
        self, inbox: Inbox, rules: IntakeRules, ledger: Ledger, log: FilteringBoundLogger
    ) -> None:
        self._camera, self._rules, self._ledger, self._log = inbox.camera_id, rules, ledger, log
        state = ledger.whereabouts(inbox.camera_id)
        self._place = state.place
        self._reason: OfflineReason | None = state.offline_reason
        self._since: datetime | None = state.offline_since
        self._assessment: OfflineReason | None = None
        self.has_assessed = False  # whether a full sweep of the current directory has finished

    @property
    def is_online(self) -> bool:
        """Whether the last full sweep found no outage, so that vanished files count as missing."""
        return self.has_assessed and self._assessment is None

    def was_seen_at(self, identity: DirectoryIdentity) -> bool:
        """Return whether this identity of the inbox's directory is the recorded one."""
        return self._place == identity.place

    def reset(self) -> None:
        """Forget the last full sweep.

        The caller does this when the inbox is offline or its directory has been replaced.
        """
        self.has_assessed = False

    def assess(self, sweep: Sweep, identity: DirectoryIdentity) -> OfflineReason | None:
        """Decide whether the inbox is offline, using the results of a full sweep.

        Return the reason, or None if the inbox is online.
        """
        self._assessment, self.has_assessed = self._outage(sweep, identity), True
        return self._assessment

    def _outage(self, sweep: Sweep, identity: DirectoryIdentity) -> OfflineReason | None:
        tally = sweep.tally
        if tally.vanished and not tally.candidates and self._place not in {None, identity.place}:
            return OfflineReason.EMPTY
        if not sweep.looks_like_an_outage or (tally.candidates and self._has_lasted()):
            return None
        return OfflineReason.MASS_DISAPPEARANCE

    def _has_lasted(self) -> bool:
        """Return whether a mass disappearance has lasted long enough to count as a deletion."""
        if self._reason is not OfflineReason.MASS_DISAPPEARANCE or self._since is None:
            return False
        self._since = min(self._since, self._rules.now())  # the clock may have been wrong
        lasted = (self._rules.now() - self._since).total_seconds()
        return lasted > self._rules.max_disappearance_seconds

    def record_place(self, identity: DirectoryIdentity, *, has_files: bool) -> None:
        """Record the identity of the inbox's directory if it has changed.

        A new directory without files is recorded only if no directory has been recorded yet.
        """
        if identity.place != self._place and (has_files or self._place is None):
            self._place = identity.place
            self._ledger.found_at(self._camera, identity.place)

    def report(self, reason: OfflineReason | None, files: int = 0) -> None:
        """Log and record why the inbox is offline, or that it is online if `reason` is None.

        Nothing is done if `reason` has not changed since the last report.
        """
        if reason == self._reason:
            return
        if reason is None:
            self._log.info("camera.online")
            self._since = None
        else:
            hint = _HINT if reason is OfflineReason.MASS_DISAPPEARANCE else None
            self._log.warning(
                "camera.offline", reason=reason.value, missing=files or None, hint=hint
            )
            self._since = self._since or self._rules.now()
        self._reason = reason
        self._ledger.offline(self._camera, reason)
