"""Run a daemon as a child process and follow its log, for the demo and the benchmark."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.errors import ExitStatus, FundusdError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHER_FOLDER = "Name a folder that does not exist yet, in a place where you may write."


class DaemonFailed(FundusdError):  # noqa: N818  named for what happened
    """The daemon failed."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@contextlib.contextmanager
def folder(keep: Path | None, parent: Path | None = None) -> Iterator[Path]:
    """Yield the folder `keep`, created if needed, or a temporary folder if `keep` is None.

    The temporary folder is removed afterwards. Raises RequestError if `keep` is not empty or cannot
    be created.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="fundusd-", dir=parent) as name:
            yield Path(name)
        return
    keep = keep.absolute()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        is_empty = not any(keep.iterdir())
    except OSError as error:
        raise RequestError(
            f"{keep} cannot be used as a folder ({error.strerror}).", hint=_OTHER_FOLDER
        ) from None
    if not is_empty:
        raise RequestError(f"{keep} is not empty.", hint=_OTHER_FOLDER)
    yield keep


class DaemonLog:
    """The log of a child daemon, read in a thread so that the pipe never fills up."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._unread: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="daemon-log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  opened as a pipe
        for line in self.process.stdout:
            with self._changed:
                self._unread.append(orjson.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, timeout: float) -> list[dict[str, Any]]:
        """Return the unread lines, after waiting up to `timeout` seconds if there are none.

        The list is empty if no line arrived in that time. Raises DaemonFailed if one of the lines
        reports a failure, or FundusdError if the daemon has ended and there are no unread lines.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._unread or self._ended, timeout)
            lines, self._unread = self._unread, []
        if not lines and self._ended:
            raise FundusdError(
                "The daemon ended early.",
                hint="To see why, keep its folder with --keep DIR, then run: "
                "fundusd run --config DIR/fundusd.toml",
            )
        for line in lines:
            if line["event"] == "service.failed":
                raise DaemonFailed(line["error"], line["hint"], self.process.wait())
        return lines

    def until(self, event: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield the unread lines as they arrive, up to and including the first that logs `event`.

        Raises DaemonFailed if the event is not logged within `seconds`, and otherwise the same
        errors as `take`.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self.take(1.0)
            for index, line in enumerate(lines):
                if line["event"] == event:
                    with self._changed:
                        self._unread[:0] = lines[index + 1 :]
                    yield from lines[: index + 1]
                    return
            yield from lines
        raise DaemonFailed(
            f"The daemon did not log {event} within {seconds:.0f} seconds.",
            "To see why, keep its files with --keep DIR.",
            ExitStatus.TEMPORARY,
        )

    def join(self) -> None:
        """Wait until the whole log has been read.

        Ask the daemon to stop before you call this.
        """
        self._reader.join()

    def rest(self) -> list[dict[str, Any]]:
        """Return the unread lines, without waiting."""
        lines, self._unread = self._unread, []
        return lines


@contextlib.contextmanager
def running(path: Path) -> Iterator[DaemonLog]:
    """Run the daemon while the block runs, and yield its log.

    `path` is a settings file that sets the format in [log] to json.
    """
    command = [sys.executable, "-m", "fundusd", "run", "--config", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "JOURNAL_STREAM": ""}
    ) as process:
        log = DaemonLog(process)
        try:
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            log.join()  # before Popen closes the pipe that the thread reads
