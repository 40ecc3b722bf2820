"""Account for every file of an inbox: waiting, succeeded, failed, ignored, or unaccounted."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from fundusd.domain.errors import InboxError
from fundusd.domain.files import IgnoreReason, Stat
from fundusd.domain.jobs import JobState
from fundusd.watcher.listing import EntryKind, batches, classify, join_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Account, Ledger

_NS = 1_000_000_000
_NOT_SETTLED = "waiting: not settled"


@dataclass(slots=True)
class Reconciliation:
    """The number of files of an inbox in each state.

    `unaccounted` lists the paths that the ledger should know and does not.
    """

    camera_id: str
    counts: Counter[str] = field(default_factory=Counter)
    unaccounted: list[bytes] = field(default_factory=list)

    @property
    def files(self) -> int:
        """Return how many files there are."""
        return sum(self.counts.values())


def reconcile(
    ledger: Ledger, inbox: Inbox, grace_seconds: float, wall: Callable[[], float] = time.time
) -> Reconciliation:
    """Return where each file of an inbox stands in the ledger.

    Raises InboxError if the inbox cannot be listed.

    A file that changed within `grace_seconds` and is not admitted yet is waiting, not unaccounted.
    """
    reconciliation = Reconciliation(inbox.camera_id)
    fresh_after = wall() - grace_seconds
    incomplete = ledger.incomplete_files(inbox.camera_id)
    for directory, listed in _walk(os.fsencode(inbox.root)):
        accounts = ledger.accounts(inbox.camera_id, directory)
        for name, what in listed:
            standing = _standing(what, accounts.get(name), fresh_after)
            if standing in {"unaccounted", _NOT_SETTLED} and (
                waits := incomplete.get(join_path(directory, name))
            ):
                standing = f"incomplete: {waits.reason}"
            reconciliation.counts[standing] += 1
            if standing == "unaccounted":
                reconciliation.unaccounted.append(join_path(directory, name))
    return reconciliation


def _walk(
    root: bytes,
) -> Iterator[tuple[bytes, list[tuple[bytes, Stat | IgnoreReason | EntryKind]]]]:
    """Yield each directory with its files, links not followed."""
    left = [b""]
    while left:
        directory = left.pop()
        files: list[tuple[bytes, Stat | IgnoreReason | EntryKind]] = []
        try:
            for entry in chain.from_iterable(batches(root, directory)):
                what = classify(entry)
                if what is EntryKind.DIRECTORY:
                    left.append(join_path(directory, entry.name))
                elif what is not EntryKind.GONE:
                    files.append((entry.name, what))
        except FileNotFoundError:
            if directory:
                continue  # moved away meanwhile
            raise _unreadable() from None
        except OSError:
            raise _unreadable() from None
        yield directory, files


def _unreadable() -> InboxError:
    return InboxError(
        "An inbox, or a folder in it, cannot be listed.",
        hint="See which and why with: fundusd check",
    )


def _standing(
    what: Stat | IgnoreReason | EntryKind, account: Account | None, fresh_after: float
) -> str:
    if isinstance(what, IgnoreReason):
        return f"ignored: {what}"
    if isinstance(what, EntryKind):
        return "unaccounted"  # not even its stat can be read
    if account is None or account.stat != what:
        touched = max(what.mtime_ns, what.ctime_ns) / _NS
        if touched > fresh_after or what.size == 0:
            return _NOT_SETTLED
        return "unaccounted"
    if account.ignored is not None:
        return f"ignored: {account.ignored}"
    if account.state is JobState.FAILED:
        return f"failed: {account.reason}"
    if account.state is JobState.SUCCEEDED:
        return (
            str(account.outcome)
            if account.reason is None
            else f"{account.outcome}: {account.reason}"
        )
    return f"waiting: {account.reason}" if account.reason else "waiting: queued"
