"""Files of one inbox on their way from seen to admitted: settled, unheld, read once, handed to the ledger."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import MediaType
from fundusd.domain.errors import CaptureError
from fundusd.domain.files import Admission, IgnoreReason, SettledFile, Stat, WaitReason
from fundusd.files.media_type import HEAD_BYTES, sniff
from fundusd.files.safe_read import (
    digest_settled,
    is_gone,
    is_unchanged,
    open_capture,
    read_head,
    status_at,
    still_there,
)
from fundusd.files.writer_lease import Probe, probe_writer
from fundusd.watcher.ignore_rules import claims_capture
from fundusd.watcher.incomplete_files import Waits
from fundusd.watcher.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fundusd.domain.files import Inbox, Sighting
    from fundusd.ledger import Ledger
    from fundusd.watcher.rules import IntakeRules

_TOGETHER = 500  # files that are no captures, written down in one transaction

LeaseRule = Literal["unknown", "writer-lease", "double-quiet"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Calls:
    """Whom the watcher calls: on new work for the worker, on progress, and for the time."""

    admitted: Callable[[], None]
    beat: Callable[[], None]
    monotonic: Callable[[], float]


class Candidates:
    """Wait for an inbox's files to settle and admit each once."""

    def __init__(self, inbox: Inbox, rules: IntakeRules, ledger: Ledger, calls: Calls) -> None:
        self.rule: LeaseRule = "unknown"
        self.by_hint, self.by_sweep = 0, 0  # captures, by what found them
        self._admissions = 0
        self._turned_away = False
        self._inbox, self._ledger, self._calls = inbox, ledger, calls
        self._settling = Settling(rules.quiet_seconds)
        self._hinted: set[bytes] = set()
        known = ledger.incomplete_files(inbox.camera_id)
        self._waits = Waits(known, rules.grace_seconds, calls.monotonic())
        self._to_ignore: dict[bytes, tuple[Stat, IgnoreReason]] = {}
        self._baseline = rules.backlog == "baseline"
        self._registered_ns = ledger.registered_at_ns(inbox.camera_id)
        self._swept = ledger.swept_before(inbox.camera_id)
        self._remote = False

    def attach(self, *, remote: bool) -> None:
        """Begin with an inbox that lies on this machine or on another one."""
        self._remote = remote
        self.rule = "double-quiet" if remote else "unknown"

    def swept(self) -> None:
        """Note that a first full sweep has finished: what comes now is new."""
        self._swept = True

    def take_admissions(self) -> int:
        """Return how many captures were admitted since the last call."""
        admissions, self._admissions = self._admissions, 0
        return admissions

    def has_room_again(self) -> bool:
        """Tell, once, that files were turned away and another sweep may bring them now."""
        room = self._turned_away and self._settling.half_empty
        self._turned_away = self._turned_away and not room
        return room

    @property
    def waiting(self) -> Settling:
        """Return what waits to settle, by path."""
        return self._settling

    def due(self) -> float | None:
        """Return the monotonic time at which the next file may be admitted."""
        return self._settling.due()

    def consider(self, path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool) -> bool:
        """Take a file on unless it is as the ledger remembers it; True when nothing is left to do about it."""
        if sighting is not None and not sighting.missing and sighting.stat == stat:
            self._drop(path)
            return True
        if self._is_baseline(stat, sighting):
            self._ignore(path, stat, IgnoreReason.BASELINE)
            return True
        seen_before = path in self._settling
        self._observe(path, stat)
        if path not in self._settling:  # empty, or no room
            self._hinted.discard(path)
            self._turned_away |= self._settling.full
        elif hinted and not seen_before:
            self._hinted.add(path)
        return False

    def _observe(self, path: bytes, stat: Stat) -> bool:
        """Note what a file looks like now; True when it has settled."""
        now, before = self._calls.monotonic(), self._settling.stat(path)
        if stat.size == 0:
            self._waits.note(path, stat, WaitReason.EMPTY, now)
        elif before is not None and before != stat:
            self._waits.note(path, stat, WaitReason.CHANGING, now)
        return self._settling.observe(path, stat, now)

    def _is_baseline(self, stat: Stat, sighting: Sighting | None) -> bool:
        if sighting is None:
            return self._baseline and not self._swept and self._lay_there(stat)
        # a chmod or a restore of the archive moves ctime and inode, and is no new capture
        same = (sighting.stat.size, sighting.stat.mtime_ns) == (stat.size, stat.mtime_ns)
        return sighting.ignored is IgnoreReason.BASELINE and same

    def _lay_there(self, stat: Stat) -> bool:
        return stat.ctime_ns < self._registered_ns

    def admit_ripe(self, limit: int) -> None:
        """Look again at up to `limit` files whose quiet time is over, and admit those that have settled together."""
        settled: list[SettledFile] = []
        for path in self._settling.ripe(self._calls.monotonic())[:limit]:
            self._calls.beat()
            try:
                found = self._look_again(path)
            except CaptureError as error:
                self._stumble(path, error.reason)
            else:
                settled += [found] if found else []
        self._admit(settled)
        self.write_ignored()

    def _look_again(self, path: bytes) -> SettledFile | None:
        stat = status_at(self._inbox.root, path)
        if stat is None:
            self._drop(path)
        elif self._observe(path, stat):
            descriptor = open_capture(self._inbox.root, path)
            try:
                return self._take(path, stat, descriptor)
            finally:
                os.close(descriptor)
        return None

    def _stumble(self, path: bytes, reason: Reason) -> None:
        if reason is Reason.FILE_MISSING:
            self._drop(path)
            return
        now, stat = self._calls.monotonic(), self._settling.stat(path)
        if stat is not None:
            self._waits.note(path, stat, WaitReason.UNREADABLE, now)
        if self._settling.back_off(path, now) == 1:
            _log.warning("capture.unreadable", camera=self._inbox.camera_id)

    def _take(self, path: bytes, stat: Stat, descriptor: int) -> SettledFile | None:
        """Return what to admit of an open file; None when it is ignored or has to wait on."""
        if not is_unchanged(descriptor, stat):
            self._settling.restart(path, self._calls.monotonic())
            return None
        if self._is_held(path, stat, descriptor):
            return None
        ignored = self._reason_to_ignore(path, read_head(descriptor, HEAD_BYTES))
        if ignored is not None:
            self._ignore(path, stat, ignored)
            return None
        digest = digest_settled(descriptor, stat, self._calls.beat)
        if digest is None or not still_there(self._inbox.root, path, stat):
            self._settling.restart(path, self._calls.monotonic())
            return None
        hinted, backlog = path in self._hinted, self._lay_there(stat)
        return SettledFile(self._inbox.camera_id, path, stat, digest, hinted, backlog)

    def _is_held(self, path: bytes, stat: Stat, descriptor: int) -> bool:
        """Tell whether a writer may still be at it, by the kernel's word or else by twice the quiet time."""
        now = self._calls.monotonic()
        match self.probe(descriptor):
            case Probe.FREE:
                return False
            case Probe.BUSY:
                self._settling.restart(path, now)
                self._waits.note(path, stat, WaitReason.HELD, now)
                return True
            case Probe.UNAVAILABLE:
                return not self._settling.lengthen(path, now)

    def probe(self, descriptor: int) -> Probe:
        """Probe for a writer and remember which rule that leaves in force."""
        probe = Probe.UNAVAILABLE if self._remote else probe_writer(descriptor)
        if probe is Probe.UNAVAILABLE:
            self.rule = "double-quiet"
        elif self.rule == "unknown":
            self.rule = "writer-lease"
        return probe

    def find_rule(self, path: bytes | None) -> None:
        """Find out on any file which rule is in force, if that is still unknown."""
        if self.rule == "unknown" and path is not None:
            with contextlib.suppress(CaptureError):
                descriptor = open_capture(self._inbox.root, path)
                try:
                    self.probe(descriptor)
                finally:
                    os.close(descriptor)

    def _reason_to_ignore(self, path: bytes, head: bytes) -> IgnoreReason | None:
        kind = sniff(head)
        if isinstance(kind, MediaType):
            return None
        if (
            kind is None
        ):  # a name that claims a capture is admitted: the decoder will say what is wrong with it
            return None if claims_capture(path) else IgnoreReason.SIDECAR
        return kind

    def _ignore(self, path: bytes, stat: Stat, reason: IgnoreReason) -> None:
        self._to_ignore[path] = (stat, reason)
        self._drop(path)
        if len(self._to_ignore) == _TOGETHER:
            self.write_ignored()

    def write_ignored(self) -> None:
        """Have the ledger remember the files that were found to be no captures."""
        if self._to_ignore:
            self._ledger.ignore(self._inbox.camera_id, self._to_ignore)
            self._to_ignore = {}

    def _admit(self, settled: Sequence[SettledFile]) -> None:
        if not settled:
            return
        self._note_moves(settled)
        admissions = self._ledger.admit(*settled)
        for found in settled:
            self._drop(found.path)
        self._count(
            [
                one
                for one, admission in zip(settled, admissions, strict=True)
                if admission is not Admission.TOUCHED
            ]
        )
        if not {Admission.ADMITTED, Admission.MOVED}.isdisjoint(admissions):
            self._calls.admitted()

    def _count(self, new: Sequence[SettledFile]) -> None:
        hinted = sum(one.hinted for one in new)
        self._admissions += len(new)
        self.by_hint += hinted
        self.by_sweep += len(new) - hinted

    def keep_waits(self, *, prune: bool = False) -> None:
        """Write down what is not complete, and give up for now what has not changed for long."""
        if prune:
            turned_away = self._turned_away  # those were not looked at
            self._waits.prune(
                lambda path: is_gone(self._inbox.root, path),
                lambda path: turned_away or path in self._settling,
            )
        now = self._calls.monotonic()
        if given_up := self._waits.quarantine(now):
            _log.warning("capture.quarantined", camera=self._inbox.camera_id, count=len(given_up))
        shown = self._waits.to_write(now)
        if shown is not None:
            self._ledger.keep_incomplete(self._inbox.camera_id, shown)

    def _note_moves(self, settled: Sequence[SettledFile]) -> None:
        """Have it known of files that were renamed that they are gone from where they were: only so they have moved."""
        gone = [
            path for path in self._ledger.same_files(settled) if is_gone(self._inbox.root, path)
        ]
        if gone:
            self._ledger.mark_missing(self._inbox.camera_id, gone)

    def _drop(self, path: bytes) -> None:
        self._settling.forget(path)
        self._waits.drop(path)
        self._hinted.discard(path)
