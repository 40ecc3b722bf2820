"""Run the real daemon as a child process, and drop captures into its inbox."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from fundusd.app import settings_file
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.reconcile import Reconciliation, reconcile
from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.files import Inbox
from fundusd.imaging import phantoms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.faults.launcher import Forked, Launcher

    from fundusd.ledger.audit import Verdict

launcher: Launcher | None = None  # the tests in tests/faults set it
DEADLINE = float(os.environ.get("FUNDUSD_DEADLINE", "120"))
SETTINGS = """\
[store]
url = "{url}"
[model]
source = "phantom"
batch_size = 4
[intake]
quiet_seconds = 0.2
sweep_seconds = 0.5
retry_seconds = [0.1]
[decode]
processes = 2
[privacy]
site_key_file = "{folder}/site.key"
[[camera]]
id = "room1"
inbox = "{folder}/inbox"
[[reader]]
id = "lee"
role = "grader"
may = ["routine", "second"]
[[reader]]
id = "okafor"
role = "ophthalmologist"
may = ["routine", "arbitration", "quality_assurance", "correct"]
[log]
format = "json"
level = "{level}"
"""


@dataclass(frozen=True)
class Site:
    """A clinic in a folder: settings file, inbox, database."""

    folder: Path
    path: Path

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    def rows(self) -> list[Mapping[str, Any]]:
        with opened_ledger(settings_file.load(self.path)) as ledger:
            return sorted(
                ledger.results(superseded=True),
                key=lambda row: (row["path"], row["revision"]),
            )

    def reconciled(self) -> Reconciliation:
        with opened_ledger(settings_file.load(self.path)) as ledger:
            reconciliation = reconcile(ledger, Inbox("room1", self.inbox), 3600)
        assert not reconciliation.unreadable
        return reconciliation

    def swept_at(self) -> object:
        """Return when the last full sweep finished."""
        with opened_ledger(settings_file.load(self.path)) as ledger:
            (camera,) = ledger.status()["cameras"]
            return camera["last_sweep_at"]

    def verdict(self) -> Verdict:
        with opened_ledger(settings_file.load(self.path)) as ledger:
            return ledger.verify()

    def is_held(self) -> bool:
        with opened_ledger(settings_file.load(self.path)) as ledger:
            return ledger.is_held()

    def is_done(self) -> bool:
        return not any(
            state.startswith(("waiting", "unaccounted")) for state in self.reconciled().counts
        )


def site(folder: Path, url: str, level: str = "info") -> Site:
    """Set up a clinic in a folder."""
    (folder / "inbox").mkdir(parents=True, exist_ok=True)
    path = folder / "fundusd.toml"
    path.write_text(SETTINGS.format(url=url, folder=folder, level=level))
    return Site(folder, path)


class Daemon:
    """A running `fundusd run` and the lines it has logged."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.raw.append(line)
                if line.startswith(b"{"):
                    self.lines.append(orjson.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def await_event(self, name: str, count: int = 1, within: float = DEADLINE) -> dict[str, Any]:
        """Wait until an event was logged `count` times; return the last of these lines."""

        def seen() -> bool:
            return (
                sum(line["event"] == name for line in self.lines) >= count
                or not self._reader.is_alive()
            )

        with self._news:
            assert self._news.wait_for(seen, within), (
                f"no {name} in {[line['event'] for line in self.lines]}"
            )
        lines = [line for line in self.lines if line["event"] == name]
        assert len(lines) >= count, self.raw
        return lines[-1]

    def await_that(
        self, condition: Callable[[], bool], deadline: float = DEADLINE, *, alive: bool = True
    ) -> None:
        """Wait until a condition holds, looking at each line of the log and each quarter second."""
        deadline += time.monotonic()
        while not condition():
            assert time.monotonic() < deadline, self.raw
            assert not alive or self.process.poll() is None, self.raw
            with self._news:
                self._news.wait(0.25)

    def stays_quiet(self, seconds: float) -> None:
        """Let it run for some time; fail if it ends meanwhile."""
        with pytest.raises(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def close(self) -> None:
        """Wait until the whole log is read, after the process has ended."""
        self._reader.join(DEADLINE)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return status


@contextlib.contextmanager
def running(
    place: Site,
    under: Sequence[str] = (sys.executable,),
    program: Sequence[str] = ("-m", "fundusd"),
    *,
    trouble: str = "",
    **environment: str,
) -> Iterator[Daemon]:
    """Run the daemon for as long as the block runs; the block waits for what it needs.

    `under` starts its interpreter and `program` is what that runs; `trouble` is Python code that
    runs in its process first. Where `launcher` is set, it forks daemons that need none of these.
    """
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "JOURNAL_STREAM": "", **environment}
    arguments = ["run", "--config", str(place.path)]
    with contextlib.ExitStack() as stack:
        process: subprocess.Popen[bytes] | Forked
        if launcher and under == (sys.executable,) and not trouble and not environment:
            process = stack.enter_context(
                contextlib.closing(launcher.start([*program, *arguments], surroundings))
            )
        else:
            if trouble:
                program = ["-c", f"{trouble}\nfrom fundusd.cli import main\nmain()"]
            process = stack.enter_context(
                subprocess.Popen(
                    [*under, *program, *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=surroundings,
                )
            )
        daemon = Daemon(process)
        try:
            yield daemon
            # the log drops fields that it does not list: a line that lost one is a mistake of ours
            assert not [line for line in daemon.lines if "dropped" in line]
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            daemon.close()


def jpeg(grade: Grade, eye: Eye = Eye.RIGHT, seed: int = 1) -> bytes:
    """Render a small phantom as JPEG."""
    return phantoms.as_jpeg(phantoms.render(grade, eye, seed, 640, 480))


def dicom(grade: Grade, eye: Eye = Eye.LEFT, seed: int = 1, patient: str = "phantom-1") -> bytes:
    """Render a small phantom as DICOM."""
    return phantoms.as_dicom(phantoms.render(grade, eye, seed, 640, 480), eye, patient, seed=seed)


def drop(place: Site, name: str, data: bytes) -> Path:
    """Write a file as a camera does."""
    target = place.inbox / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target
