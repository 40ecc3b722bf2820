"""A pass over an inbox, one directory at a time: what is there against what the ledger remembers."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from fundusd.domain.files import IgnoreReason, Stat
from fundusd.files.safe_read import is_gone
from fundusd.watcher.listing import Place, batches, below, is_within, look, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fundusd.domain.files import Inbox, ListedFile, Sighting
    from fundusd.ledger import Ledger
    from fundusd.watcher.directory_times import Folders
    from fundusd.watcher.settling import Settling

_LARGE = (
    2000  # remembered files: fewer are asked for together with the next directories', more in parts
)
_AHEAD = 200  # directories asked for at once
_GONE_KEPT = 10_000  # paths remembered as vanished in one pass; the next one brings the others
OUTAGE_FILES = 20
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
    candidates: int = 0  # regular files whose names say nothing against them
    directories: int = 0
    waiting: int = 0
    unreadable: int = 0
    present: int = 0  # remembered and there
    vanished: int = 0  # remembered and gone
    sample: bytes | None = None  # any regular file
    ignored: Counter[IgnoreReason] = field(default_factory=Counter)


class Sweep:
    """Walk `start` and, when `deep`, everything below it, else what is new there; `step` does one directory.

    A file that is as the ledger remembers it costs one stat and one row, unless it is among `waiting`; the memory
    grows with the inbox's folders only. Absence is only collected: what becomes of it is decided when the pass is over.
    """

    def __init__(  # noqa: PLR0913  one place builds it
        self,
        inbox: Inbox,
        ledger: Ledger,
        consider: Consider,
        beat: Callable[[], None],
        *,
        waiting: Settling | None = None,
        folders: Folders | None = None,
        descend: bool = True,
        start: bytes = b"",
        deep: bool = True,
        hinted: bool = False,
    ) -> None:
        self.tally = Tally()
        self.gone: list[bytes] = []
        self._inbox, self._camera, self._root = inbox, inbox.camera_id, os.fsencode(inbox.root)
        self._ledger, self._consider, self._beat, self._waiting = ledger, consider, beat, waiting
        self._folders, self._descend, self._deep, self._hinted = folders, descend, deep, hinted
        self._partial = hinted or not deep  # not worth asking for all that is remembered below
        self._stack = [start]
        self._failed: list[
            bytes
        ] = []  # could not be listed: nothing is known about what lies below
        # how many files are remembered in directories not listed so far
        self._left = {} if self._partial else ledger.remembered(inbox.camera_id, below=start)
        self._ahead: Mapping[ListedFile, IgnoreReason | None] = {}  # what is remembered as there
        self._asked: frozenset[bytes] = frozenset()  # of these directories, wholly

    @property
    def listed_root(self) -> bool:
        """Whether the inbox itself could be listed."""
        return b"" not in self._failed

    @property
    def looks_like_an_outage(self) -> bool:
        """Whether so much is gone that a share is likelier to be away than people to have tidied up."""
        gone = self.tally.vanished
        return gone > OUTAGE_FILES and gone > _OUTAGE_SHARE * (gone + self.tally.present)

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
        while self._left:
            self._beat()
            directory, count = self._left.popitem()
            if not any(is_within(directory, failed) for failed in self._failed):
                self._vanish(directory, count)
        return False

    def pause(self) -> None:
        """Forget what was asked for ahead: others write in the ledger now."""
        self._asked = frozenset()

    # -- a directory that is there

    def _list(self, directory: bytes) -> None:
        found = 0
        if directory not in self._asked and self._left.get(directory, 0) <= _LARGE:
            self._look_ahead(directory)
        try:
            if self._folders is not None:
                self._folders.look_before(directory)
            for batch in batches(self._root, directory):
                found += self._see(directory, batch)
                self._beat()
        except OSError as error:
            if directory and error.errno in {errno.ENOENT, errno.ENOTDIR}:
                self._note_gone(directory)
            else:
                self._failed.append(directory)
                self.tally.unreadable += 1
            return
        self.tally.directories += 1
        self.tally.present += found
        self._vanish(directory, self._left.pop(directory, 0) - found)

    def _see(self, directory: bytes, batch: Sequence[os.DirEntry[bytes]]) -> int:
        """Take a batch of entries in; return for how many of the files remembered as there it accounts."""
        remembered = self._remembered(directory, batch)
        waiting = self._waiting or ()  # hardly ever any: not worth a path for each file
        others, same = [], b""
        for entry in batch:
            found = seen(directory, entry)
            if (
                found is None
                or found not in remembered
                or (waiting and below(directory, entry.name) in waiting)
            ):
                others.append(entry)
                continue
            same = entry.name
            if (reason := remembered[found]) is not None:
                self.tally.ignored[reason] += 1
        as_remembered = len(batch) - len(others)
        self.tally.files += as_remembered
        self.tally.candidates += as_remembered
        self.tally.sample = below(directory, same) if same else self.tally.sample
        return as_remembered + (self._look_at(directory, others) if others else 0)

    def _look_at(self, directory: bytes, others: Sequence[os.DirEntry[bytes]]) -> int:
        """Look closer at entries that are not as remembered, or not remembered as there."""
        known = self._ledger.named(self._camera, directory, [entry.name for entry in others])
        return sum(
            self._note(below(directory, entry.name), look(entry), known.get(entry.name))
            for entry in others
        )

    def _note(
        self, path: bytes, what: Stat | IgnoreReason | Place, sighting: Sighting | None
    ) -> bool:
        """Take one entry in; True when it accounts for a file that is remembered as there."""
        was_there = sighting is not None and not sighting.missing
        match what:
            case Stat():
                self._take(path, what, sighting)
                return was_there
            case IgnoreReason():
                self.tally.ignored[what] += 1
                self.tally.files += 1
            case Place.DIRECTORY:
                if self._deep or self._is_new(path):
                    self._stack.append(path)
            case Place.UNREADABLE:
                self.tally.unreadable += 1
                return was_there
            case Place.GONE:
                pass
        return False

    def _is_new(self, directory: bytes) -> bool:
        return self._descend and self._folders is not None and directory not in self._folders

    def _take(self, path: bytes, stat: Stat, sighting: Sighting | None) -> None:
        self.tally.files += 1
        self.tally.candidates += 1
        self.tally.sample = path
        if not self._consider(path, stat, sighting, hinted=self._hinted):
            self.tally.waiting += 1
        elif sighting is not None and sighting.ignored is not None:
            self.tally.ignored[sighting.ignored] += 1

    # -- what the ledger remembers

    def _remembered(
        self, directory: bytes, batch: Sequence[os.DirEntry[bytes]]
    ) -> Mapping[ListedFile, IgnoreReason | None]:
        """Return what is remembered: of a small directory all, of a large one what the batch names."""
        if directory in self._asked:
            return self._ahead
        return self._ledger.present(self._camera, [directory], [entry.name for entry in batch])

    def _look_ahead(self, directory: bytes) -> None:
        """Ask in one go for this directory and the next ones, as far as they are small."""
        wanted = [directory, *self._stack[:-_AHEAD:-1]]
        if self._partial:
            self._left |= self._ledger.remembered(self._camera, wanted)
        rows = accumulate(self._left.get(one, 0) for one in wanted)
        self._asked = frozenset(
            one for one, count in zip(wanted, rows, strict=True) if count <= _LARGE
        )
        self._ahead = self._ledger.present(self._camera, list(self._asked)) if self._asked else {}

    # -- what is not there any more

    def _note_gone(self, directory: bytes) -> None:
        """Remember that a directory which was there is not."""
        if self._partial and self._deep:
            self._left |= self._ledger.remembered(self._camera, below=directory)
        else:
            self._left |= self._ledger.remembered(self._camera, [directory])

    def _vanish(self, directory: bytes, count: int) -> None:
        """Collect the files of a directory that are gone, if by count some may be: others came or left meanwhile."""
        if count <= 0:
            return
        after = b""
        while names := self._ledger.present_names(self._camera, directory, after):
            after = names[-1]
            self._beat()
            gone = [
                path for name in names if is_gone(self._inbox.root, path := below(directory, name))
            ]
            self.tally.vanished += len(gone)
            self.gone += gone[: _GONE_KEPT - len(self.gone)]
