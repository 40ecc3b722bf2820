"""One inbox under watch: hints while they last, sweeps always, candidates in between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import structlog

from fundusd.domain.files import SWEEP_SHARE, OfflineReason, SweepReport
from fundusd.files.safe_read import is_gone
from fundusd.watcher.candidates import Candidates
from fundusd.watcher.directory_times import Folders
from fundusd.watcher.observer_recovery import Attachment
from fundusd.watcher.outage import Absence, identify
from fundusd.watcher.partial_sweeps import Looks
from fundusd.watcher.sweep import OUTAGE_FILES, Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fundusd.domain.files import Inbox
    from fundusd.ledger import Ledger
    from fundusd.watcher.candidates import Calls
    from fundusd.watcher.observer import Troubles
    from fundusd.watcher.outage import Identity
    from fundusd.watcher.rules import IntakeRules

TICK_SECONDS = 1.0
_SLICE_SECONDS = 0.25  # of a full sweep, before candidates and hints have their turn again
_BATCH = 32  # candidates, likewise
_HOT_SECONDS = 5.0  # between looks into folders that changed within a day, where no hints tell
_LOOK_SECONDS = 30.0  # between looks at all folders' own times
_WAITS_SECONDS = 5.0  # between looks at what is not complete
_HINT_SHARE = 4  # a folder of 100,000 files is not listed again for each new one: rest 4 times as long as it took


class InboxWatch:
    """Watch one inbox. `turn` does a bounded piece of what is to be done."""

    def __init__(
        self, inbox: Inbox, rules: IntakeRules, ledger: Ledger, calls: Calls, troubles: Troubles
    ) -> None:
        self._inbox, self._rules, self._ledger, self._calls = inbox, rules, ledger, calls
        self._log = structlog.get_logger(camera=inbox.camera_id)
        self._candidates = Candidates(inbox, rules, ledger, calls)
        self._attachment = Attachment(inbox.root, troubles, self._log)
        self._native = False
        self._identity: Identity | None = None  # None: the inbox is away
        self._absence = Absence(inbox, ledger, self._log)
        self._folders = Folders(inbox.root, calls.monotonic)
        self._looks = Looks(self._new_sweep, calls.monotonic)
        self._check_at = 0.0
        self._hints_at = 0.0
        self._hot_at = 0.0
        self._look_at = 0.0
        self._waits_at = 0.0
        self._short = 0  # full sweeps in a row that met more folders than are watched
        self._sweep: Sweep | None = None
        self._sweep_at = 0.0
        self._sweep_began = 0.0
        self._sweep_spent = 0.0
        self._was_away = (
            True  # since the last full sweep that found it there; before the first, nobody knows
        )
        self._unreadable = 0

    def request_sweep(self) -> None:
        """Sweep as soon as possible, after the one that may be under way."""
        self._sweep_at = 0.0

    def turn(self) -> float:
        """Do what is due, a little of each; return the seconds until there is more."""
        if self._calls.monotonic() >= self._check_at or self._attachment.doubt is not None:
            self._check()
        if self._identity is None:
            return TICK_SECONDS
        self._look_closer()
        self._candidates.admit_ripe(_BATCH)
        self._keep_waits()
        if self._candidates.has_room_again():
            self.request_sweep()
        self._go_on_sweeping()
        return self._pause()

    def close(self) -> None:
        """Let the observer go."""
        self._attachment.detach()

    def _pause(self) -> float:
        if self._sweep is not None or self._looks.busy:
            return 0.0
        now = self._calls.monotonic()
        due = self._candidates.due()
        times = [self._check_at, self._sweep_at, math.inf if due is None else due]
        if self._absence.is_judged:
            times.append(self._look_at)
        times += [at for at in (self._hints_at, self._hot_at) if at > now]
        return max(0.0, min(times) - now)

    # -- is the inbox there, do the hints live

    def _check(self) -> None:
        now = self._calls.monotonic()
        self._check_at = now + TICK_SECONDS
        identity = identify(self._inbox)
        if isinstance(identity, OfflineReason):
            self._go_offline(identity)
        elif identity != self._identity:
            self._go_online(identity)
        elif self._native and self._attachment.mend(now):
            self.request_sweep()

    def _go_offline(self, reason: OfflineReason) -> None:
        self._absence.tell(reason)
        self._absence.forget()
        self._identity, self._sweep = None, None
        self._looks.forget()
        self._attachment.detach()

    def _go_online(self, identity: Identity) -> None:
        """Begin anew with a directory that was not there at the last look; the sweep says whether it is online."""
        self._identity, self._sweep, self._was_away = identity, None, True
        self._absence.forget()
        self._looks.forget()
        self._folders.clear()
        self._candidates.attach(remote=identity.remote)
        self._native = self._rules.mode == "native" or (
            self._rules.mode == "auto" and not identity.remote
        )
        if self._native:
            self._attachment.attach(self._calls.monotonic())
        else:
            self._attachment.detach()
        self.request_sweep()

    # -- sweeps

    def _look_closer(self) -> None:
        """Between full sweeps, look where hints point, where much happened lately, and where folders' times moved."""
        if not self._looks.busy:
            self._looks.begin((self._hinted_folders(), True), (self._due_folders(), False))
        if self._looks.go_on(_SLICE_SECONDS):
            now, spent = self._calls.monotonic(), self._looks.spent
            self._hints_at = now + _HINT_SHARE * spent
            self._hot_at = max(self._hot_at, now + SWEEP_SHARE * spent)
            self._conclude(self._looks.gone, self._looks.vanished)

    def _hinted_folders(self) -> Mapping[bytes, bool]:
        return self._attachment.take() if self._calls.monotonic() >= self._hints_at else {}

    def _due_folders(self) -> Mapping[bytes, bool]:
        """Return the folders to list again by themselves: none before a full sweep has met them all."""
        due: list[bytes] = []
        if self._absence.is_judged:
            now = self._calls.monotonic()
            if not self._attachment.healthy and now >= self._hot_at:
                self._hot_at = now + _HOT_SECONDS
                due += self._folders.hot()
            if now >= self._look_at:
                changed = self._folders.look(_SLICE_SECONDS, self._calls.beat)
                due += changed
                if not self._folders.is_looking:
                    rest = max(_LOOK_SECONDS, SWEEP_SHARE * self._folders.spent)
                    self._look_at = self._calls.monotonic() + rest
        return dict.fromkeys(due, False)

    def _conclude(self, gone: list[bytes], vanished: int) -> None:
        """Note a few files as missing; whether many are away or gone only a full sweep can tell, nor how it stands."""
        if self._absence.is_there and vanished > OUTAGE_FILES:
            self.request_sweep()
        elif self._absence.is_there:
            self._mark_missing(gone)

    def _keep_waits(self) -> None:
        if self._calls.monotonic() >= self._waits_at:
            self._waits_at = self._calls.monotonic() + _WAITS_SECONDS
            self._candidates.keep_waits()

    def _new_sweep(self, *, start: bytes = b"", deep: bool = True, hinted: bool = False) -> Sweep:
        consider, beat = self._candidates.consider, self._calls.beat
        waiting = self._candidates.waiting
        return Sweep(
            self._inbox,
            self._ledger,
            consider,
            beat,
            waiting=waiting,
            folders=self._folders,
            descend=self._absence.is_judged,  # before, no folder is known, and all would count as new
            start=start,
            deep=deep,
            hinted=hinted,
        )

    def _go_on_sweeping(self) -> None:
        now = self._calls.monotonic()
        if self._sweep is None and now >= self._sweep_at:
            self._sweep_began, self._sweep_spent, self._sweep_at = now, 0.0, math.inf
            self._sweep = self._new_sweep()
        while self._sweep is not None and self._calls.monotonic() < now + _SLICE_SECONDS:
            if not self._sweep.step():
                self._sweep_spent += self._calls.monotonic() - now
                self._finish(self._sweep)
                self._sweep = None
        if self._sweep is not None:
            self._sweep_spent += self._calls.monotonic() - now
            self._sweep.pause()

    def _finish(self, sweep: Sweep) -> None:
        rest = max(self._rules.sweep_seconds, SWEEP_SHARE * self._sweep_spent)
        self._sweep_at = min(self._sweep_at, self._calls.monotonic() + rest)
        if not sweep.listed_root or self._identity is None:
            self._check_at = 0.0
            found = identify(self._inbox)
            self._absence.tell(
                found if isinstance(found, OfflineReason) else OfflineReason.UNREADABLE
            )
            return
        away = self._absence.judge(sweep, self._identity)
        if away is None:
            self._mark_missing(sweep.gone)
            self._absence.found_at(self._identity, files=sweep.tally.candidates > 0)
            self._read_again()
        self._absence.tell(away, sweep.tally.vanished)
        self._candidates.find_rule(sweep.tally.sample)
        self._candidates.write_ignored()  # before the first sweep counts as done: a baseline is what it remembers
        self._candidates.keep_waits(prune=away is None)
        self._require_watches(sweep.tally.directories)
        self._report(sweep)

    def _read_again(self) -> None:
        """Have that read again which failed while the inbox may have been away."""
        if self._was_away:
            self._was_away = False
            if self._ledger.queue_unread(self._inbox.camera_id):
                self._calls.admitted()

    def _require_watches(self, directories: int) -> None:
        """Do without hints that see only some folders: watchdog swallows that the kernel has no watches left."""
        short = self._attachment.healthy and self._attachment.watches < directories
        self._short = self._short + 1 if short else 0  # once may be a folder that was just made
        if self._short > 1:
            self._short = 0
            self._attachment.give_up(self._calls.monotonic())

    def _mark_missing(self, vanished: list[bytes]) -> None:
        """Note what has vanished, if it still has and the inbox is still the one that was swept."""
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
            seconds=round(self._calls.monotonic() - self._sweep_began, 3),
            hints_healthy=self._attachment.healthy,
            mode="native" if self._native else "sweep-only",
            lease_probe=self._candidates.rule,
            watches=self._attachment.watches,
            hinted=self._candidates.by_hint,
            swept=self._candidates.by_sweep,
        )
        self._ledger.sweep_finished(self._inbox.camera_id, report)
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
