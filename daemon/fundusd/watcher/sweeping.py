"""A pass over an inbox, one directory at a time: what is there against what the ledger remembers."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fundusd.domain import Ignored, Stat
from fundusd.watcher.listing import Place, below, entries, is_within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fundusd.domain import Inbox, Sighting
    from fundusd.watcher.intake import Intake

_BEAT_EVERY = 200  # files
_GONE_KEPT = 10_000  # paths remembered as vanished in one pass; the next one brings the others
_OUTAGE_FILES = 20
_OUTAGE_SHARE = 0.2


class Consider(Protocol):
    """Look at a regular file; True when nothing is left to be done about it."""

    def __call__(self, path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool) -> bool:
        """Take the file on when it is new or has changed."""
        ...


@dataclass(slots=True)
class Tally:
    """What a pass has seen so far."""

    files: int = 0
    directories: int = 0
    waiting: int = 0
    unreadable: int = 0
    present: int = 0  # remembered and there
    vanished: int = 0  # remembered and gone
    first: bytes | None = None  # any regular file
    ignored: Counter[Ignored] = field(default_factory=Counter)


class Sweep:
    """Walk `start` and, when `deep`, everything below it; `step` does one directory.

    Absence is only collected: what becomes of it is decided when the pass is over.
    """

    def __init__(  # noqa: PLR0913  one place builds it
        self,
        inbox: Inbox,
        intake: Intake,
        consider: Consider,
        beat: Callable[[], None],
        *,
        start: bytes = b"",
        deep: bool = True,
        hinted: bool = False,
    ) -> None:
        self.tally = Tally()
        self.gone: list[bytes] = []
        self._camera, self._root = inbox.camera_id, os.fsencode(inbox.root)
        self._intake, self._consider, self._beat = intake, consider, beat
        self._deep, self._hinted = deep, hinted
        self._stack = [start]
        self._failed: list[bytes] = []  # could not be listed: nothing is known about what lies below
        # remembered and not listed so far; a hint is not worth asking for all of them
        self._unlisted = set() if hinted else self._remembered(start)

    def _remembered(self, start: bytes) -> set[bytes]:
        known = self._intake.known_directories(self._camera)
        return {directory for directory in known if is_within(directory, start)}

    @property
    def listed_root(self) -> bool:
        """Whether the inbox itself could be listed."""
        return b"" not in self._failed

    @property
    def looks_like_an_outage(self) -> bool:
        """Whether so much is gone that a share is likelier to be away than people to have tidied up."""
        gone = self.tally.vanished
        return gone > _OUTAGE_FILES and gone > _OUTAGE_SHARE * (gone + self.tally.present)

    def run(self) -> None:
        """Do all directories at once."""
        while self.step():
            pass

    def step(self) -> bool:
        """Do one directory; False when the pass is over."""
        self._beat()
        if self._stack:
            self._list(self._stack.pop())
            return True
        while self._unlisted:
            self._beat()
            directory = self._unlisted.pop()
            if not any(is_within(directory, failed) for failed in self._failed):
                self._vanish(directory, self._intake.known(self._camera, directory))
        return False

    def _list(self, directory: bytes) -> None:
        known = dict(self._intake.known(self._camera, directory))
        try:
            for entry in entries(self._root, directory):
                self._note(directory, entry.name, entry.what, known)
        except OSError as error:
            if directory and error.errno in {errno.ENOENT, errno.ENOTDIR}:
                self._unlisted |= self._remembered(directory) if self._hinted and self._deep else {directory}
            else:
                self._failed.append(directory)
                self.tally.unreadable += 1
            return
        self.tally.directories += 1
        self._unlisted.discard(directory)
        self._vanish(directory, known)

    def _note(self, directory: bytes, name: bytes, what: Stat | Ignored | Place, known: dict[bytes, Sighting]) -> None:
        """Take one entry in; what stays in `known` has vanished as a file."""
        match what:
            case Stat():
                self._see(below(directory, name), what, known.pop(name, None))
            case Ignored():
                self.tally.ignored[what] += 1
                self.tally.files += 1
            case Place.DIRECTORY:
                if self._deep:
                    self._stack.append(below(directory, name))
            case Place.UNREADABLE:
                known.pop(name, None)
                self.tally.unreadable += 1
            case Place.GONE:
                pass

    def _see(self, path: bytes, stat: Stat, sighting: Sighting | None) -> None:
        tally = self.tally
        tally.files += 1
        tally.first = tally.first or path
        tally.present += sighting is not None and not sighting.missing
        if tally.files % _BEAT_EVERY == 0:
            self._beat()
        if not self._consider(path, stat, sighting, hinted=self._hinted):
            tally.waiting += 1
        elif sighting is not None and sighting.ignored is not None:
            tally.ignored[sighting.ignored] += 1

    def _vanish(self, directory: bytes, known: Mapping[bytes, Sighting]) -> None:
        gone = [below(directory, name) for name, sighting in known.items() if not sighting.missing]
        self.tally.vanished += len(gone)
        self.gone += gone[: _GONE_KEPT - len(self.gone)]
