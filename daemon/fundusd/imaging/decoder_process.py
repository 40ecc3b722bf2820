"""A decoder process: takes bytes from its socket, gives back what became of them, and can do little else."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.domain.decoding import Preprocessing
from fundusd.imaging import seccomp
from fundusd.imaging.decode import decode
from fundusd.imaging.decoder_protocol import (
    READY,
    UNCONFINED,
    Channel,
    receive_request,
    send_decoded,
)
from fundusd.imaging.limits import Limits
from fundusd.imaging.preload import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_PAGE = os.sysconf("SC_PAGE_SIZE")


def serve(
    channel: Channel,
    how: Preprocessing,
    side: int,
    limits: Limits,
    *,
    shows_ungradable: bool = False,
) -> None:
    """Answer one capture after the other until the parent closes its end."""
    while True:
        try:
            data, thresholds = receive_request(channel, limits.max_bytes)
        except EOFError:
            return
        send_decoded(
            channel, decode(data, how, side, limits, thresholds, shows_ungradable=shows_ungradable)
        )


def confine(memory_bytes: int) -> bool:
    """Give up what decoding does not need: more memory, files, children, a life of one's own, most system calls.

    Returns False where the kernel has no filter of system calls for us: the limits are all there is then.
    """
    # Linux kills us when the thread that started us ends: the pool keeps one thread for that
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  a kernel file, once
        in_use = int(statm.read().split()[0]) * _PAGE
    for limit, value in (
        (resource.RLIMIT_AS, in_use + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    return seccomp.install()


def main(arguments: Sequence[str]) -> None:
    """Run as `python -m fundusd.imaging.decoder_process SETTINGS`, with the settings as JSON."""
    settings: dict[str, Any] = orjson.loads(arguments[0])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole group; the parent decides
    warnings.simplefilter("ignore")
    logging.disable()  # pydicom logs values of the file
    limits = Limits(**settings["limits"])
    channel = Channel(socket.socket(fileno=settings["fd"]))
    warm_up()
    confined = confine(limits.memory_bytes)
    if os.getppid() != settings["parent"]:
        return  # the parent died before we asked to die with it
    channel.send(READY if confined else UNCONFINED)
    how, shows_ungradable = Preprocessing(settings["how"]), settings["shows_ungradable"]
    serve(channel, how, settings["side"], limits, shows_ungradable=shows_ungradable)


if __name__ == "__main__":
    main(sys.argv[1:])
