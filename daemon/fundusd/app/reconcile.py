"""Count the files in an inbox by state, and list those that the ledger should know but does not.

What cannot be listed is said, and the rest is counted.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from fundusd.domain.files import IgnoreReason, Stat
from fundusd.domain.jobs import JobState
from fundusd.watcher.ignore_rules import rules_of
from fundusd.watcher.listing import EntryKind, batches, classify, join_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Account, Ledger

    _Entry = Stat | IgnoreReason | EntryKind

_NS = 1_000_000_000
_NOT_SETTLED = "waiting: not settled"
_UNACCOUNTED = "unaccounted"


@dataclass(slots=True)
class Reconciliation:
    """The number of files in an inbox, by state.

    `unaccounted` lists the paths that the ledger should know but does not, and `unreadable` the
    folders that cannot be listed, with the reason. Paths are relative to the inbox, which is b"".
    `outage` is why the service holds the inbox to be offline, an OfflineReason, or None.
    """

    camera_id: str
    outage: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    unaccounted: list[bytes] = field(default_factory=list)
    unreadable: dict[bytes, str] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """Return the total number of files in the inbox."""
        return sum(self.counts.values())


def reconcile(
    ledger: Ledger, inbox: Inbox, grace_seconds: float, wall: Callable[[], float] = time.time
) -> Reconciliation:
    """Count the files in an inbox by their state in the ledger.

    A file that is not admitted yet counts as waiting if it is empty or has changed within
    `grace_seconds`.
    """
    reconciliation = Reconciliation(inbox.camera_id)
    fresh_after = wall() - grace_seconds
    incomplete = ledger.incomplete_files(inbox.camera_id)
    for directory, listed in _walk(inbox, reconciliation.unreadable):
        accounts = ledger.accounts(inbox.camera_id, directory)
        for name, entry in listed:
            state = _state(entry, accounts.get(name), fresh_after)
            if state in {_UNACCOUNTED, _NOT_SETTLED}:
                path = join_path(directory, name)
                if path in incomplete:
                    state = f"incomplete: {incomplete[path].reason}"
                elif state == _UNACCOUNTED:
                    reconciliation.unaccounted.append(path)
            reconciliation.counts[state] += 1
    return reconciliation


def _walk(
    inbox: Inbox, unreadable: dict[bytes, str]
) -> Iterator[tuple[bytes, list[tuple[bytes, _Entry]]]]:
    """Yield each directory with its files, without following links.

    A folder that is ignored is yielded as an entry of its directory. A directory that cannot be
    listed is added to `unreadable`, with the reason; what was listed of it before is yielded.
    """
    root, rules = os.fsencode(inbox.root), rules_of(inbox.ignore)
    pending = [b""]
    while pending:
        directory = pending.pop()
        files: list[tuple[bytes, _Entry]] = []
        try:
            for listed in chain.from_iterable(batches(root, directory)):
                path = join_path(directory, listed.name)
                entry = classify(listed, path, rules)
                if entry is EntryKind.DIRECTORY:
                    pending.append(path)
                elif entry is not EntryKind.GONE:
                    files.append((listed.name, entry))
        except OSError as error:
            if directory and isinstance(error, FileNotFoundError):
                continue  # it was moved or removed meanwhile
            unreadable[directory] = error.strerror or type(error).__name__
        yield directory, files


def _state(entry: _Entry, account: Account | None, fresh_after: float) -> str:
    """Return the state of a file, usually followed by a colon and the reason."""
    if isinstance(entry, IgnoreReason):
        return f"ignored: {entry}"
    if isinstance(entry, EntryKind):
        return _UNACCOUNTED  # not even its metadata can be read
    if account is None or account.stat != entry:
        changed = max(entry.mtime_ns, entry.ctime_ns) / _NS
        if changed > fresh_after or entry.size == 0:
            return _NOT_SETTLED
        return _UNACCOUNTED
    return _state_of_capture(account)


def _state_of_capture(account: Account) -> str:
    if account.ignored is not None:
        return f"ignored: {account.ignored}"
    if account.state is JobState.FAILED:
        return f"failed: {account.reason}"
    if account.state is JobState.SUCCEEDED:
        if account.reason is None:
            return str(account.outcome)
        return f"{account.outcome}: {account.reason}"
    return f"waiting: {account.reason or 'queued'}"
