"""Turn functions on a connection into methods, each of which runs in one transaction.

A ledger class lists its methods like a table of contents:

    swept_before = reads(cameras.swept_before)
    mark_missing = writes(sightings.mark_missing)
    ignore = records(sightings.ignore)

Each method takes the function's arguments except the first and has the function's docstring.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa

    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.domain.delivery import Subscription
    from fundusd.ledger.database import Database
    from fundusd.ledger.outage_retry import OutageRetry

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Recording:
    """A writing transaction, together with everything else that is needed to record results."""

    connection: sa.Connection
    release_id: int  # of the release that the daemon works under, 0 outside a daemon
    identifiers: Identifiers
    subscriptions: Sequence[Subscription]  # which receivers get documents about changed exams


class Transactions:
    """A database and its transactions.

    If `outage_retry` is set, each transaction is retried until an outage ends.
    """

    def __init__(
        self,
        database: Database,
        identifiers: Identifiers,
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        self.database = database
        self.release_id = 0
        self.outage_retry: OutageRetry | None = None
        self._identifiers = identifiers
        self._subscriptions = tuple(subscriptions)

    @property
    def identifiers(self) -> Identifiers:
        """Return how the site stores patients."""
        return self._identifiers

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write."""
        with self.database.writing() as connection:
            yield connection

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Open a transaction that may write, and yield a `Recording` for it."""
        with self.writing() as connection:
            yield self._recording(connection)

    def _recording(self, connection: sa.Connection) -> Recording:
        return Recording(connection, self.release_id, self._identifiers, self._subscriptions)


Ledgers = TypeVar("Ledgers", bound=Transactions)


def retried(
    method: Callable[Concatenate[Ledgers, Given], Answer],
) -> Callable[Concatenate[Ledgers, Given], Answer]:
    """Return a method that is retried until an outage of the database ends.

    If the ledger's `outage_retry` is None, the method is called only once.
    """

    def retrying(ledger: Ledgers, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        work: Callable[[], Answer] = partial(method, ledger, *args, **kwargs)
        return work() if ledger.outage_retry is None else ledger.outage_retry.call(work)

    return update_wrapper(retrying, method)


def reads(
    function: Callable[Concatenate[sa.Connection, Given], Answer],
) -> Callable[Concatenate[Transactions, Given], Answer]:
    """Return a method that runs a function in a reading transaction."""

    def method(ledger: Transactions, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with ledger.database.reading() as connection:
            return function(connection, *args, **kwargs)

    return update_wrapper(retried(method), function)


def writes(
    function: Callable[Concatenate[sa.Connection, Given], Answer],
) -> Callable[Concatenate[Transactions, Given], Answer]:
    """Return a method that runs a function in a writing transaction."""

    def method(ledger: Transactions, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with ledger.writing() as connection:
            return function(connection, *args, **kwargs)

    return update_wrapper(retried(method), function)


def records(
    function: Callable[Concatenate[Recording, Given], Answer],
) -> Callable[Concatenate[Transactions, Given], Answer]:
    """Return a method that runs a function with the `Recording` of a writing transaction."""

    def method(ledger: Transactions, /, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        with ledger.recording() as recording:
            return function(recording, *args, **kwargs)

    return update_wrapper(retried(method), function)
