"""Watch one inbox: follow its events if possible, sweep it regularly and admit settled files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog

from fundusd.domain.files import SWEEP_SHARE, OfflineReason, SweepReport
from fundusd.files.safe_read import is_gone
from fundusd.watcher.candidates import Candidates
from fundusd.watcher.directory_times import DirectoryTimes
from fundusd.watcher.ignore_rules import rules_of
from fundusd.watcher.observer_recovery import ObserverRecovery
from fundusd.watcher.outage import OutageDetector, identify
from fundusd.watcher.partial_sweep_schedule import PartialSweepSchedule
from fundusd.watcher.partial_sweeps import PartialSweeps
from fundusd.watcher.sweep import OUTAGE_FILES, Sweep

if TYPE_CHECKING:
    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.observer import ObserverFailures
    from fundusd.watcher.outage import DirectoryIdentity
    from fundusd.watcher.rules import Callbacks, IntakeRules

TICK_SECONDS = 1.0
_SLICE_SECONDS = 0.25  # a sweep pauses after this time for candidates and events
_MAX_CANDIDATES = 32  # checked in one step


class InboxWatch:
    """Watches one inbox; each call of `step` does a limited part of the work that is due."""

    def __init__(
        self,
        inbox: Inbox,
        rules: IntakeRules,
        ledger: Ledger,
        callbacks: Callbacks,
        failures: ObserverFailures,
    ) -> None:
        self._inbox, self._rules, self._ledger = inbox, rules, ledger
        self._callbacks, self._now = callbacks, callbacks.monotonic
        self._log = structlog.get_logger(camera=inbox.camera_id)
        self._candidates = Candidates(inbox, rules, ledger, callbacks)
        self._observer = ObserverRecovery(inbox.root, failures, self._log)
        self._uses_observer = False
        self._identity: DirectoryIdentity | None = None  # None: the inbox is offline
        self._outage = OutageDetector(inbox, rules, ledger, self._log)
        self._directories = DirectoryTimes(inbox.root, rules.directories, self._now)
        self._partial_sweeps = PartialSweeps(self._new_sweep, rules_of(inbox.ignore), self._now)
        self._schedule = PartialSweepSchedule(self._observer, self._directories, rules, callbacks)
        self._inbox_check_at = 0.0
        self._incomplete_check_at = 0.0
        self._sweep_at = 0.0
        self._sweep: Sweep | None = None
        self._sweep_began = 0.0
        self._sweep_spent = 0.0
        self._short_sweeps = 0  # full sweeps in a row that saw more directories than are watched
        # whether the inbox has been offline since the last full sweep that found it online; assumed
        # to be true before the first sweep
        self._was_offline = True
        self._unreadable = 0

    def request_sweep(self) -> None:
        """Request a full sweep, which begins once any full sweep in progress has finished."""
        self._sweep_at = 0.0

    def step(self) -> float:
        """Do part of the work that is due, and return the seconds until there is more to do."""
        if self._now() >= self._inbox_check_at or self._observer.failure is not None:
            self._check_inbox()
        if self._identity is None:
            return TICK_SECONDS
        self._continue_partial_sweeps()
        if self._candidates.admit_settled(_MAX_CANDIDATES):
            self._record_place()
        self._report_incomplete()
        if self._candidates.take_room_again():
            self.request_sweep()
        self._continue_sweep()
        return self._seconds_until_due()

    def close(self) -> None:
        """Stop the observer."""
        self._observer.detach()

    def _seconds_until_due(self) -> float:
        if self._sweep is not None or self._partial_sweeps.is_running:
            return 0.0
        due = [self._inbox_check_at, self._sweep_at]
        ready_at = self._candidates.next_ready_at()
        if ready_at is not None:
            due.append(ready_at)
        due += self._schedule.next_due(has_assessed=self._outage.has_assessed)
        return max(0.0, min(due) - self._now())

    # -- whether the inbox is online and its observer is healthy

    def _check_inbox(self) -> None:
        now = self._now()
        self._inbox_check_at = now + TICK_SECONDS
        identity = identify(self._inbox)
        if isinstance(identity, OfflineReason):
            self._go_offline(identity)
        elif identity != self._identity:
            self._go_online(identity)
        elif self._uses_observer and self._observer.recover(now):
            self.request_sweep()

    def _go_offline(self, reason: OfflineReason) -> None:
        self._outage.report(reason)
        self._outage.reset()
        self._identity, self._sweep = None, None
        self._partial_sweeps.abandon()
        self._observer.detach()

    def _go_online(self, identity: DirectoryIdentity) -> None:
        """Start over with a new directory.

        The first full sweep decides whether the inbox counts as online.
        """
        self._identity, self._sweep, self._was_offline = identity, None, True
        self._outage.reset()
        self._partial_sweeps.abandon()
        self._directories.clear()
        self._candidates.attach(remote=identity.remote)
        mode = self._rules.mode
        self._uses_observer = mode == "native" or (mode == "auto" and not identity.remote)
        if self._uses_observer:
            self._observer.attach(self._now())
        else:
            self._observer.detach()
        self.request_sweep()

    # -- partial sweeps

    def _continue_partial_sweeps(self) -> None:
        """Begin or continue sweeps of the directories that events have named or that are due."""
        sweeps, schedule = self._partial_sweeps, self._schedule
        if not sweeps.is_running:
            sweeps.add(schedule.event_directories(), hinted=True)
            if self._outage.has_assessed:  # until then, not all directories are known
                sweeps.add(schedule.due_directories(_SLICE_SECONDS), hinted=False)
            sweeps.begin()
        if sweeps.run(_SLICE_SECONDS):
            schedule.postpone(sweeps.seconds_spent)
            self._finish_partial_sweeps()

    def _finish_partial_sweeps(self) -> None:
        """Mark vanished files as missing if there are few; otherwise, request a full sweep."""
        if not self._outage.is_online:
            return
        if self._partial_sweeps.vanished > OUTAGE_FILES:
            self.request_sweep()
        else:
            self._mark_missing(self._partial_sweeps.gone)

    def _record_place(self) -> None:
        """Record where files of an inbox were seen first, without waiting for a full sweep.

        Otherwise, if a share goes before that, the directory below it would be taken for the inbox.
        """
        if self._identity is None or self._outage.was_seen_at(self._identity):
            return
        if identify(self._inbox) == self._identity:
            self._outage.record_place(self._identity, has_files=True)

    def _report_incomplete(self) -> None:
        if self._now() >= self._incomplete_check_at:
            self._incomplete_check_at = self._now() + self._rules.incomplete_check_seconds
            self._candidates.report_incomplete()

    # -- full sweeps

    def _new_sweep(self, *, start: bytes = b"", deep: bool = True, hinted: bool = False) -> Sweep:
        return Sweep(
            self._inbox,
            self._ledger,
            self._candidates.consider,
            self._callbacks.beat,
            rules=self._rules.sweep,
            waiting=self._candidates.waiting,
            directories=self._directories,
            # before the first full sweep no directory is known, and all would count as new
            descend=self._outage.has_assessed,
            start=start,
            deep=deep,
            hinted=hinted,
        )

    def _continue_sweep(self) -> None:
        now = self._now()
        if self._sweep is None and now >= self._sweep_at:
            self._sweep_began, self._sweep_spent, self._sweep_at = now, 0.0, math.inf
            self._sweep = self._new_sweep()
        while self._sweep is not None and self._now() < now + _SLICE_SECONDS:
            if not self._sweep.step():
                self._sweep_spent += self._now() - now
                self._finish_sweep(self._sweep)
                self._sweep = None
        if self._sweep is not None:
            self._sweep_spent += self._now() - now
            self._sweep.pause()

    def _finish_sweep(self, sweep: Sweep) -> None:
        pause = max(self._rules.sweep_seconds, SWEEP_SHARE * self._sweep_spent)
        self._sweep_at = min(self._sweep_at, self._now() + pause)
        if not sweep.listed_root or self._identity is None:
            self._finish_without_root()
            return
        offline = self._outage.assess(sweep, self._identity)
        if offline is None:
            self._mark_missing(sweep.gone)
            self._outage.record_place(self._identity, has_files=sweep.tally.candidates > 0)
            self._requeue_unread()
        self._outage.report(offline, sweep.tally.vanished)
        self._candidates.detect_lease_rule(sweep.tally.sample)
        # these files may belong to the baseline, so record them before `_report` ends it
        self._candidates.record_ignored()
        self._candidates.report_incomplete(prune=offline is None)
        self._require_watches(sweep.tally.directories)
        self._report(sweep)

    def _finish_without_root(self) -> None:
        """Report the inbox as offline because it could not be listed."""
        self._inbox_check_at = 0.0
        reason = identify(self._inbox)
        if not isinstance(reason, OfflineReason):
            reason = OfflineReason.UNREADABLE
        self._outage.report(reason)

    def _requeue_unread(self) -> None:
        """Requeue the jobs that may have failed because the inbox was offline."""
        if self._was_offline:
            self._was_offline = False
            if self._ledger.queue_unread(self._inbox.camera_id):
                self._callbacks.admitted()

    def _require_watches(self, directories: int) -> None:
        """Give up an observer that has watched too few directories in two full sweeps in a row.

        Watchdog does not report that the kernel has granted too few watches.
        """
        if not self._observer.is_healthy or self._observer.watch_count >= directories:
            self._short_sweeps = 0
            return
        self._short_sweeps += 1  # the first time, a directory may just have been created
        if self._short_sweeps > 1:
            self._short_sweeps = 0
            self._observer.give_up(self._now())

    def _mark_missing(self, vanished: list[bytes]) -> None:
        """Mark vanished files as missing after verifying that they are still gone.

        Nothing is marked if the inbox's directory has been replaced.
        """
        gone = [path for path in vanished if is_gone(self._inbox.root, path)]
        if gone and identify(self._inbox) == self._identity:
            self._ledger.mark_missing(self._inbox.camera_id, gone)

    def _report(self, sweep: Sweep) -> None:
        tally = sweep.tally
        report = SweepReport(
            files=tally.files,
            directories=tally.directories,
            ignored=dict(tally.ignored),
            waiting=tally.waiting,
            seconds=round(self._now() - self._sweep_began, 3),
            hints_healthy=self._observer.is_healthy,
            mode="native" if self._uses_observer else "sweep-only",
            lease_probe=self._candidates.lease_rule,
            watches=self._observer.watch_count,
            hinted=self._candidates.by_hint,
            swept=self._candidates.by_sweep,
        )
        self._ledger.sweep_finished(self._inbox.camera_id, report)
        self._candidates.finish_first_sweep()
        self._log_sweep(report, tally.unreadable)

    def _log_sweep(self, report: SweepReport, unreadable: int) -> None:
        if unreadable != self._unreadable:
            self._unreadable = unreadable
            self._log.warning("sweep.unreadable", entries=unreadable)
        new = self._candidates.take_admissions()
        log = self._log.info if new or report.waiting else self._log.debug
        log(
            "sweep.finished",
            files=report.files,
            directories=report.directories,
            new=new,
            waiting=report.waiting,
            ignored={reason.value: count for reason, count in report.ignored.items()},
            seconds=report.seconds,
        )
