"""Sweep an inbox one directory at a time, comparing its files with the ledger's sightings."""

from __future__ import annotations

import errno
import os
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

from fundusd.domain.files import IgnoreReason, Stat
from fundusd.files.safe_read import is_gone
from fundusd.watcher.ignore_rules import rules_of
from fundusd.watcher.listing import (
    EntryKind,
    batches,
    classify,
    is_within,
    join_path,
    listed_file,
)
from fundusd.watcher.rules import DEFAULT_SWEEP_RULES
from fundusd.watcher.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fundusd.domain.files import Inbox, ListedFile, Sighting
    from fundusd.ledger import Ledger
    from fundusd.watcher.directory_times import DirectoryTimes
    from fundusd.watcher.rules import SweepRules
    from fundusd.watcher.settling import Settling

OUTAGE_FILES = 20
_OUTAGE_SHARE = 0.2


class Consider(Protocol):
    """A function that considers a regular file."""

    def __call__(self, path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool) -> bool:
        """Let a new or changed file wait until it has settled.

        Return True if there is nothing to wait for.
        """
        ...


class Sweep:
    """Sweeps the directory `start` and, if `deep`, everything below it.

    Without `deep`, a directory below `start` is swept only if it is new to `directories`. Each call
    of `step` sweeps one directory. A file that matches its sighting costs one stat and one row,
    unless the file is in `waiting`. Memory use grows only with the number of directories. Vanished
    files are merely collected; after the sweep, the caller decides what they mean.
    """

    def __init__(  # noqa: PLR0913  built in one place
        self,
        inbox: Inbox,
        ledger: Ledger,
        consider: Consider,
        beat: Callable[[], None],
        *,
        rules: SweepRules = DEFAULT_SWEEP_RULES,
        waiting: Settling | None = None,
        directories: DirectoryTimes | None = None,
        descend: bool = True,
        start: bytes = b"",
        deep: bool = True,
        hinted: bool = False,
    ) -> None:
        self.tally = Tally()
        self.gone: list[bytes] = []
        self._inbox, self._camera, self._root = inbox, inbox.camera_id, os.fsencode(inbox.root)
        self._ledger, self._consider, self._beat, self._waiting = ledger, consider, beat, waiting
        self._directories, self._descend, self._deep = directories, descend, deep
        self._hinted, self._rules, self._ignore_rules = hinted, rules, rules_of(inbox.ignore)
        self._stack = [start]
        self._unlisted: list[bytes] = []  # unreadable, so what lies below them is unknown
        # for a partial sweep, counting all sightings below `start` beforehand would take too long
        self._is_partial = hinted or not deep
        self._remaining: dict[bytes, int] = {}  # sightings in directories not listed so far
        if not self._is_partial:
            self._remaining = ledger.remembered(inbox.camera_id, below=start)
        self._prefetched: Mapping[ListedFile, IgnoreReason | None] = {}
        self._prefetched_directories: frozenset[bytes] = frozenset()  # with all sightings

    @property
    def listed_root(self) -> bool:
        """Whether the inbox itself could be listed."""
        return b"" not in self._unlisted

    @property
    def looks_like_an_outage(self) -> bool:
        """Whether so many files are gone that an unmounted share is likelier than a cleanup."""
        vanished = self.tally.vanished
        total = vanished + self.tally.present
        return vanished > OUTAGE_FILES and vanished > _OUTAGE_SHARE * total

    def run(self) -> None:
        """Sweep all directories without a pause."""
        while self.step():
            pass

    def step(self) -> bool:
        """Sweep one directory, and return False once the sweep has finished."""
        self._beat()
        if self._stack:
            self._sweep_directory(self._stack.pop())
            return True
        while self._remaining:
            self._beat()
            directory, count = self._remaining.popitem()
            if not any(is_within(directory, unlisted) for unlisted in self._unlisted):
                self._collect_gone(directory, count)
        return False

    def pause(self) -> None:
        """Forget prefetched sightings, as the ledger may change before the next step."""
        self._prefetched_directories = frozenset()

    # -- directories that exist

    def _sweep_directory(self, directory: bytes) -> None:
        present = 0
        is_small = self._remaining.get(directory, 0) <= self._rules.max_sightings
        if is_small and directory not in self._prefetched_directories:
            self._prefetch(directory)
        try:
            if self._directories is not None:
                self._directories.record(directory)
            for batch in batches(self._root, directory, self._rules.max_entries):
                present += self._compare(directory, batch)
                self._beat()
        except OSError as error:
            if directory and error.errno in {errno.ENOENT, errno.ENOTDIR}:
                self._note_gone(directory)
            else:
                self._unlisted.append(directory)
                self.tally.unreadable += 1
            return
        self.tally.directories += 1
        self.tally.present += present
        self._collect_gone(directory, self._remaining.pop(directory, 0) - present)

    def _compare(self, directory: bytes, batch: Sequence[os.DirEntry[bytes]]) -> int:
        """Compare a batch of entries with the sightings in the ledger.

        Return the number of present sightings whose files are among the entries.
        """
        sightings = self._present_sightings(directory, batch)
        waiting = self._waiting or ()  # usually empty, and then no path is built for each file
        changed, last_name = [], b""
        for entry in batch:
            file = listed_file(directory, entry)
            if (
                file is None
                or file not in sightings
                or (waiting and join_path(directory, entry.name) in waiting)
            ):
                changed.append(entry)
                continue
            last_name = entry.name
            if (reason := sightings[file]) is not None:
                self.tally.ignored[reason] += 1
        unchanged = len(batch) - len(changed)
        self.tally.files += unchanged
        self.tally.candidates += unchanged
        if last_name:
            self.tally.sample = join_path(directory, last_name)
        if changed:
            return unchanged + self._examine(directory, changed)
        return unchanged

    def _examine(self, directory: bytes, changed: Sequence[os.DirEntry[bytes]]) -> int:
        """Examine entries that are not known to be unchanged.

        `changed` holds the entries that match no present sighting, and files that are waiting to
        settle. Return the number of present sightings whose files are among the entries.
        """
        known = self._ledger.named(self._camera, directory, [entry.name for entry in changed])
        present = 0
        for entry in changed:
            path = join_path(directory, entry.name)
            kind = classify(entry, path, self._ignore_rules)
            present += self._take_entry(path, kind, known.get(entry.name))
        return present

    def _take_entry(
        self, path: bytes, kind: Stat | IgnoreReason | EntryKind, sighting: Sighting | None
    ) -> bool:
        """Count and consider one entry.

        Return True if the entry is a file whose sighting is not marked as missing.
        """
        was_present = sighting is not None and not sighting.missing
        match kind:
            case Stat():
                self._take_file(path, kind, sighting)
                return was_present
            case IgnoreReason():
                self.tally.ignored[kind] += 1
                self.tally.files += 1
            case EntryKind.DIRECTORY:
                if self._deep or self._is_new(path):
                    self._stack.append(path)
            case EntryKind.UNREADABLE:
                self.tally.unreadable += 1
                return was_present
            case EntryKind.GONE:
                pass
        return False

    def _is_new(self, directory: bytes) -> bool:
        if not self._descend or self._directories is None:
            return False
        return directory not in self._directories

    def _take_file(self, path: bytes, stat: Stat, sighting: Sighting | None) -> None:
        self.tally.files += 1
        self.tally.candidates += 1
        self.tally.sample = path
        if not self._consider(path, stat, sighting, hinted=self._hinted):
            self.tally.waiting += 1
        elif sighting is not None and sighting.ignored is not None:
            self.tally.ignored[sighting.ignored] += 1

    # -- sightings

    def _present_sightings(
        self, directory: bytes, batch: Sequence[os.DirEntry[bytes]]
    ) -> Mapping[ListedFile, IgnoreReason | None]:
        """Return the sightings with which to compare a batch of entries.

        If the sightings in the directory were prefetched, all prefetched sightings are returned.
        Otherwise, only the sightings of the batch are queried.
        """
        if directory in self._prefetched_directories:
            return self._prefetched
        return self._ledger.present(self._camera, [directory], [entry.name for entry in batch])

    def _prefetch(self, directory: bytes) -> None:
        """Query the sightings in this directory and in the next ones together, up to a limit."""
        directories = [directory, *self._stack[: -self._rules.max_directories : -1]]
        if self._is_partial:
            self._remaining |= self._ledger.remembered(self._camera, directories)
        totals = accumulate(self._remaining.get(path, 0) for path in directories)
        fitting: list[bytes] = []
        for path, total in zip(directories, totals, strict=True):
            if total > self._rules.max_sightings:
                break
            fitting.append(path)
        self._prefetched_directories = frozenset(fitting)
        self._prefetched = {}
        if fitting:
            self._prefetched = self._ledger.present(self._camera, fitting)

    # -- files that are gone

    def _note_gone(self, directory: bytes) -> None:
        """Count the sightings of a directory that no longer exists."""
        if self._is_partial and self._deep:
            self._remaining |= self._ledger.remembered(self._camera, below=directory)
        else:
            self._remaining |= self._ledger.remembered(self._camera, [directory])

    def _collect_gone(self, directory: bytes, count: int) -> None:
        """Collect the vanished files of a directory.

        Nothing is done unless `count`, a rough estimate of their number, is above 0: files may have
        come and gone since the sightings were counted. Files that are ignored now, but were
        captures before the settings changed, are not looked for.
        """
        if count <= 0 or self._ignore_rules.covers(directory):
            return
        after = b""
        while names := self._ledger.present_names(self._camera, directory, after):
            after = names[-1]
            self._beat()
            for name in names:
                path = join_path(directory, name)
                if self._ignore_rules.of_file(path) is None and is_gone(self._inbox.root, path):
                    self.tally.vanished += 1
                    if len(self.gone) < self._rules.max_gone:
                        self.gone.append(path)
