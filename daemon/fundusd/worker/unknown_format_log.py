"""Keep the log readable when thousands of files in an inbox are no photographs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

_LINES_PER_MINUTE = 10
_MINUTE = 60.0


class UnknownFormatLog:
    """Chooses which captures of unknown format have a line of their own, and counts the others.

    The first ten of a minute have one. Any thread may use it.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._began = monotonic()
        self._logged, self._counted = 0, 0  # since then
        self._lock = threading.Lock()
        self._log = structlog.get_logger(service="worker")

    def is_to_be_logged(self) -> bool:
        """Return whether another capture has a line of its own; otherwise, count it."""
        self.log_counted()
        with self._lock:
            is_early = self._logged < _LINES_PER_MINUTE
            if is_early:
                self._logged += 1
            else:
                self._counted += 1
            return is_early

    def log_counted(self, *, at_end: bool = False) -> None:
        """If a minute is over, or the service ends, log how many captures were counted."""
        with self._lock:
            if not at_end and self._now() < self._began + _MINUTE:
                return
            count, self._counted, self._logged = self._counted, 0, 0
            self._began = self._now()
        if count:
            self._log.warning("capture.unknown_format", count=count)
