"""Run a decoder process, which receives captures over its socket and answers with their pixels.

Resource limits and a system call filter prevent it from doing anything else.
"""

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
    preprocessing: Preprocessing,
    side: int,
    limits: Limits,
    *,
    shows_ungradable: bool = False,
) -> None:
    """Decode one capture after another until the parent closes its end of the socket."""
    while True:
        try:
            data, thresholds = receive_request(channel, limits.max_bytes)
        except EOFError:
            return
        decoded = decode(
            data, preprocessing, side, limits, thresholds, shows_ungradable=shows_ungradable
        )
        send_decoded(channel, decoded)


def confine(memory_bytes: int) -> bool:
    """Restrict this process to what decoding needs, by resource limits and a system call filter.

    From then on, the process also dies with its parent. Returns False if the kernel cannot filter
    system calls, in which case only the resource limits apply.
    """
    # Linux kills the process when the thread that started it ends, so the pool keeps that thread
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123  a kernel file
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
    """Confine this process and decode captures for its parent.

    The command is `python -m fundusd.imaging.decoder_process SETTINGS`, where SETTINGS is JSON.
    """
    settings: dict[str, Any] = orjson.loads(arguments[0])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole process group; the parent decides
    warnings.simplefilter("ignore")
    logging.disable()  # pydicom logs values from the file
    limits = Limits(**settings["limits"])
    channel = Channel(socket.socket(fileno=settings["fd"]))
    warm_up()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123  a device
        os.dup2(nothing.fileno(), 2)  # what comes from now on may be about a patient
    confined = confine(limits.memory_bytes)
    if os.getppid() != settings["parent"]:
        return  # the parent died before prctl took effect
    channel.send(READY if confined else UNCONFINED)
    serve(
        channel,
        Preprocessing(settings["preprocessing"]),
        settings["side"],
        limits,
        shows_ungradable=settings["shows_ungradable"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
