"""Keep an observer of one inbox running, and replace it when it fails."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from fundusd.watcher.observer import InboxObserver

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from fundusd.watcher.observer import ObserverFailures

# the longest pause between attempts; an observer that ran longer is replaced without a pause
_MAX_RETRY_SECONDS = 60.0
# the pause when the kernel grants too few watches, since an operator first has to raise the limit
_SHORT_OF_WATCHES_SECONDS = 3600.0


class ObserverRecovery:
    """Runs an observer of one inbox whenever possible; times are monotonic seconds."""

    def __init__(self, root: Path, failures: ObserverFailures, log: FilteringBoundLogger) -> None:
        self._root, self._failures, self._log = root, failures, log
        self._observer: InboxObserver | None = None
        self._started_at = 0.0
        self._retry_at = 0.0
        self._pause = 0.0

    @property
    def failure(self) -> str | None:
        """Why the observer is no longer reliable.

        The value is None if the observer is still reliable or if there is no observer.
        """
        if self._observer is None:
            return None
        return self._observer.failure()

    @property
    def is_healthy(self) -> bool:
        """Whether a reliable observer is running."""
        return self._observer is not None and self._observer.failure() is None

    @property
    def watch_count(self) -> int:
        """The number of directories that the kernel is watching for the observer."""
        if self._observer is None:
            return 0
        return self._observer.watch_count()

    def take(self) -> dict[bytes, bool]:
        """Return the directories that events have named since the last call.

        Each value says whether to descend into the directory.
        """
        if self._observer is None:
            return {}
        return self._observer.take()

    def attach(self, now: float) -> None:
        """Start a new observer, and only then stop the old one."""
        old, self._observer = self._observer, None
        self._started_at = now
        try:
            self._observer = InboxObserver(self._root, self._failures)
            self._log.info("hints.attached")
        except OSError as error:
            self._retry_at = now + _MAX_RETRY_SECONDS
            self._log.warning("hints.lost", reason=errno.errorcode.get(error.errno or 0, "unknown"))
        if old is not None:
            old.stop()

    def detach(self) -> None:
        """Stop the observer."""
        if self._observer is not None:
            self._observer.stop()
            self._observer = None

    def give_up(self, now: float) -> None:
        """Stop an observer that watches too few directories, and start no new one for an hour."""
        self._log.warning("hints.lost", reason="watches_short")
        self.detach()
        self._retry_at = now + _SHORT_OF_WATCHES_SECONDS

    def recover(self, now: float) -> bool:
        """Replace a failed or missing observer, and return whether a full sweep is needed."""
        failure = self.failure
        if failure is not None:
            self._note_failure(failure, now)
        is_missing = self._observer is None or failure is not None
        if is_missing and now >= self._retry_at:
            self.attach(now)
            return True
        if failure is not None:
            self.detach()
        return failure is not None

    def _note_failure(self, reason: str, now: float) -> None:
        self._log.warning("hints.lost", reason=reason)
        if now - self._started_at > _MAX_RETRY_SECONDS:
            self._pause = 0.0
        # the pause doubles with each failure that occurs soon after a start
        self._retry_at = now + self._pause
        self._pause = min(_MAX_RETRY_SECONDS, 2 * self._pause or 1.0)
