"""Decode untrusted bytes in separate processes, so that a crash, hang or bomb costs one capture."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import IO, TYPE_CHECKING, Self

import orjson

from fundusd.clinical.quality_thresholds import DEFAULTS, Thresholds
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, Decoded, MediaType, Preprocessing
from fundusd.domain.errors import FundusdError, SystemRefused
from fundusd.files.media_type import sniff
from fundusd.imaging.decoder_protocol import (
    READY,
    Channel,
    ProtocolError,
    receive_decoded,
    send_request,
)
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

_CLOSED = "The decoder processes are closed."
_NOT_STARTED = "A decoder process did not start."
_NOT_STARTED_HINT = (
    "A library that is not found must be on LD_LIBRARY_PATH of the service. If no reason is given,"
    " check the memory limits; `python -I -c 'import fundusd.imaging.decoder_process'` imports"
    " what a decoder process imports."
)
_MAX_REASON = 300  # characters
_MAX_ERRORS = 64 * 1024  # bytes of a process's standard error that are read
_UNCONFINED = "The decoder processes are running without a system call filter (seccomp)."
_UNCONFINED_HINT = (
    "They still have resource limits and the unit's sandbox;"
    " the filter needs x86_64 or aarch64 and a kernel with CONFIG_SECCOMP_FILTER."
)
_START_SECONDS = 60.0  # enough for a cold disk under load; a warm start takes half a second
_ARGUMENTS = ("-I", "-W", "ignore", "-m", "fundusd.imaging.decoder_process")
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # Otherwise glibc returns an image's memory to the kernel after each capture, and the kernel
    # has to zero it all for the next one
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024 * 1024),  # the most that an idle process keeps
    # Otherwise numpy's BLAS starts one thread per core, which RLIMIT_NPROC forbids
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# without these, an interpreter built with shared libraries may not start (conda, Nix)
_KEPT = ("LD_LIBRARY_PATH", "NIX_LD", "NIX_LD_LIBRARY_PATH")


class DecoderPool:
    """A pool of persistent decoder processes.

    `decode` may be called from any number of threads. A process that crashes or times out is
    replaced while the others continue. `restarts` counts the replacements, each of which is logged
    to `log`, if given. A single warning is logged if the kernel cannot confine the processes. If
    `shows_ungradable` is true, the pixels of ungradable retinas are returned too, for display.
    """

    def __init__(
        self,
        processes: int,
        preprocessing: Preprocessing,
        side: int,
        limits: Limits | None = None,
        log: FilteringBoundLogger | None = None,
        *,
        shows_ungradable: bool = False,
    ) -> None:
        self.restarts = 0
        self._log = log
        self._unconfined_was_logged = False
        self._preprocessing, self._side, self._limits = preprocessing, side, limits or Limits()
        self._shows_ungradable = shows_ungradable
        self._closed = False
        # One thread starts all children and outlives them, because `confine` makes a child die with
        # the thread that started it
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder-starter")
        self._children: set[_Child] = set()
        self._idle: SimpleQueue[Future[_Child]] = SimpleQueue()
        for _ in range(processes):
            self._idle.put(self._starter.submit(self._start))

    def decode(self, data: bytes, thresholds: Thresholds = DEFAULTS) -> Decoded:
        """Decode a capture in the next free process, with its camera's quality thresholds.

        Raises SystemRefused if no process can be started, or FundusdError if the pool is closed.
        """
        started = perf_counter()
        if len(data) > self._limits.max_bytes:
            return _failed(data, Reason.TOO_MANY_BYTES, started)
        slot, child, is_usable = self._idle.get(), None, False
        try:
            child = slot.result()
            answer = child.decode(data, thresholds, self._side, self._limits.seconds)
            is_usable = not child.broken
        finally:
            if is_usable:
                self._idle.put(slot)
            else:
                self._replace(child)
        if not isinstance(answer, Reason):
            return answer
        if self._closed:
            raise FundusdError(_CLOSED)  # close() killed the process; the capture is not to blame
        return _failed(data, answer, started)

    def close(self) -> None:
        """Terminate all processes.

        `decode` then raises FundusdError, also in threads that are waiting for a process.
        """
        self._closed = True
        self._starter.shutdown(cancel_futures=True)
        for child in list(self._children):
            child.kill()
        for _ in range(self._idle.qsize()):
            with contextlib.suppress(Empty):
                self._retire(self._idle.get_nowait())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> _Child:
        child = _Child(
            self._preprocessing, self._side, self._limits, shows_ungradable=self._shows_ungradable
        )
        self._children.add(child)
        if self._log and not child.confined and not self._unconfined_was_logged:
            self._unconfined_was_logged = True
            self._log.warning("decoder.unconfined", error=_UNCONFINED, hint=_UNCONFINED_HINT)
        return child

    def _retire(self, slot: Future[_Child]) -> None:
        """Terminate an idle process."""
        if slot.cancelled() or slot.exception():
            self._replace(None)
        else:
            self._replace(slot.result())

    def _replace(self, child: _Child | None) -> None:
        """Terminate a child process, if there is one, and queue its successor."""
        if child:
            child.end()
            self._children.discard(child)
        try:
            slot = self._starter.submit(self._start)
            self.restarts += 1
            if self._log:
                self._log.warning("decoder.replaced", count=self.restarts)
        except RuntimeError:  # the starter is shut down: pass the error on to the next waiter
            slot = Future()
            slot.set_exception(FundusdError(_CLOSED))
        self._idle.put(slot)


class _Child:
    """One decoder process and the parent's end of its socket."""

    def __init__(
        self, preprocessing: Preprocessing, side: int, limits: Limits, *, shows_ungradable: bool
    ) -> None:
        self.broken = False
        self._shows_ungradable = shows_ungradable
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        # a file and no pipe, so that the process does not wait for a reader
        errors = os.fdopen(os.memfd_create("decoder-errors"), "w+b", buffering=0)
        with theirs, errors:
            settings = {
                "fd": theirs.fileno(),
                "parent": os.getpid(),
                "preprocessing": preprocessing,
                "side": side,
                "limits": asdict(limits),
                "shows_ungradable": shows_ungradable,
            }
            try:
                self._process = _spawn(settings, theirs.fileno(), errors)
            except OSError as error:
                self._channel.close()
                raise _not_started((error.strerror or "").encode()) from None
            theirs.close()
            greeting = self._receive_greeting()
            self.confined = greeting == READY
            if not greeting:
                self.end()
                raise _not_started(os.pread(errors.fileno(), _MAX_ERRORS, 0))

    def _receive_greeting(self) -> bytes:
        """Return READY or UNCONFINED, or b"" if the process ended or did not start in time."""
        self._channel.set_timeout(_START_SECONDS)
        try:
            return self._channel.receive(16)
        except (OSError, EOFError, ProtocolError):
            return b""

    def decode(
        self, data: bytes, thresholds: Thresholds, side: int, seconds: float
    ) -> Decoded | Reason:
        """Send a capture and return the answer, or the reason why none arrived within `seconds`.

        A child that does not answer is marked as `broken`.
        """
        self._channel.set_timeout(seconds)
        try:
            send_request(self._channel, data, thresholds)
            return receive_decoded(self._channel, side, shows_ungradable=self._shows_ungradable)
        except TimeoutError:
            self.broken = True
            return Reason.TIMEOUT
        except (OSError, EOFError, ProtocolError):
            self.broken = True
            return Reason.DECODER_CRASHED

    def kill(self) -> None:
        """Kill the process and reap it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Kill the process and close its socket."""
        self.kill()
        self._channel.close()


def _spawn(settings: dict[str, object], fd: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a decoder process that inherits the descriptor `fd` and _KEPT, but nothing else.

    Its standard error goes to `errors`. Raises OSError if no process can be started.
    """
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, *_ARGUMENTS, orjson.dumps(settings)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env=_ENVIRONMENT | kept,
        pass_fds=(fd,),
        start_new_session=True,
    )


def _not_started(errors: bytes) -> SystemRefused:
    """Return an exception that gives the reason from a process's standard error, if there is one.

    The process has seen no capture, so its reason names no patient.
    """
    lines = errors.decode(errors="replace").strip().splitlines()
    if not lines:
        return SystemRefused(_NOT_STARTED, hint=_NOT_STARTED_HINT)
    # the reason is the first line of the loader, and the last line of a traceback
    reason = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    message = f"{_NOT_STARTED[:-1]}: {reason[:_MAX_REASON]}"
    return SystemRefused(message, hint=_NOT_STARTED_HINT)


def _failed(data: bytes, reason: Reason, started: float) -> Decoded:
    media = sniff(data)
    content = Content(media) if isinstance(media, MediaType) else None
    return Decoded(content, reason, None, (perf_counter() - started) * 1000)
