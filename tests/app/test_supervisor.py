from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from fundusd.app.supervisor import Supervisor
from fundusd.app.systemd import Heartbeat, Notifier
from fundusd.domain.errors import FundusdError, LedgerAway, LedgerError


@pytest.fixture(autouse=True)
def _signals_restored() -> Iterator[None]:
    kept = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    yield
    for number, action in kept.items():
        signal.signal(number, action)


class Obedient:
    """Works until it is told to stop; calls `then` once it runs."""

    def __init__(self, name: str, then: signal.Signals | None = None) -> None:
        self.name = name
        self.stopped = False
        self._then = then

    def run(self, stop: threading.Event) -> None:
        if self._then is not None:
            os.kill(os.getpid(), self._then)
        self.stopped = stop.wait(30)


class Failing:
    name = "failing"

    def run(self, stop: threading.Event) -> None:
        raise LedgerError("The disk is full.")


class Deserting:
    name = "deserting"

    def run(self, stop: threading.Event) -> None:
        return


def ready() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def heartbeat() -> Heartbeat:
    return Heartbeat(Notifier({}), None)


def test_a_signal_stops_every_service() -> None:
    services = [Obedient("watcher"), Obedient("worker", signal.SIGTERM)]
    Supervisor(services, heartbeat(), lambda: None, ready()).run()
    assert all(service.stopped for service in services)


def test_if_one_fails_all_end_and_its_error_is_raised() -> None:
    service = Obedient("watcher")
    with pytest.raises(LedgerError, match="The disk is full"):
        Supervisor([service, Failing()], heartbeat(), lambda: None, ready()).run()
    assert service.stopped


class Waiting(Obedient):
    """Waits for a database that is away, until it is told to stop."""

    def run(self, stop: threading.Event) -> None:
        super().run(stop)
        raise LedgerAway


def test_that_one_waited_for_the_database_hides_no_cause() -> None:
    with pytest.raises(LedgerError, match="The disk is full"):
        Supervisor([Waiting("watcher"), Failing()], heartbeat(), lambda: None, ready()).run()


def test_a_stop_while_the_database_is_away_ends_in_order() -> None:
    Supervisor([Waiting("watcher", signal.SIGTERM)], heartbeat(), lambda: None, ready()).run()


def test_a_service_that_just_ends_ends_the_daemon() -> None:
    service = Obedient("watcher")
    with pytest.raises(FundusdError, match="ended by itself"):
        Supervisor([service, Deserting()], heartbeat(), lambda: None, ready()).run()
    assert service.stopped


def test_hangup_calls_reload() -> None:
    reloaded = threading.Event()

    def reload() -> None:
        reloaded.set()
        os.kill(os.getpid(), signal.SIGTERM)

    Supervisor([Obedient("watcher", signal.SIGHUP)], heartbeat(), reload, ready()).run()
    assert reloaded.is_set()
