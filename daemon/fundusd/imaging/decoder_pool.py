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
from typing import TYPE_CHECKING, Self

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
    "Run `python -c 'import fundusd.imaging.decoder_process'` to see the error;"
    " if there is none, check the memory limits."
)
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
_KEPT = "LD_LIBRARY_PATH"  # without it, an interpreter built with a shared library may not start


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
        with theirs:
            settings = {
                "fd": theirs.fileno(),
                "parent": os.getpid(),
                "preprocessing": preprocessing,
                "side": side,
                "limits": asdict(limits),
                "shows_ungradable": shows_ungradable,
            }
            self._process = _spawn(settings, theirs.fileno())
        self._channel = Channel(ours)
        greeting = self._receive_greeting()
        self.confined = greeting == READY
        if not greeting:
            self.end()
            raise SystemRefused(_NOT_STARTED, hint=_NOT_STARTED_HINT)

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


def _spawn(settings: dict[str, object], fd: int) -> subprocess.Popen[bytes]:
    """Start a decoder process that inherits the descriptor `fd` and _KEPT, but nothing else."""
    kept = {_KEPT: os.environ[_KEPT]} if _KEPT in os.environ else {}
    return subprocess.Popen(
        [sys.executable, *_ARGUMENTS, orjson.dumps(settings)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT | kept,
        pass_fds=(fd,),
        start_new_session=True,
    )


def _failed(data: bytes, reason: Reason, started: float) -> Decoded:
    media = sniff(data)
    content = Content(media) if isinstance(media, MediaType) else None
    return Decoded(content, reason, None, (perf_counter() - started) * 1000)
