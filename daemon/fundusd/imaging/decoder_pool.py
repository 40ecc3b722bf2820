"""Untrusted bytes are decoded in other processes: a crash, hang or bomb there costs one capture."""

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
from fundusd.imaging.decoder_protocol import READY, Channel, Garbled, receive_decoded, send_request
from fundusd.imaging.limits import Limits

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

_CLOSED = "The decoder processes are closed."
_UNCONFINED = "The decoder processes run without a filter of system calls (seccomp)."
_UNCONFINED_HINT = "They still have limits and the unit's sandbox; x86_64 or aarch64 with CONFIG_SECCOMP_FILTER has both."
_START_SECONDS = 60.0  # a cold disk under load; a warm start takes half a second
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    # glibc would give a picture's memory back after each capture, and the kernel zero all of it again for the next
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024 * 1024),  # what an idle process keeps at most
    # numpy's BLAS would start a thread per core, which RLIMIT_NPROC forbids
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class DecoderPool:
    """Persistent decoder processes; `decode` may be called from any number of threads.

    A process that crashes or takes too long is replaced while the others go on; `restarts` counts. `log`, where there
    is one, hears of that, and once of processes that the kernel does not confine. With `shows_ungradable` the pixels
    of ungradable retinas come along, for people to look at.
    """

    def __init__(
        self,
        processes: int,
        how: Preprocessing,
        side: int,
        limits: Limits | None = None,
        log: FilteringBoundLogger | None = None,
        *,
        shows_ungradable: bool = False,
    ) -> None:
        self.restarts = 0
        self._log, self._told_unconfined = log, False
        self._how, self._side, self._limits = how, side, limits or Limits()
        self._shows_ungradable = shows_ungradable
        self._closed = False
        # One thread starts all children and outlives them: see `confine` in the child
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decoder-starter")
        self._children: set[_Child] = set()
        self._idle: SimpleQueue[Future[_Child]] = SimpleQueue()
        for _ in range(processes):
            self._idle.put(self._starter.submit(self._start))

    def decode(self, data: bytes, thresholds: Thresholds = DEFAULTS) -> Decoded:
        """Decode in the next free process and judge by a camera's thresholds.

        Raises SystemRefused if none starts, FundusdError when closed.
        """
        started = perf_counter()
        if len(data) > self._limits.max_bytes:
            return _failed(data, Reason.TOO_MANY_BYTES, started)
        slot, child, usable = self._idle.get(), None, False
        try:
            child = slot.result()
            answer = child.decode(data, thresholds, self._side, self._limits.seconds)
            usable = not child.spent
        finally:
            if usable:
                self._idle.put(slot)
            else:
                self._replace(child)
        if self._closed and isinstance(answer, Reason):
            raise FundusdError(_CLOSED)  # we killed it; the capture is not to blame
        return _failed(data, answer, started) if isinstance(answer, Reason) else answer

    def close(self) -> None:
        """End all processes; whoever waits for one gets a FundusdError."""
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
        child = _Child(self._how, self._side, self._limits, shows_ungradable=self._shows_ungradable)
        self._children.add(child)
        if self._log and not child.confined and not self._told_unconfined:
            self._told_unconfined = True
            self._log.warning("decoder.unconfined", error=_UNCONFINED, hint=_UNCONFINED_HINT)
        return child

    def _retire(self, slot: Future[_Child]) -> None:
        """Let go of a process that nobody waits for."""
        failed = slot.cancelled() or slot.exception()
        self._replace(None if failed else slot.result())

    def _replace(self, child: _Child | None) -> None:
        if child:
            child.end()
            self._children.discard(child)
        try:
            slot = self._starter.submit(self._start)
            self.restarts += 1
            if self._log:
                self._log.warning("decoder.replaced", count=self.restarts)
        except RuntimeError:  # closed: hand the news on to the next in the queue
            slot = Future()
            slot.set_exception(FundusdError(_CLOSED))
        self._idle.put(slot)


class _Child:
    """One decoder process and our end of its socket."""

    def __init__(
        self, how: Preprocessing, side: int, limits: Limits, *, shows_ungradable: bool
    ) -> None:
        self.spent = False
        self._shows_ungradable = shows_ungradable
        ours, theirs = socket.socketpair()
        with theirs:
            settings = {
                "fd": theirs.fileno(),
                "parent": os.getpid(),
                "how": how,
                "side": side,
                "limits": asdict(limits),
                "shows_ungradable": shows_ungradable,
            }
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-W",
                    "ignore",
                    "-m",
                    "fundusd.imaging.decoder_process",
                    orjson.dumps(settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._channel = Channel(ours)
        said = self._first_word()
        self.confined = said == READY
        if not said:
            self.end()
            raise SystemRefused(
                "The decoder process does not start.",
                hint="`python -c 'import fundusd.imaging.decoder_process'` may say why; else look at memory limits.",
            )

    def _first_word(self) -> bytes:
        self._channel.allow(_START_SECONDS)
        try:
            return self._channel.receive(16)
        except (OSError, EOFError, Garbled):
            return b""

    def decode(
        self, data: bytes, thresholds: Thresholds, side: int, seconds: float
    ) -> Decoded | Reason:
        """Hand over the bytes and wait for the answer, at most `seconds`; a child that gives none is spent."""
        self._channel.allow(seconds)
        try:
            send_request(self._channel, data, thresholds)
            return receive_decoded(self._channel, side, shows_ungradable=self._shows_ungradable)
        except TimeoutError:
            self.spent = True
            return Reason.TIMEOUT
        except (OSError, EOFError, Garbled):
            self.spent = True
            return Reason.DECODER_CRASHED

    def kill(self) -> None:
        """End the process and collect it."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """End the process and let go of its socket."""
        self.kill()
        self._channel.close()


def _failed(data: bytes, reason: Reason, started: float) -> Decoded:
    media = sniff(data)
    content = Content(media) if isinstance(media, MediaType) else None
    return Decoded(content, reason, None, (perf_counter() - started) * 1000)
