"""Wait for the files of one inbox to settle, then read each file once and admit it."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Literal

import structlog

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError, NotStorable
from fundusd.domain.files import Admission, IgnoreReason, SettledFile, Stat, WaitReason
from fundusd.files.safe_read import (
    digest_settled,
    is_gone,
    is_unchanged,
    open_capture,
    read_at,
    status_at,
    still_there,
)
from fundusd.files.writer_lease import Probe, probe_writer
from fundusd.watcher.ignore_rules import kind_of
from fundusd.watcher.incomplete_files import IncompleteFiles
from fundusd.watcher.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.files import Inbox, Sighting
    from fundusd.ledger import Ledger
    from fundusd.watcher.rules import Callbacks, IntakeRules

_MAX_BYTES = 4 << 30  # a larger file, perhaps a sparse one, would keep all others waiting
_MAX_IGNORED = 500  # ignored files recorded in one transaction
_STEP_SECONDS = 0.25

LeaseRule = Literal["unknown", "writer-lease", "double-quiet"]

_log = structlog.get_logger()


class Candidates:
    """Waits for the files of an inbox to settle, and admits each file once."""

    def __init__(
        self, inbox: Inbox, rules: IntakeRules, ledger: Ledger, callbacks: Callbacks
    ) -> None:
        self.lease_rule: LeaseRule = "unknown"
        self.by_hint, self.by_sweep = 0, 0  # captures first found by an event or a sweep
        self._admissions = 0
        self._has_refused = False  # whether files were refused for lack of room
        self._inbox, self._ledger, self._callbacks = inbox, ledger, callbacks
        self._settling = Settling(rules.quiet_seconds, rules.max_settling)
        self._hinted: set[bytes] = set()
        known = ledger.incomplete_files(inbox.camera_id)
        self._incomplete = IncompleteFiles(known, rules, callbacks.monotonic())
        self._to_ignore: dict[bytes, tuple[Stat, IgnoreReason]] = {}
        self._has_baseline = rules.backlog == "baseline"
        self._registered_ns = ledger.registered_at_ns(inbox.camera_id)
        self._was_swept = ledger.swept_before(inbox.camera_id)
        self._remote = False

    def attach(self, *, remote: bool) -> None:
        """Prepare for an inbox that has come online, and is `remote` if on a network."""
        self._remote = remote
        self.lease_rule = "double-quiet" if remote else "unknown"

    def finish_first_sweep(self) -> None:
        """Note that files that are found from now on are not part of the baseline."""
        self._was_swept = True

    def take_admissions(self) -> int:
        """Return how many captures were admitted since the last call."""
        admissions, self._admissions = self._admissions, 0
        return admissions

    def take_room_again(self) -> bool:
        """Return whether refused files have room again; if so, False until one is refused again."""
        has_room = self._has_refused and self._settling.is_half_empty
        if has_room:
            self._has_refused = False
        return has_room

    @property
    def waiting(self) -> Settling:
        """The files that are waiting to settle."""
        return self._settling

    def next_ready_at(self) -> float | None:
        """Return the monotonic time at which the next file may be admitted."""
        return self._settling.next_ready_at()

    def consider(self, path: bytes, stat: Stat, sighting: Sighting | None, *, hinted: bool) -> bool:
        """Let a new or changed file wait until it has settled.

        Return True if there is nothing to wait for, because the file is unchanged or belongs to the
        baseline. `hinted` says whether an event named the file's directory.
        """
        if sighting is not None and not sighting.missing and sighting.stat == stat:
            self._drop(path)
            return True
        if self._is_baseline(stat, sighting):
            self._ignore(path, stat, IgnoreReason.BASELINE)
            return True
        was_waiting = path in self._settling
        self._observe(path, stat)
        if path not in self._settling:  # empty or refused
            self._hinted.discard(path)
            self._has_refused |= self._settling.is_full
        elif hinted and not was_waiting:
            self._hinted.add(path)
        return False

    def _observe(self, path: bytes, stat: Stat) -> bool:
        """Note a file's current stat, and return whether the file has settled."""
        now, last = self._callbacks.monotonic(), self._settling.last_stat(path)
        if stat.size == 0:
            self._incomplete.note(path, stat, WaitReason.EMPTY, now)
        elif last is not None and last != stat:
            self._incomplete.note(path, stat, WaitReason.CHANGING, now)
        return self._settling.observe(path, stat, now)

    def _is_baseline(self, stat: Stat, sighting: Sighting | None) -> bool:
        if sighting is None:
            return self._has_baseline and not self._was_swept and self._is_backlog(stat)
        # chmod or restoring a backup changes the ctime or inode, but does not make a new capture
        same = (sighting.stat.size, sighting.stat.mtime_ns) == (stat.size, stat.mtime_ns)
        return sighting.ignored is IgnoreReason.BASELINE and same

    def _is_backlog(self, stat: Stat) -> bool:
        """Return whether a file dates from before the registration of the camera."""
        return stat.ctime_ns < self._registered_ns

    def admit_settled(self, limit: int) -> int:
        """Check files whose waiting time is over; admit up to `limit`, and return how many."""
        settled: list[SettledFile] = []
        began = self._callbacks.monotonic()
        for path in self._settling.ready(began):
            if len(settled) == limit or self._callbacks.monotonic() > began + _STEP_SECONDS:
                break
            self._callbacks.beat()
            try:
                file = self._check(path)
            except CaptureError as error:
                self._note_error(path, error.reason)
                continue
            if file is not None:
                settled.append(file)
        self._admit(settled)
        self.record_ignored()
        return len(settled)

    def _check(self, path: bytes) -> SettledFile | None:
        """Return a file for admission, or None if the file is gone, is ignored or must wait."""
        stat = status_at(self._inbox.root, path)
        if stat is None:
            self._drop(path)
        elif stat.size > _MAX_BYTES:
            self._observe(path, stat)
            raise CaptureError(Reason.TOO_MANY_BYTES)
        elif self._observe(path, stat):
            descriptor = open_capture(self._inbox.root, path)
            try:
                return self._read(path, stat, descriptor)
            finally:
                os.close(descriptor)
        return None

    def _note_error(self, path: bytes, reason: Reason) -> None:
        if reason is Reason.FILE_MISSING:
            self._drop(path)
            return
        now, stat = self._callbacks.monotonic(), self._settling.last_stat(path)
        if stat is not None:
            self._incomplete.note(path, stat, WaitReason.UNREADABLE, now)
        if self._settling.back_off(path, now) == 1:
            _log.warning("capture.unreadable", camera=self._inbox.camera_id)

    def _read(self, path: bytes, stat: Stat, descriptor: int) -> SettledFile | None:
        """Read an open file, and return it as a settled file.

        Return None if the file is ignored, must wait longer, or lets other files go first.
        """
        if not is_unchanged(descriptor, stat):
            self._settling.restart(path, self._callbacks.monotonic())
            return None
        if self._has_writer(path, stat, descriptor):
            return None
        kind = kind_of(path, partial(read_at, descriptor))
        if isinstance(kind, IgnoreReason):
            self._ignore(path, stat, kind)
            return None
        if kind is None and self._settling.put_last(path):
            return None
        digest = digest_settled(descriptor, stat, self._callbacks.beat)
        if digest is None or not still_there(self._inbox.root, path, stat):
            self._settling.restart(path, self._callbacks.monotonic())
            return None
        hinted, backlog = path in self._hinted, self._is_backlog(stat)
        camera_id, is_known = self._inbox.camera_id, kind is not None
        return SettledFile(camera_id, path, stat, digest, hinted, backlog, is_known)

    def _has_writer(self, path: bytes, stat: Stat, descriptor: int) -> bool:
        """Return whether a process may still write to a file.

        If the kernel cannot answer, a file that has been unchanged for twice the quiet time is
        assumed to have no writer.
        """
        now = self._callbacks.monotonic()
        match self.probe(descriptor):
            case Probe.FREE:
                return False
            case Probe.BUSY:
                self._settling.restart(path, now)
                self._incomplete.note(path, stat, WaitReason.HELD, now)
                return True
            case Probe.UNAVAILABLE:
                return not self._settling.lengthen(path, now)

    def probe(self, descriptor: int) -> Probe:
        """Return whether an open file has a writer, and set `lease_rule` accordingly."""
        probe = Probe.UNAVAILABLE if self._remote else probe_writer(descriptor)
        if probe is Probe.UNAVAILABLE:
            self.lease_rule = "double-quiet"
        elif self.lease_rule == "unknown":
            self.lease_rule = "writer-lease"
        return probe

    def detect_lease_rule(self, path: bytes | None) -> None:
        """Set `lease_rule` by probing the file at `path`, unless the rule is already known."""
        if self.lease_rule == "unknown" and path is not None:
            with contextlib.suppress(CaptureError):
                descriptor = open_capture(self._inbox.root, path)
                try:
                    self.probe(descriptor)
                finally:
                    os.close(descriptor)

    def _ignore(self, path: bytes, stat: Stat, reason: IgnoreReason) -> None:
        self._to_ignore[path] = (stat, reason)
        self._drop(path)
        if len(self._to_ignore) == _MAX_IGNORED:
            self.record_ignored()

    def record_ignored(self) -> None:
        """Record the ignored files in the ledger."""
        to_ignore, self._to_ignore = self._to_ignore, {}
        if to_ignore:
            self._ledger.ignore(self._inbox.camera_id, to_ignore)

    def _admit(self, settled: Sequence[SettledFile]) -> None:
        if not settled:
            return
        try:
            self._mark_moved(settled)
            admissions = self._ledger.admit(*settled)
        except NotStorable as error:
            if len(settled) == 1:
                _log.warning("capture.not_storable", camera=settled[0].camera_id, error=str(error))
                self._note_error(settled[0].path, Reason.FILE_UNREADABLE)
                return
            for file in settled:
                self._admit([file])
            return
        for file, admission in zip(settled, admissions, strict=True):
            self._count(file, admission)
            self._drop(file.path)
        if not {Admission.ADMITTED, Admission.MOVED}.isdisjoint(admissions):
            self._callbacks.admitted()

    def _count(self, file: SettledFile, admission: Admission) -> None:
        if admission is Admission.TOUCHED:
            return
        self._admissions += 1
        if file.hinted:
            self.by_hint += 1
        else:
            self.by_sweep += 1

    def report_incomplete(self, *, prune: bool = False) -> None:
        """Quarantine files that have stalled, and report the incomplete files to the ledger.

        With `prune`, files that are gone are forgotten first.
        """
        if prune:
            has_refused = self._has_refused  # refused files were not examined
            self._incomplete.prune(
                lambda path: is_gone(self._inbox.root, path),
                lambda path: has_refused or path in self._settling,
            )
        now = self._callbacks.monotonic()
        if paths := self._incomplete.quarantine(now):
            _log.warning("capture.quarantined", camera=self._inbox.camera_id, count=len(paths))
        files = self._incomplete.to_report(now)
        if files is not None:
            self._ledger.keep_incomplete(self._inbox.camera_id, files)

    def _mark_moved(self, settled: Sequence[SettledFile]) -> None:
        """Mark the old paths of renamed files as missing, so that `admit` recognises the moves."""
        former_paths = self._ledger.same_files(settled)
        gone = [path for path in former_paths if is_gone(self._inbox.root, path)]
        if gone:
            self._ledger.mark_missing(self._inbox.camera_id, gone)

    def _drop(self, path: bytes) -> None:
        self._settling.forget(path)
        self._incomplete.drop(path)
        self._hinted.discard(path)
