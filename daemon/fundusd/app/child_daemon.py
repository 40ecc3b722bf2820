"""Set a daemon up in a folder of its own, run it as a child process and follow its log: for demo and bench."""

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


_OTHER_FOLDER = "Name a folder that does not exist yet, where you may write."


class DaemonFailed(FundusdError):  # noqa: N818  says what is the case
    """The daemon failed."""

    def __init__(self, message: str, hint: str, exit_code: int) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@contextlib.contextmanager
def folder(keep: Path | None, parent: Path | None = None) -> Iterator[Path]:
    """Yield a folder that is removed afterwards, or the one to keep, made empty.

    Raises RequestError if the folder to keep is not empty or cannot be made.
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
            f"{keep} cannot be made a folder ({error.strerror}).", hint=_OTHER_FOLDER
        ) from None
    if not is_empty:
        raise RequestError(f"{keep} is not empty.", hint=_OTHER_FOLDER)
    yield keep


class Lines:
    """The daemon's log, read in a thread so that its pipe never fills."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._unread: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name="daemon-log", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101  we asked for a pipe
        for line in self.process.stdout:
            with self._news:
                self._unread.append(orjson.loads(line))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def take(self, timeout: float) -> list[dict[str, Any]]:
        """Return the lines since the last call, waiting for one; raises FundusdError when the daemon has ended."""
        with self._news:
            self._news.wait_for(lambda: self._unread or self._ended, timeout)
            lines, self._unread = self._unread, []
        if not lines and self._ended:
            raise FundusdError(
                "The daemon ended early.",
                hint="Keep its folder with --keep DIR, then: fundusd run --config with the fundusd.toml in there.",
            )
        for line in lines:
            if line["event"] == "service.failed":
                raise DaemonFailed(line["error"], line["hint"], self.process.wait())
        return lines

    def until(self, event: str, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield lines, `event` as the last of them; raises FundusdError when it does not come in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            lines = self.take(1.0)
            names = [line["event"] for line in lines]
            if event in names:
                found = names.index(event) + 1
                with self._news:
                    self._unread[:0] = lines[found:]
                yield from lines[:found]
                return
            yield from lines
        raise DaemonFailed(
            f"The daemon did not log {event} within {seconds:.0f} seconds.",
            "Keep its files with --keep DIR to see why.",
            ExitStatus.TEMPORARY,
        )

    def join(self) -> None:
        """Wait until everything the daemon said was read; it must have been told to stop."""
        self._reader.join()

    def rest(self) -> list[dict[str, Any]]:
        """Return the lines since the last call, without waiting."""
        lines, self._unread = self._unread, []
        return lines


@contextlib.contextmanager
def running(path: Path) -> Iterator[Lines]:
    """Run the daemon on a settings file for as long as the block runs; [log] format must be json."""
    command = [sys.executable, "-m", "fundusd", "run", "--config", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "JOURNAL_STREAM": ""}
    ) as process:
        lines = Lines(process)
        try:
            yield lines
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            lines.join()  # before Popen closes the pipe below its reader
