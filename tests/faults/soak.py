"""Mix writers, kills, outages and database restarts at random, then ask the oracle.

PYTHONPATH=tests python tests/faults/soak.py --minutes 10 --seed 1 [--database sqlite | postgresql]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.daemon_cases import Daemon, Site, running, site
from tests.faults import oracle
from tests.faults.camera import Camera, photograph
from tests.faults.postgres import Server

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = len(str(10**6))


class Soak:
    """A clinic with random faults; `turn` causes one event."""

    def __init__(self, place: Site, chance: random.Random, server: Server | None) -> None:
        self.place, self.chance, self.server = place, chance, server
        self.camera = Camera(place.inbox)
        self.counts: Counter[str] = Counter()
        self.pictures = [photograph(number) for number in range(20)]
        self.life = ExitStack()
        self.daemon: Daemon | None = None
        self._number = 0

    def start(self) -> None:
        """Start a daemon; usually wait until it works, so that there is something to disturb."""
        self.daemon = self.life.enter_context(running(self.place))
        if self.chance.random() < 0.8:
            self.daemon.await_that(self._works_or_has_ended, alive=False)

    def _works_or_has_ended(self) -> bool:
        daemon = self.daemon
        return daemon is None or daemon.process.poll() is not None or any(
            line["event"] == "service.ready" for line in daemon.lines
        )  # fmt: skip

    def turn(self) -> None:
        """Cause one random event: a writer or, rarely, a fault."""
        writers: list[Callable[[], None]] = [
            self.write, self.write_many, self.write_slowly, self.write_and_rename,
            self.export_again, self.rename, self.delete, self.write_sidecar, self.write_truncated,
        ]  # fmt: skip
        troubles: list[Callable[[], None]] = [self.kill, self.stop, self.sleep, self.go_away]
        if self.server is not None:
            troubles += [self.crash, self.end_sessions]
        what = (
            self.chance.choice(troubles)
            if self.chance.random() < 0.08
            else self.chance.choice(writers)
        )
        self.counts[what.__name__] += 1
        what()
        if self.daemon is None or self.daemon.process.poll() is not None:
            self.counts["found dead"] += self.daemon is not None
            self.life.close()
            self.start()

    # -- the camera

    def _new(self) -> tuple[str, bytes]:
        self._number += 1
        picture = self.chance.choice(self.pictures)
        data = (
            picture
            if picture[:2] != b"\xff\xd8"
            else picture + str(self._number).zfill(SIZE).encode()
        )
        return f"P{self._number % 40}/{self._number}_OD.jpg", data

    def write(self) -> None:
        """Write a capture at once."""
        self.camera.put(*self._new())

    def write_many(self) -> None:
        """Write a burst."""
        for _ in range(self.chance.randrange(5, 15)):
            self.write()

    def write_slowly(self) -> None:
        """Write a capture with a pause in the middle."""
        name, data = self._new()
        with self.camera.at(name).open("wb", buffering=0) as file:
            file.write(data[: len(data) // 2])
            time.sleep(self.chance.uniform(0, 1))
            file.write(data[len(data) // 2 :])
        self.camera.finished(name, data)

    def write_and_rename(self) -> None:
        """Write a capture under a temporary name and rename it."""
        name, data = self._new()
        part = self.camera.at(f"{name}.part")
        part.write_bytes(data)
        part.rename(self.camera.at(name))
        self.camera.finished(name, data)

    def write_sidecar(self) -> None:
        """Write a report."""
        self._number += 1
        self.camera.put_sidecar(f"P{self._number % 40}/{self._number}.html")

    def write_truncated(self) -> None:
        """Write a capture that stays truncated."""
        name, data = self._new()
        self.camera.put_truncated(name, data)

    def _any(self) -> str | None:
        whole = sorted(
            name
            for name, digest in self.camera.captures.items()
            if digest not in self.camera.broken
        )
        return self.chance.choice(whole) if whole else None

    def export_again(self) -> None:
        """Write other bytes over a capture."""
        if (name := self._any()) is not None:
            self.camera.put(name, self._new()[1])

    def rename(self) -> None:
        """Rename a capture."""
        if (name := self._any()) is not None:
            self._number += 1
            self.camera.rename(name, f"renamed/{self._number}_OS.jpg")

    def delete(self) -> None:
        """Delete a capture."""
        if (name := self._any()) is not None:
            self.camera.delete(name)

    # -- the machine

    def kill(self) -> None:
        """Kill the daemon."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the daemon in an orderly way."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.daemon is not None:
            self.daemon.stop(number)
            self.daemon = None

    def sleep(self) -> None:
        """Suspend the daemon for a while."""
        if self.daemon is not None:
            self.daemon.process.send_signal(signal.SIGSTOP)
            self.write_many()
            time.sleep(self.chance.uniform(0, 2))
            self.daemon.process.send_signal(signal.SIGCONT)

    def go_away(self) -> None:
        """Take the inbox away for a while."""
        away = self.place.inbox.rename(self.place.folder / "away")
        time.sleep(self.chance.uniform(0, 3))
        away.rename(self.place.inbox)

    def crash(self) -> None:
        """Crash the server and start it again a little later."""
        if self.server is not None:
            self.server.crash()
            time.sleep(self.chance.uniform(0, 2))
            self.server.start()

    def end_sessions(self) -> None:
        """End all of the daemon's database sessions."""
        if self.server is not None:
            self.server.end_sessions()


def soak(url: str, folder: Path, server: Server | None, minutes: float, seed: int) -> Counter[str]:
    """Soak one clinic and return its counts; raises AssertionError if the oracle objects."""
    work = Soak(site(folder, url), random.Random(seed), server)
    until = time.monotonic() + 60 * minutes
    with work.life:
        work.start()
        while time.monotonic() < until:
            work.turn()
            time.sleep(work.chance.uniform(0, 0.4))
        daemon = work.daemon
        assert daemon is not None
        daemon.await_that(lambda: oracle.at_rest(work.place))
        used = oracle.require_bounded(daemon)
        assert daemon.stop() == 0
    standing = oracle.require(work.place, work.camera)
    rows = oracle.ask(work.place, "SELECT count(*) AS n FROM capture")[0]["n"]
    counts = work.counts | Counter({f"now {name}": number for name, number in standing.items()})
    counts["captures, all revisions"] = rows
    counts["descriptors"] = used.descriptors
    counts["resident MB"] = round(used.resident_mb)
    return counts


def main() -> int:
    """Soak on one database or both; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    failed = 0
    for database in [asked.database] if asked.database else ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fundusd-soak-")))
            os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
            url, server = f"sqlite:///{folder}/fundusd.db", None
            if database == "postgresql":
                server = Server(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="fundusd-postgres-"))
                )
                stack.callback(server.remove)
                url = server.url.render_as_string(hide_password=False)
            print(f"{database}: {asked.minutes:g} minutes, seed {asked.seed}", flush=True)
            try:
                counts = soak(url, folder, server, asked.minutes, asked.seed)
            except AssertionError as error:  # from the oracle, or from a wait that took too long
                failed = 1
                print(f"FAILED: {error}", flush=True)
            else:
                print(
                    "\n".join(f"  {number:6} {name}" for name, number in sorted(counts.items())),
                    flush=True,
                )
    return failed


if __name__ == "__main__":
    sys.exit(main())
