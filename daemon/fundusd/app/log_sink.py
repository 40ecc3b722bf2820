"""Write log lines in a thread of its own, so that no log can hold up or end the work."""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

# a camera's line has about 700 bytes, so this holds the lines of several hundred captures
CAPACITY_BYTES = 256 * 1024
_PATIENCE_SECONDS = 1.0  # how long a line waits for room before it is dropped


class LostLines(NamedTuple):
    """How many log lines were dropped since the start, and when the first was."""

    number: int
    since: datetime


def take_over_output() -> LogSink:
    """Replace standard output and standard error by sinks, and return that of standard output.

    A program started without one of them has None in its place.
    """
    output = _sink_of(sys.__stdout__)
    sys.stdout, sys.stderr = output, _sink_of(sys.__stderr__)
    return output


def _sink_of(stream: TextIO | None) -> LogSink:
    if stream is None:
        return LogSink(None)
    stream.flush()
    return LogSink(stream.fileno(), is_terminal=stream.isatty())


class LogSink:
    """Takes lines like a text file, and writes them to a descriptor in the order they came.

    A line is dropped and counted if it cannot be written, or if there has been no room for it for a
    second. While the descriptor takes nothing, further lines are dropped without a wait. Without a
    descriptor, every line is dropped.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int | None, *, is_terminal: bool = False) -> None:
        self._descriptor = descriptor
        self._is_terminal = is_terminal
        self._lines: deque[bytes] = deque()
        self._size = 0  # bytes in _lines
        self._is_stuck = False  # a line has waited for room in vain, and none was written since
        self._is_torn = False  # the last line was written in part
        self._lost: LostLines | None = None
        self._is_losing = False  # the last line to be settled was dropped
        self._changed = threading.Condition()
        if descriptor is not None:
            threading.Thread(target=self._write_lines, name="log", daemon=True).start()
            atexit.register(self.flush_before_exit)

    @property
    def lost(self) -> LostLines | None:
        """The lines that were dropped since the start, or None if there are none."""
        return self._lost

    @property
    def is_losing(self) -> bool:
        """Whether the last line was dropped."""
        return self._is_losing

    # -- the part of a text file that a logger uses

    def write(self, text: str) -> int:
        """Hand over text to be written; never raises, and waits for a second at most."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self._descriptor is None or not self._has_room_in_time(len(data)):
                self._count_lost()
            else:
                self._lines.append(data)
                self._size += len(data)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: each line is written as soon as the descriptor takes it."""

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError if there is none."""
        if self._descriptor is None:
            raise OSError("the log has no descriptor")
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether lines are written to a terminal."""
        return self._is_terminal

    def flush_before_exit(self) -> None:
        """Wait, for a second at most, until all lines are written."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, _PATIENCE_SECONDS)

    # -- the writing thread

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            is_written = self._write_line(line)
            with self._changed:
                self._lines.popleft()
                self._size -= len(line)
                self._is_stuck = False
                self._is_losing = not is_written
                if not is_written:
                    self._count_lost()
                self._changed.notify_all()

    def _write_line(self, line: bytes) -> bool:
        """Write a line however long that takes, and return whether all of it was written."""
        descriptor = self.fileno()
        # what is left of an earlier line must not garble this one
        rest = b"\n" + line if self._is_torn else line
        while rest:
            try:
                written = os.write(descriptor, rest)
            except BlockingIOError:  # whoever made the pipe has made it non-blocking
                select.select([], [descriptor], [])
            except OSError:  # the disk is full, or the reader is gone: both may be over later
                return False
            else:
                rest = rest[written:]
                self._is_torn = bool(rest)
        return True

    # -- with the lock held

    def _has_room_in_time(self, size: int) -> bool:
        def has_room() -> bool:
            return not self._lines or self._size + size <= CAPACITY_BYTES

        if not self._is_stuck:
            self._is_stuck = not self._changed.wait_for(has_room, _PATIENCE_SECONDS)
        return not self._is_stuck

    def _count_lost(self) -> None:
        self._is_losing = True
        if self._lost is None:
            self._lost = LostLines(1, datetime.now(UTC))
        else:
            self._lost = LostLines(self._lost.number + 1, self._lost.since)
