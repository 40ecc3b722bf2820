"""Whether an inbox is there: absence is an outage until proven otherwise, and never a deletion."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from fundusd.domain import Offline
from fundusd.reading import is_network_filesystem

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from fundusd.domain import Inbox
    from fundusd.watcher.intake import Intake
    from fundusd.watcher.sweeping import Sweep

_BELIEVED_AFTER = 24 * 3600.0  # seconds after which many files that are gone from a living inbox were tidied up


class Identity(NamedTuple):
    """Which directory an inbox is."""

    device: int
    inode: int
    remote: bool  # on a network file system

    @property
    def place(self) -> str:
        """Return it as the ledger keeps it."""
        return f"{self.device}:{self.inode}"


def identify(inbox: Inbox) -> Identity | Offline:
    """Return which directory the inbox is, or why it counts as away."""
    try:
        descriptor = os.open(inbox.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return Identity(status.st_dev, status.st_ino, is_network_filesystem(inbox.root))
    except OSError as error:
        return Offline.MISSING if error.errno in {errno.ENOENT, errno.ENOTDIR} else Offline.UNREADABLE


class Absence:
    """Decide what the disappearance of files means, and have it known."""

    def __init__(self, inbox: Inbox, intake: Intake, log: FilteringBoundLogger) -> None:
        self._camera, self._intake, self._log = inbox.camera_id, intake, log
        self._place = intake.place(inbox.camera_id)
        self._reason: Offline | None = None
        self._said_at_start = False
        self._since = 0.0  # of a mass disappearance

    def judge(self, sweep: Sweep, identity: Identity, now: float) -> Offline | None:
        """Return why what a full sweep did not find is not to be called missing, None when it is."""
        tally = sweep.tally
        if tally.vanished and not tally.files and self._place not in {None, identity.place}:
            return Offline.EMPTY
        if not sweep.looks_like_an_outage:
            return None
        if self._reason is not Offline.MASS_DISAPPEARANCE:
            self._since = now
        believed = tally.files and identity.place == self._place and now - self._since > _BELIEVED_AFTER
        return None if believed else Offline.MASS_DISAPPEARANCE

    def found_at(self, identity: Identity, *, files: bool) -> None:
        """Note which directory the inbox is, once files are seen in it or for the first time."""
        if identity.place != self._place and (files or self._place is None):
            self._place = identity.place
            self._intake.found_at(self._camera, identity.place)

    def tell(self, reason: Offline | None, files: int = 0) -> None:
        """Say and write down that the inbox is away or, with None, that it is there."""
        if reason == self._reason and self._said_at_start:
            return
        if reason is None and self._reason is not None:
            self._log.info("camera.online")
        elif reason is not None:
            self._log.warning("camera.offline", reason=reason.value, missing=files or None)
        self._reason, self._said_at_start = reason, True
        self._intake.offline(self._camera, reason)
