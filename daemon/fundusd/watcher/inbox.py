"""One inbox under watch: hints while they last, sweeps always, candidates in between."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

import structlog

from fundusd.domain import SweepReport
from fundusd.reading import is_gone, is_network_filesystem
from fundusd.watcher.attachment import Attachment
from fundusd.watcher.candidates import Candidates
from fundusd.watcher.names import ignored_by_name
from fundusd.watcher.sweeping import OUTAGE_FILES, Sweep

if TYPE_CHECKING:
    from fundusd.domain import Inbox
    from fundusd.watcher.candidates import Calls
    from fundusd.watcher.hints import Troubles
    from fundusd.watcher.intake import Intake, IntakeRules

TICK_SECONDS = 1.0
_SLICE_SECONDS = 0.25  # of a full sweep, before candidates and hints have their turn again
_BATCH = 32  # candidates, likewise
_HINT_SHARE = 4  # a folder of 100,000 files is not listed again for each new one: rest 4 times as long as it took


class _Identity(NamedTuple):
    device: int
    inode: int
    remote: bool  # on a network file system


class InboxWatch:
    """Watch one inbox. `turn` does a bounded piece of what is to be done."""

    def __init__(self, inbox: Inbox, rules: IntakeRules, intake: Intake, calls: Calls, troubles: Troubles) -> None:
        self._inbox, self._rules, self._intake, self._calls = inbox, rules, intake, calls
        self._log = structlog.get_logger(camera=inbox.camera_id)
        self._candidates = Candidates(inbox, rules, intake, calls)
        self._attachment = Attachment(inbox.root, troubles, self._log)
        self._native = False
        self._identity: _Identity | None = None  # None: the inbox is away
        self._said_offline = False
        self._check_at = 0.0
        self._hints_at = 0.0
        self._sweep: Sweep | None = None
        self._sweep_at = 0.0
        self._sweep_began = 0.0
        self._unreadable = 0
        self._outage = False

    def request_sweep(self) -> None:
        """Sweep as soon as possible, after the one that may be under way."""
        self._sweep_at = 0.0

    def turn(self) -> float:
        """Do what is due, a little of each; return the seconds until there is more."""
        if self._calls.monotonic() >= self._check_at or self._attachment.doubt is not None:
            self._check()
        if self._identity is None:
            return TICK_SECONDS
        self._follow_hints()
        self._candidates.admit_ripe(_BATCH)
        if self._candidates.has_room_again():
            self.request_sweep()
        self._go_on_sweeping()
        return self._pause()

    def close(self) -> None:
        """Let the observer go."""
        self._attachment.detach()

    def _pause(self) -> float:
        if self._sweep is not None:
            return 0.0
        now = self._calls.monotonic()
        due = self._candidates.due()
        times = [self._check_at, self._sweep_at, math.inf if due is None else due]
        if self._hints_at > now:
            times.append(self._hints_at)
        return max(0.0, min(times) - now)

    # -- is the inbox there, do the hints live

    def _check(self) -> None:
        now = self._calls.monotonic()
        self._check_at = now + TICK_SECONDS
        identity = _identity(self._inbox)
        if identity is None:
            self._go_offline()
        elif identity != self._identity:
            self._go_online(identity)
        elif self._native and self._attachment.mend(now):
            self.request_sweep()

    def _go_offline(self) -> None:
        if not self._said_offline:
            self._log.warning("camera.offline")
        self._said_offline, self._identity, self._sweep = True, None, None
        self._attachment.detach()

    def _go_online(self, identity: _Identity) -> None:
        """Begin anew with a directory that was not there at the last look."""
        if self._said_offline:
            self._log.info("camera.online")
        self._said_offline, self._identity, self._sweep = False, identity, None
        self._candidates.attach(remote=identity.remote)
        self._native = self._rules.mode == "native" or (self._rules.mode == "auto" and not identity.remote)
        if self._native:
            self._attachment.attach(self._calls.monotonic())
        self.request_sweep()

    # -- sweeps

    def _follow_hints(self) -> None:
        began = self._calls.monotonic()
        if began < self._hints_at:
            return
        sweeps = []
        for directory, deep in self._attachment.take().items():
            if not any(map(ignored_by_name, directory.split(b"/"))):
                sweeps.append(self._new_sweep(start=directory, deep=deep, hinted=True))
                sweeps[-1].run()
        if sum(sweep.tally.vanished for sweep in sweeps) > OUTAGE_FILES:
            self.request_sweep()  # which can tell an outage
        else:
            self._mark_missing([path for sweep in sweeps for path in sweep.gone])
        now = self._calls.monotonic()
        self._hints_at = now + _HINT_SHARE * (now - began)

    def _new_sweep(self, *, start: bytes = b"", deep: bool = True, hinted: bool = False) -> Sweep:
        consider, beat = self._candidates.consider, self._calls.beat
        waiting = self._candidates.waiting
        return Sweep(
            self._inbox, self._intake, consider, beat, waiting=waiting, start=start, deep=deep, hinted=hinted
        )  # fmt: skip

    def _go_on_sweeping(self) -> None:
        now = self._calls.monotonic()
        if self._sweep is None and now >= self._sweep_at:
            self._sweep_began, self._sweep_at = now, math.inf
            self._sweep = self._new_sweep()
        while self._sweep is not None and self._calls.monotonic() < now + _SLICE_SECONDS:
            if not self._sweep.step():
                self._finish(self._sweep)
                self._sweep = None
        if self._sweep is not None:
            self._sweep.pause()

    def _finish(self, sweep: Sweep) -> None:
        self._sweep_at = min(self._sweep_at, self._calls.monotonic() + self._rules.sweep_seconds)
        if not sweep.listed_root:
            self._check_at = 0.0
            return
        if sweep.looks_like_an_outage and not self._outage:
            self._log.warning("camera.mass_disappearance", files=sweep.tally.vanished)
        self._outage = sweep.looks_like_an_outage
        if not self._outage:
            self._mark_missing(sweep.gone)
        self._candidates.find_rule(sweep.tally.sample)
        self._candidates.write_ignored()  # before the first sweep counts as done: a baseline is what it remembers
        self._report(sweep)

    def _mark_missing(self, vanished: list[bytes]) -> None:
        """Note what has vanished, if it still has and the inbox is still the one that was swept."""
        gone = [path for path in vanished if is_gone(self._inbox.root, path)]
        if gone and _identity(self._inbox) == self._identity:
            self._intake.mark_missing(self._inbox.camera_id, gone)

    def _report(self, sweep: Sweep) -> None:
        tally = sweep.tally
        report = SweepReport(
            files=tally.files,
            directories=tally.directories,
            ignored=dict(tally.ignored),
            waiting=tally.waiting,
            seconds=round(self._calls.monotonic() - self._sweep_began, 3),
            hints_healthy=self._attachment.healthy,
            mode="native" if self._native else "sweep-only",
            lease_probe=self._candidates.rule,
        )
        self._intake.sweep_finished(self._inbox.camera_id, report)
        self._candidates.swept()
        self._say(report, tally.unreadable)

    def _say(self, report: SweepReport, unreadable: int) -> None:
        if unreadable != self._unreadable:
            self._unreadable = unreadable
            self._log.warning("sweep.unreadable", entries=unreadable)
        new = self._candidates.take_admissions()
        say = self._log.info if new or report.waiting else self._log.debug
        say(
            "sweep.finished",
            files=report.files,
            directories=report.directories,
            new=new,
            waiting=report.waiting,
            ignored={reason.value: count for reason, count in report.ignored.items()},
            seconds=report.seconds,
        )


def _identity(inbox: Inbox) -> _Identity | None:
    """Return which directory the inbox is, None when it is away or may not be listed."""
    try:
        descriptor = os.open(inbox.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return _Identity(status.st_dev, status.st_ino, is_network_filesystem(inbox.root))
    except OSError:
        return None
