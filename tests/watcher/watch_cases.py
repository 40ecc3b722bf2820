"""A real watcher on a real folder with a real ledger, for tests."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from tests import ledger_cases

from fundusd.domain.files import Inbox
from fundusd.files.writer_lease import ignore_lease_breaks
from fundusd.ledger import Ledger
from fundusd.ledger.tables import sighting
from fundusd.watcher.listing import join_path
from fundusd.watcher.rules import IntakeRules
from fundusd.watcher.service import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from pathlib import Path

PATIENCE = 60.0  # seconds a test waits before it fails
# no full sweep after the first: events have to find everything
NATIVE: dict[str, Any] = {"mode": "native", "sweep_seconds": 3600.0}
SWEEPING: dict[str, Any] = {"mode": "sweep-only", "sweep_seconds": 0.1}


def jpeg(word: str, size: int = 200) -> bytes:
    """Return bytes that begin like a JPEG and contain `word`."""
    return b"\xff\xd8\xff\xe0" + word.encode().ljust(size, b"-")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Watching:
    """A watcher that watches `inbox` in a separate thread."""

    def __init__(self, inbox: Path, ledger: Ledger, rules: IntakeRules) -> None:
        self.inbox, self.ledger = inbox, ledger
        self.clock_ahead = timedelta()  # of the watcher's wall clock
        self.events: list[MutableMapping[str, Any]] = []
        self.worked = 0
        self.on_beat: Callable[[], None] = lambda: None  # called in the watcher's thread
        self._ended = threading.Event()
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self.watcher = Watcher(
            [Inbox(ledger_cases.CAMERA, inbox)],
            replace(rules, now=self._now),
            ledger,
            admitted=self._admitted,
            beat=self._beat,
        )
        self._thread = threading.Thread(target=self._run, name="watcher")

    def _run(self) -> None:
        try:
            self.watcher.run(self._stop)
        except BaseException as error:  # noqa: BLE001  `end` raises it again
            self._error = error
        finally:
            self._ended.set()

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    def _admitted(self) -> None:
        self.worked += 1

    def _beat(self) -> None:
        self.on_beat()

    def start(self) -> None:
        ignore_lease_breaks()
        self._thread.start()

    def stop(self, *, wake: bool = True) -> float:
        """Stop the watcher; return the seconds it took."""
        asked = time.monotonic()
        self._stop.set()
        if wake:  # only to save the tests' time
            self.watcher.request_sweep()
        self.end()
        return time.monotonic() - asked

    def end(self) -> None:
        """Wait for the watcher's end; raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def until(self, met: Callable[[], Any]) -> None:
        """Wait until a condition is true."""
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert self._error is None, self._error
            assert time.monotonic() < deadline, "waited in vain"
            self._ended.wait(0.02)

    def sweep(self) -> None:
        """Request a full sweep and wait until it has finished."""
        before = self.swept_at()
        self.watcher.request_sweep()
        self.until(lambda: self.swept_at() != before)

    def swept_at(self) -> object:
        return self.camera()["last_sweep_at"]

    def camera(self) -> dict[str, Any]:
        (row,) = self.ledger.status()["cameras"]
        return dict(row)

    def lines(self, event: str) -> list[MutableMapping[str, Any]]:
        return [entry for entry in list(self.events) if entry["event"] == event]

    def drop(self, name: str | bytes, content: bytes) -> bytes:
        """Write a file as a plain copy would; return its path relative to the inbox."""
        target = self.inbox / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return os.fsencode(name)

    def captures(self) -> list[dict[str, Any]]:
        return ledger_cases.captures(self.ledger)

    def current(self) -> dict[bytes, str]:
        """Return the digest of each path's current revision."""
        return {row["path"]: row["digest"] for row in self.captures() if not row["superseded"]}

    def sightings(self) -> dict[bytes, dict[str, Any]]:
        rows = ledger_cases.rows(self.ledger, sighting)
        return {join_path(row["directory"], row["name"]): row for row in rows}

    def wait_for(self, name: str | bytes, content: bytes) -> None:
        """Wait until a path's current revision is this content."""
        self.until(lambda: self.current().get(os.fsencode(name)) == digest(content))


@contextlib.contextmanager
def prepared(inbox: Path, url: str, **rules: Any) -> Iterator[Watching]:
    """Create a watcher that has not been started."""
    ledger = Ledger(url)
    ledger.start(ledger_cases.release())
    ledger.register_camera(ledger_cases.CAMERA)
    watching = Watching(inbox, ledger, IntakeRules(**{"quiet_seconds": 0.1, **NATIVE, **rules}))
    try:
        with structlog.testing.capture_logs() as watching.events:
            yield watching
    finally:
        ledger.close()


@contextlib.contextmanager
def watching(inbox: Path, url: str, **rules: Any) -> Iterator[Watching]:
    """Watch an inbox; yield after the first full sweep."""
    inbox.mkdir(exist_ok=True)
    with prepared(inbox, url, **rules) as begun:
        before = begun.swept_at()
        begun.start()
        try:
            begun.until(lambda: begun.swept_at() != before)
            yield begun
        finally:
            begun.stop()
