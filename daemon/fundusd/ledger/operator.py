"""The ledger as people see it: what commands ask and order, whether a daemon runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import RequestError
from fundusd.ledger import (
    audit,
    deliveries,
    exams,
    image_files,
    quality_measures,
    queries,
    releases,
    requeue,
    reviews,
    view_queries,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.pseudonyms import Identifiers
    from fundusd.domain.delivery import DeliveryState
    from fundusd.domain.inference import Release
    from fundusd.ledger.database import Database


class Desk:
    """Questions to one database and orders to it, each in a transaction; raises LedgerError."""

    def __init__(self, database: Database, identifiers: Identifiers) -> None:
        self.database = database
        self._identifiers = identifiers

    def retry(self, capture_id: int) -> bool:
        """Queue a failed capture again; False when it has not failed, RequestError when there is none."""
        with self.database.writing() as connection:
            found = queries.job_of(connection, capture_id)
            if found is None:
                raise RequestError(
                    f"There is no capture {capture_id}.", hint="See: fundusd results"
                )
            return self._reopen(connection, [found[0]]) == 1

    def retry_failed(self) -> int:
        """Queue every failed job again; return how many."""
        with self.database.writing() as connection:
            return self._reopen(connection, queries.failed_jobs(connection))

    def _reopen(self, connection: sa.Connection, ids: Sequence[int]) -> int:
        clear = self._identifiers.are_clear
        if (
            self.database.is_sqlite
        ):  # one daemon has all cameras, also those that are in its settings no more
            return requeue.reopen(
                connection, ids, queries.release_at_work(connection), are_clear=clear
            )
        by_release = queries.by_release(connection, ids)
        return sum(
            requeue.reopen(connection, some, release_id, are_clear=clear)
            for release_id, some in by_release.items()
        )

    def results(self, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        """Yield rows of v_result, newest first; see `view_queries.results`."""
        with self.database.reading() as connection:
            yield from view_queries.results(connection, **wanted)

    def ask(self, query: view_queries.ViewQuery) -> list[dict[str, Any]]:
        """Return rows of any view."""
        with self.database.reading() as connection:
            return view_queries.ask(connection, query)

    def person(self, key: str) -> dict[str, Any]:
        """Return all exams of a person with their eyes, reviews and progression; audited. Raises RequestError."""
        with self.database.writing() as connection:
            return view_queries.person(connection, key)

    def accounts(self, camera_id: str, directory: bytes) -> dict[bytes, queries.Account]:
        """Return how each file of one directory stands, by name."""
        with self.database.reading() as connection:
            return queries.accounts(connection, camera_id, directory)

    def status(self) -> dict[str, Any]:
        """Return counts, ages, the cameras' last sweeps and the release."""
        with self.database.reading() as connection:
            return queries.status(connection)

    def identifiers_held(self) -> tuple[int, int]:
        """Count the captures and results that hold a patient's identifier in clear."""
        with self.database.reading() as connection:
            return queries.identifiers_held(connection)

    def measures_of(self, camera_id: str) -> list[Mapping[str, float]]:
        """Return what was measured of each colour retina that a camera took, newest first."""
        with self.database.reading() as connection:
            return list(quality_measures.measures_of(connection, camera_id))

    def verify(self) -> audit.Verdict:
        """Walk the audit chain and compare every result with its audit row."""
        with self.database.reading() as connection:
            return audit.verify(connection)

    # -- exams

    def exam(self, exam_id: int) -> Exam | None:
        """Return an exam as it stands, None when there is none of this number."""
        with self.database.reading() as connection:
            return next(iter(exams.read(connection, [exam_id])), None)

    def exam_of(self, capture_id: int) -> Exam | None:
        """Return the exam that a capture belongs to; None when it has no result yet."""
        with self.database.reading() as connection:
            exam_id = exams.of_capture(connection, capture_id)
            return None if exam_id is None else next(iter(exams.read(connection, [exam_id])), None)

    def sources(self, capture_ids: Sequence[int]) -> list[image_files.Source]:
        """Return where the bytes of captures lie that are to be shown to people."""
        with self.database.reading() as connection:
            return image_files.read(connection, capture_ids)

    def releases(self, ids: Sequence[int]) -> dict[int, Release]:
        """Return releases by number."""
        with self.database.reading() as connection:
            return releases.read(connection, ids)

    def review(self, said: reviews.Said) -> Exam:
        """Write down what a human says of an eye; return the exam since. Raises RequestError."""
        with self.database.writing() as connection:
            return reviews.record(connection, said)

    def shown(self, exam: Exam, *, exported: bool) -> None:
        """Write down that a person's exam was shown, or written into a file."""
        event = "exam.exported" if exported else "exam.shown"
        with self.database.writing() as connection:
            audit.append(connection, audit.Entry(event, "exam", exam.exam_id, exam.patient_key))

    # -- documents that are sent

    def deliveries(self, state: DeliveryState | None, limit: int) -> list[dict[str, Any]]:
        """Return deliveries for people, the newest first."""
        with self.database.reading() as connection:
            return deliveries.listed(connection, state, limit)

    def retry_deliveries(self, delivery_id: int | None) -> int:
        """Queue a delivery again, or with None all that failed; return how many."""
        with self.database.writing() as connection:
            return deliveries.retry(connection, delivery_id)
