"""Run fundusd with one fault armed.

    python tests/faults/armed.py STEP ACTION WHEN -- run --config FILE

A step is one of STEPS: a writing transaction of the ledger and a moment in it
(`admit.before_commit`), or a place between two transactions (`worker.read`). The fault happens
when the step is reached for the WHENth time:

    kill  SIGKILL to itself
    lose  the connection breaks: before COMMIT nothing is written; after it everything is written,
          but the caller gets an error

fundusd itself is unaware of this: the steps are patched before its command line is called.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import sqlite3
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

from fundusd.cli import main
from fundusd.imaging.decoder_pool import DecoderPool
from fundusd.ledger import Ledger
from fundusd.ledger.database import Database
from fundusd.model.classifier import ZeroShotClassifier
from fundusd.watcher import candidates
from fundusd.worker.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRANSACTIONS = (
    "create_if_empty", "start", "admit", "ignore", "mark_missing", "sweep_finished",
    "found_at", "offline", "keep_incomplete", "claim", "record", "postpone", "fail", "give_back",
    "stop",
)  # fmt: skip
# middle: between the first statement and the second
MOMENTS = ("begin", "middle", "before_commit", "after_commit")
# transactions of one statement
SINGLE = ("ignore", "sweep_finished", "found_at", "keep_incomplete", "stop")
PLACES = {
    "watcher.digested": (candidates, "digest_settled", "after"),
    "worker.claimed": (Preparation, "_read", "before"),
    "worker.read": (Preparation, "_read", "after"),
    "worker.decoded": (DecoderPool, "decode", "after"),
    "worker.forward": (ZeroShotClassifier, "logits", "before"),
    "worker.classified": (ZeroShotClassifier, "logits", "after"),
}
STEPS = [
    f"{name}.{moment}"
    for name in TRANSACTIONS
    for moment in MOMENTS
    if (name in SINGLE, moment) != (True, "middle")
] + list(PLACES)
_READS = re.compile(r"\s*(SELECT|PRAGMA|BEGIN|SHOW|SET)\b", re.IGNORECASE)


class _Here(threading.local):
    transaction = ""  # the ledger's method that this thread is in
    writes = 0  # statements so far that change something


class Fault:
    """A fault that happens when a step is reached for the WHENth time."""

    def __init__(self, step: str, action: str, when: int) -> None:
        self._step, self._action, self._left = step, action, when
        self._lock = threading.Lock()

    def reach(self, step: str, connection: Any = None) -> None:
        """Note that a step is reached; raises the driver's error if the connection is to break."""
        with self._lock:
            self._left -= step == self._step
            if step != self._step or self._left != 0:
                return
        os.write(1, b'{"event": "fault.fired"}\n')
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise _broken(connection)


def _broken(connection: Any) -> Exception:
    """Break a connection and return its driver's error; uncommitted changes are rolled back."""
    if isinstance(connection, psycopg.Connection):
        connection.close()
        return psycopg.OperationalError("server closed the connection unexpectedly")
    connection.rollback()
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
    return error


def arm(fault: Fault) -> None:
    """Patch every step so that the fault can happen there."""
    here = _Here()
    for name in (*TRANSACTIONS, "regain"):
        setattr(Ledger, name, _named(here, name, getattr(Ledger, name)))
    Database.writing = _counted(here, Database.writing)  # type: ignore[method-assign]
    DefaultDialect.do_commit = _commit(here, fault, DefaultDialect.do_commit)  # type: ignore[method-assign]
    sa.event.listen(
        sa.Engine, "before_cursor_execute", functools.partial(_before_statement, here, fault)
    )
    for step, (owner, name, moment) in PLACES.items():
        setattr(owner, name, _reaching(fault, step, moment, getattr(owner, name)))


def _named(here: _Here, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def inside(*args: Any, **kwargs: Any) -> Any:
        before, here.transaction = here.transaction, name
        try:
            return method(*args, **kwargs)
        finally:
            here.transaction = before

    return inside


def _counted(here: _Here, writing: Callable[[Database], Any]) -> Any:
    @contextmanager
    def inside(self: Database) -> Iterator[sa.Connection]:
        here.writes = 0
        try:
            with writing(self) as connection:
                yield connection
        finally:
            here.writes = 0

    return inside


def _before_statement(
    here: _Here, fault: Fault, _connection: Any, _cursor: Any, statement: str, *_rest: Any
) -> None:
    if not _READS.match(statement):
        here.writes += 1
        if here.writes in {1, 2}:
            fault.reach(f"{here.transaction}.{MOMENTS[here.writes - 1]}")


def _commit(here: _Here, fault: Fault, do_commit: Callable[..., None]) -> Any:
    def inside(self: DefaultDialect, connection: Any) -> None:
        if here.writes:
            fault.reach(f"{here.transaction}.before_commit", connection.driver_connection)
        do_commit(self, connection)
        if here.writes:
            fault.reach(f"{here.transaction}.after_commit", connection.driver_connection)

    return inside


def _reaching(
    fault: Fault, step: str, moment: str, method: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(method)
    def inside(*args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            fault.reach(step)
        answer = method(*args, **kwargs)
        if moment == "after":
            fault.reach(step)
        return answer

    return inside


if __name__ == "__main__":
    named, doing, number = sys.argv[1:4]
    arm(Fault(named, doing, int(number)))
    sys.argv = ["fundusd", *sys.argv[5:]]
    main()
