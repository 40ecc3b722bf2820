from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fundusd.app.systemd import Heartbeat, Notifier, watchdog_seconds


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """Open a socket that listens as systemd does."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(5)
    return listening


def received(manager: socket.socket) -> list[bytes]:
    manager.setblocking(False)
    received = []
    while True:
        try:
            received.append(manager.recv(4096))
        except BlockingIOError:
            return received


def test_messages_reach_the_socket_that_systemd_names(manager: socket.socket) -> None:
    with manager:
        Notifier({"NOTIFY_SOCKET": manager.getsockname()}).tell(READY=1, STATUS="watching")
        assert received(manager) == [b"READY=1\nSTATUS=watching"]


def test_abstract_sockets_work() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0fundusd-test-{os.getpid()}")
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": f"@fundusd-test-{os.getpid()}"}).tell(READY=1)
        assert listening.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_told() -> None:
    Notifier({}).tell(READY=1)


def test_the_watchdog_is_fed_only_while_every_service_moves(manager: socket.socket) -> None:
    clock = Clock()
    with manager:
        heartbeat = Heartbeat(Notifier({"NOTIFY_SOCKET": manager.getsockname()}), 10.0, clock)
        first, second = heartbeat.beat("watcher"), heartbeat.beat("worker")
        heartbeat.tick()
        assert received(manager) == [b"WATCHDOG=1"]
        clock.now += 11
        first()
        heartbeat.tick()
        assert received(manager) == []
        assert heartbeat.stuck() == ["worker"]
        second()
        heartbeat.tick()
        assert received(manager) == [b"WATCHDOG=1"]
    assert heartbeat.interval == 1.0


def test_without_a_watchdog_nothing_is_stuck_and_nothing_is_fed(manager: socket.socket) -> None:
    with manager:
        heartbeat = Heartbeat(Notifier({"NOTIFY_SOCKET": manager.getsockname()}), None)
        heartbeat.beat("worker")
        heartbeat.tick()
        assert heartbeat.stuck() == []
        assert received(manager) == []
    assert heartbeat.interval == 1.0


def test_the_watchdog_limit_is_read_for_this_process_only() -> None:
    assert watchdog_seconds({"WATCHDOG_USEC": "2000000"}) == 2.0
    assert watchdog_seconds({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}) == 2.0
    assert watchdog_seconds({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}) is None
    assert watchdog_seconds({}) is None
