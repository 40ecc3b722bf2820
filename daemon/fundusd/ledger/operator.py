"""The ledger for use by commands, whether or not a daemon is running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.ledger import (
    audit,
    camera_orientations,
    corrections,
    delivery_list,
    exam_queries,
    exams,
    follow_ups,
    held_exams,
    image_files,
    joined_exams,
    quality_measures,
    queries,
    receiver_outages,
    releases,
    requeue,
    reviews,
    sites,
    view_queries,
)
from fundusd.ledger.transactions import Transactions, reads, records, retried, writes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Operator(Transactions):
    """Queries and changes for commands.

    Each method runs in one transaction. Methods raise LedgerError if the database fails.
    """

    # -- captures and jobs

    retry = records(requeue.retry)
    retry_failed = records(requeue.retry_failed)
    accounts = reads(queries.accounts)
    status = reads(queries.status)
    status_of_views = reads(queries.status_of_views)
    identifiers_held = reads(queries.identifiers_held)
    measures_of = reads(quality_measures.measures_of)
    orientations = reads(camera_orientations.learnt)
    verify = reads(audit.verify)
    adopt_site = records(sites.adopt)

    @retried
    def site(self) -> sites.Site | None:
        """Return the site of the database, or None if no daemon has started on it yet."""
        if self.database.is_absent:
            return None
        with self.database.reading() as connection:
            return sites.read(connection)

    @retried
    def key_in_use(self) -> str | None:
        """Return the id of the site key of the rows, or None if no row depends on the key."""
        if self.database.is_absent:
            return None
        with self.database.reading() as connection:
            return sites.key_in_use(connection, are_clear=self._identifiers.are_clear)

    def results(self, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        """Yield rows of v_result, newest first; see `view_queries.results`."""
        with self.database.reading() as connection:
            yield from view_queries.results(connection, **wanted)

    # -- views and exams

    ask = reads(view_queries.ask)
    columns_of = reads(view_queries.columns_of)
    person = writes(view_queries.person)
    exam = reads(exam_queries.exam_by_id)
    exam_of = reads(exam_queries.exam_of)
    judged_exams = reads(exam_queries.judged)
    sources = reads(image_files.read)
    releases = reads(releases.read)
    review = records(reviews.review)
    close_follow_up = records(follow_ups.close)
    correct_eye = records(corrections.correct_eye)
    exclude = records(corrections.exclude)
    include = records(corrections.include)
    belongs = records(corrections.belongs)
    eye_absent = records(corrections.absent)
    eye_present = records(corrections.present)
    join_exams = records(joined_exams.join)
    part_exam = records(joined_exams.part)
    belongs_to_other = records(joined_exams.belongs_to_other)
    shown = writes(exams.shown)

    # -- documents that are sent

    retry_deliveries = writes(delivery_list.retry)
    deliveries = reads(delivery_list.listed)
    receiver_away = writes(receiver_outages.receiver_away)
    receiver_back = writes(receiver_outages.receiver_back)
    receivers_away = reads(receiver_outages.receivers_away)

    def held_exams(self, limit: int) -> list[dict[str, Any]]:
        """Return exams whose documents are held back; see `held_exams.held`."""
        with self.database.reading() as connection:
            return held_exams.held(connection, self._subscriptions, limit)
