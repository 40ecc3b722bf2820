"""The ledger for use by a daemon."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.delivery import longest_pause
from fundusd.domain.exams import FieldProtocol
from fundusd.domain.retry_policy import LONGEST_PAUSE_SECONDS
from fundusd.ledger import (
    admission,
    cameras,
    claiming,
    daemons,
    database,
    deliveries,
    document_content,
    failures,
    incomplete_files,
    jobs,
    ownership,
    recorded,
    releases,
    requeue,
    results,
    schema,
    sighting_queries,
    sightings,
    sites,
)
from fundusd.ledger.operator import Operator
from fundusd.ledger.path_metadata import PathMetadata
from fundusd.ledger.transactions import reads, records, retried, writes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Naming
    from fundusd.domain.delivery import Subscription
    from fundusd.domain.files import Admission, SettledFile
    from fundusd.domain.inference import Release
    from fundusd.ledger.jobs import Claim
    from fundusd.ledger.recorded import Recorded
    from fundusd.ledger.results import Finding


class Ledger(Operator):
    """The ledger of a daemon: jobs, results and the audit trail in one database.

    Methods raise LedgerError. `site_key` turns patient identifiers into keys. Logs and the audit
    trail contain only these keys; at a `pseudonymous` site, the same is true of all tables.

    `naming` holds the rules of those cameras that have their own naming rules, and `lookups` holds
    the databases of those cameras that have one.

    On PostgreSQL, several daemons may share a database if each has its own `cameras`. On SQLite, or
    if `cameras` is empty, the daemon owns the whole database.
    """

    def __init__(  # noqa: PLR0913  one place builds it
        self,
        url: str,
        *,
        password: str | None = None,
        site_key: bytes = b"",
        cameras: Sequence[str] = (),
        naming: Mapping[str, Naming] | None = None,
        expected_fields: Mapping[str, Sequence[str]] | None = None,
        confirmed_share: float = 0.0,
        field_protocols: Mapping[str, FieldProtocol] | None = None,
        lookups: Mapping[str, Lookup] | None = None,
        pseudonymous: bool = False,
        issuer: str = "",
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        super().__init__(
            database.Database(database.parse(url, password)),
            Identifiers(site_key, are_clear=not pseudonymous, issuer=issuer),
            subscriptions,
        )
        self._paths = PathMetadata(naming or {}, lookups or {}, self._identifiers)
        self._cameras = tuple(cameras)
        self._expected_fields = expected_fields or {}
        self._confirmed_share = confirmed_share  # of negative eyes, 0 to 1
        self._field_protocols = field_protocols or {}
        # this daemon works on jobs of these cameras only; () stands for all cameras
        self._own_cameras = () if self.database.is_sqlite else self._cameras
        self._lock = ownership.Lock(self.database, self._own_cameras)
        self.site_identity = ""  # known from the start on
        self._started = 0  # the audit event of this daemon's start
        self._served = ""  # the camera of the job that was claimed last

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    # -- schema and ownership

    def upgrade(self) -> schema.Upgrade:
        """Upgrade the schema to the newest revision, and judge older exams by today's rules.

        A SQLite file that does not exist is created.
        """
        with self.database.creating():
            return schema.upgrade(self.database, self._paths)

    @retried
    def create_if_empty(self) -> None:
        """Create the schema if the database is empty.

        An old schema is not upgraded here, because that is left to the operator.
        """
        if schema.is_empty(self.database):
            self.upgrade()

    def is_empty(self) -> bool:
        """Return whether there is no schema; raise LedgerUnfit if another program's tables are."""
        return schema.is_empty(self.database)

    @retried
    def check(self) -> str:
        """Return the schema's revision.

        Raises SchemaBehind if this program cannot work with the schema, or LedgerError if commits
        may be lost or a guard of the audit trail is missing.
        """
        with self.database.reading() as connection:
            self.database.require_durable(connection)
            return schema.check(connection)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Own the database, or this daemon's cameras in it, while the block runs.

        Raises LedgerAway if another daemon owns the database or one of these cameras.
        """
        self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    @retried
    def _acquire(self) -> None:
        if not self._lock.acquire():
            raise ownership.owned_by_another()

    def regain(self) -> None:
        """Acquire ownership of the database again after an outage.

        Raises LedgerAway as long as another session owns the database. Raises LedgerError if
        another daemon has started work during the outage.
        """
        is_held = self._lock.reacquire()
        if self._started:
            with self.writing() as connection:
                if is_held:  # the running jobs are ours, however long the database was away
                    jobs.renew(connection, self._own_cameras)
        if not is_held:
            # the owner is our old session, whose end the server has not noticed, or a new daemon
            raise ownership.owned_by_another()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write.

        Raises LedgerError if another daemon has taken over.
        """
        with self.database.writing() as connection:
            if self._started:
                self.database.require_pinned()
                daemons.require_newest(connection, self._own_cameras, self._started)
            yield connection

    @retried
    def require_same(self) -> None:
        """Raise LedgerReplaced if the database is no longer the one that this daemon started on."""
        self.database.require_pinned()
        with self.database.reading() as connection:
            sites.require_same(connection, self.site_identity)
            daemons.require_newest(connection, self._own_cameras, self._started)

    def is_held(self, cameras: Sequence[str] = ()) -> bool:
        """Return whether a daemon owns this database or, on PostgreSQL, any of these cameras."""
        return ownership.Lock(self.database, cameras).is_taken()

    @retried
    def start(self, release: Release) -> int:
        """Begin work under a release, and return the number of reclaimed jobs.

        Jobs that an earlier daemon left running are reclaimed.
        """
        self._lock.require_alive()
        self.database.pin()
        with self.database.writing() as connection:
            self.site_identity = sites.establish(connection, self._identifiers)
            self.release_id = releases.register(connection, release)
            for camera_id in self._cameras:
                expected = self._expected_fields.get(camera_id, ())
                protocol = self._field_protocols.get(camera_id, FieldProtocol.ANY)
                cameras.register_camera(connection, camera_id)
                cameras.expect_fields(connection, camera_id, expected, protocol)
                cameras.confirm_share(connection, camera_id, self._confirmed_share)
            recording = self._recording(connection)
            count = failures.rescue(recording, expired_only=False, cameras=self._own_cameras)
            requeue.adopt(recording, self._own_cameras)
            started = daemons.started(recording, release.program_version)
            cameras.started(connection, self._cameras, self.release_id, started)
        self._started = started  # only now that it is committed
        return count

    stop = records(daemons.stopped)

    # -- the watcher's side

    register_camera = writes(cameras.register_camera)
    registered_at_ns = reads(cameras.registered_at_ns)
    swept_before = reads(cameras.swept_before)
    sweep_finished = writes(cameras.sweep_finished)
    whereabouts = reads(cameras.whereabouts)
    found_at = writes(cameras.found_at)
    offline = writes(cameras.offline)
    is_away = reads(cameras.is_away)

    remembered = reads(sighting_queries.remembered)
    present = reads(sighting_queries.present)
    named = reads(sighting_queries.named)
    present_names = reads(sighting_queries.present_names)
    same_files = reads(sighting_queries.same_files)
    ignore = records(sightings.ignore)
    mark_missing = writes(sightings.mark_missing)

    keep_incomplete = records(incomplete_files.keep_incomplete)
    incomplete_files = reads(incomplete_files.incomplete_files)
    queue_unread = records(requeue.queue_unread)

    @retried
    def admit(self, *files: SettledFile) -> list[Admission]:
        """Admit settled files as captures, with one job per digest and release.

        Return how each file was admitted. A path may occur only once.
        """
        metadata = self._paths.columns((file.camera_id, file.path) for file in files)
        with self.recording() as recording:
            admitted = admission.admit(recording, files, metadata)
        recorded.log_reused(outcome.reused for outcome in admitted)
        return [outcome.admission for outcome in admitted]

    # -- the worker's side

    def claim(self, limit: int, pause: float = LONGEST_PAUSE_SECONDS) -> list[Claim]:
        """Claim up to `limit` waiting jobs under a lease; see `claiming.claim`."""
        return self._claim(limit, secrets.token_hex(8), pause)

    @retried
    def _claim(self, limit: int, token: str, pause: float = LONGEST_PAUSE_SECONDS) -> list[Claim]:
        self._lock.require_alive()
        with self.recording() as recording:
            claims = claiming.claim(recording, limit, token, self._served, self._own_cameras, pause)
        if claims:
            self._served = claims[-1].camera_id
        return claims

    @retried
    def record(self, findings: Sequence[Finding]) -> list[list[Recorded] | None]:
        """Record findings.

        For each finding, return a list of its captures, or None if its lease was lost.
        """
        places = []
        for finding in findings:
            places += [(place.camera_id, place.path) for place in finding.claim.places]
        metadata = self._paths.refreshed_columns(places)
        with self.recording() as recording:
            return results.record(recording, findings, metadata)

    postpone = records(failures.postpone)
    fail = records(failures.fail)
    give_back = writes(jobs.give_back)

    # -- the model's canary

    model_verified = records(daemons.model_verified)
    model_refused = records(daemons.model_refused)
    log_lost = records(daemons.log_lost)

    @retried
    def is_in_doubt(self) -> bool:
        """Return whether the model is in doubt under this release; see `daemons.is_in_doubt`."""
        with self.database.reading() as connection:
            return daemons.is_in_doubt(connection, self.release_id)

    # -- documents that are sent

    document_content = reads(document_content.document_content)
    begin_attempt = writes(deliveries.begin_attempt)
    sending = writes(deliveries.sending)
    delivered = writes(deliveries.delivered)
    undelivered = writes(deliveries.undelivered)

    @retried
    def due(self, receiver: str, *, only_requested: bool = False) -> deliveries.Due | None:
        """Return the delivery that has been due longest for a receiver; see `deliveries.due`."""
        with self.database.reading() as connection:
            pause = longest_pause(self._subscriptions)
            cameras = self._own_cameras
            return deliveries.due(
                connection, receiver, cameras, pause, only_requested=only_requested
            )
