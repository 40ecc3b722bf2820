"""The ledger as the rest of the program sees it: each method is one transaction."""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import TYPE_CHECKING, Any

from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.errors import LedgerAway, LedgerError
from fundusd.ledger import (
    admission,
    audit,
    cameras,
    database,
    deliveries,
    exams,
    incomplete_files,
    jobs,
    ownership,
    queries,
    releases,
    requeue,
    results,
    schema,
    sightings,
)
from fundusd.ledger.operator import Desk
from fundusd.ledger.outage_retry import patient
from fundusd.ledger.path_metadata import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import sqlalchemy as sa

    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Naming
    from fundusd.domain.clinical_terms import Reason
    from fundusd.domain.delivery import Subscription
    from fundusd.domain.files import (
        Admission,
        IgnoreReason,
        InboxState,
        IncompleteFile,
        ListedFile,
        OfflineReason,
        SettledFile,
        Sighting,
        Stat,
        SweepReport,
    )
    from fundusd.domain.inference import Proof, Release
    from fundusd.ledger.jobs import Claim, Recorded
    from fundusd.ledger.outage_retry import Patience
    from fundusd.ledger.results import Finding


class Ledger(Desk):
    """Jobs, results and audit in one database, as a daemon sees it; raises LedgerError.

    `site_key` turns patient identifiers into the keys that logs and audit carry, and all tables of a `pseudonymous`
    site; `naming` tells how cameras name their captures, where that is not by whole words, `lookups` which have a
    database of their own. On PostgreSQL daemons may share a
    database, each for its own `cameras`; who names none, and whoever uses SQLite, has it alone.
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
        lookups: Mapping[str, Lookup] | None = None,
        pseudonymous: bool = False,
        issuer: str = "",
        subscriptions: Sequence[Subscription] = (),
    ) -> None:
        opened = database.Database(
            database.parse(url, password), subscriptions=tuple(subscriptions)
        )
        super().__init__(opened, Identifiers(site_key, are_clear=not pseudonymous, issuer=issuer))
        self.release_id = 0
        self.patience: Patience | None = None  # a daemon's, to outlast outages with
        self._paths = Paths(naming or {}, lookups or {}, self._identifiers)
        self._cameras = tuple(cameras)
        self._expected_fields = expected_fields or {}
        self._mine = (
            () if self.database.is_sqlite else self._cameras
        )  # whose jobs alone are ours, () for all
        self._hold = ownership.Hold(self.database, self._mine)
        self._started = 0  # the audit event of this daemon's start
        self._served = ""  # the camera that had the last turn: a restart may begin anywhere

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    # -- schema and ownership

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the schema to the newest revision, and older results into exams; return revisions before and after."""
        revisions = schema.upgrade(self.database)
        with self.database.writing() as connection:
            exams.catch_up(connection)
        return revisions

    @patient
    def create_if_empty(self) -> None:
        """Create the schema in a new database; an older one is the operator's to upgrade."""
        with self.database.reading() as connection:
            empty = schema.current(connection) is None
        if empty:
            self.upgrade()

    @patient
    def check(self) -> str:
        """Return the schema's revision; raises SchemaBehind, or LedgerError where commits are not durable."""
        with self.database.reading() as connection:
            self.database.require_durable(connection)
            return schema.check(connection)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Own the ledger, or its part of the cameras, while the block runs; raises LedgerAway while another does."""
        self._take()
        try:
            yield
        finally:
            self._hold.release()

    @patient
    def _take(self) -> None:
        if not self._hold.take():
            raise _taken()

    def hold_again(self) -> None:
        """Own the ledger again; raises LedgerAway, or LedgerError when another daemon was at work meanwhile."""
        held = self._hold.keep()
        if self._started:
            with self._at_work() as connection:
                if held:
                    jobs.renew(
                        connection, self._mine
                    )  # what runs is ours, however long the database was away
        if not held:  # by a session of ours that the server has not missed yet, or by one that will soon have started
            raise _taken()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[sa.Connection]:
        """Open a daemon's writing transaction; raises LedgerError when another one has started since: ours is old."""
        with self.database.writing() as connection:
            if self._started and queries.last_start(connection, self._mine) != self._started:
                raise LedgerError(
                    "Another fundusd took over while the database was away.",
                    hint="This one starts again and stands by.",
                )
            yield connection

    def is_held(self, cameras: Sequence[str] = ()) -> bool:
        """Tell whether a daemon runs on this database; on PostgreSQL, one for any of these cameras."""
        return ownership.Hold(self.database, cameras).is_taken()

    @patient
    def start(self, release: Release) -> int:
        """Begin to work under a release: register it, take back what a dead daemon held; return jobs taken back."""
        self._require_hold()
        with self.database.writing() as connection:
            self.release_id = releases.register(connection, release)
            for camera_id in self._cameras:
                cameras.register_camera(connection, camera_id)
                cameras.expect_fields(
                    connection, camera_id, self._expected_fields.get(camera_id, ())
                )
            taken = jobs.rescue(connection, expired_only=False, mine=self._mine)
            requeue.adopt(
                connection, self.release_id, self._mine, are_clear=self._identifiers.are_clear
            )
            self._note(connection, "application.started", {"version": release.program_version})
            started = queries.last_start(connection)
            cameras.started(connection, self._cameras, self.release_id, started)
        self._started = started  # now that it is written
        return taken

    @patient
    def stop(self) -> None:
        """Write down that the daemon ended as it should."""
        with self._at_work() as connection:
            self._note(connection, "application.stopped", {})

    def _note(self, connection: sa.Connection, event: str, detail: dict[str, Any]) -> None:
        audit.append(connection, audit.Entry(event, release_id=self.release_id, detail=detail))

    # -- the watcher's side

    @patient
    def register_camera(self, camera_id: str) -> None:
        """Make a camera known."""
        with self.database.writing() as connection:
            cameras.register_camera(connection, camera_id)

    @patient
    def registered_at_ns(self, camera_id: str) -> int:
        """Return when a camera became known, in nanoseconds since 1970."""
        with self.database.reading() as connection:
            return cameras.registered_at_ns(connection, camera_id)

    @patient
    def swept_before(self, camera_id: str) -> bool:
        """Tell whether a full sweep of this camera's inbox has ever finished."""
        with self.database.reading() as connection:
            return cameras.swept_before(connection, camera_id)

    @patient
    def remembered(
        self, camera_id: str, directories: Sequence[bytes] = (), *, below: bytes = b""
    ) -> dict[bytes, int]:
        """Count the files that were there at the last look, by directory: of some, or of all in and below one."""
        with self.database.reading() as connection:
            return sightings.remembered(connection, camera_id, directories, below)

    @patient
    def present(
        self, camera_id: str, directories: Sequence[bytes], names: Sequence[bytes] = ()
    ) -> dict[ListedFile, IgnoreReason | None]:
        """Return what files looked like that were there at the last look, and why they are ignored, if they are."""
        with self.database.reading() as connection:
            return sightings.present(connection, camera_id, directories, names)

    @patient
    def named(
        self, camera_id: str, directory: bytes, names: Sequence[bytes]
    ) -> dict[bytes, Sighting]:
        """Return what is remembered of some files of a directory by name, missing ones included."""
        with self.database.reading() as connection:
            return sightings.named(connection, camera_id, directory, names)

    @patient
    def present_names(self, camera_id: str, directory: bytes, after: bytes) -> list[bytes]:
        """Return the names of a directory's files that were there at the last look: some, in order, after a name."""
        with self.database.reading() as connection:
            return sightings.present_names(connection, camera_id, directory, after)

    @patient
    def same_files(self, found: Sequence[SettledFile]) -> list[bytes]:
        """Return the other paths of one camera at which the very files were that are found now."""
        with self.database.reading() as connection:
            return sightings.same_files(connection, found)

    @patient
    def admit(self, *found: SettledFile) -> list[Admission]:
        """Turn settled files, each path once, into captures with a job, once per digest and release."""
        told = self._paths.told((one.camera_id, one.path) for one in found)
        clear = self._identifiers.are_clear
        with self._at_work() as connection:
            admitted = admission.admit(connection, found, self.release_id, told, are_clear=clear)
        reused = [one.done for one in admitted if one.done is not None]
        if reused:
            import structlog  # only a daemon comes here, and has it

            for done in reused:
                structlog.get_logger().info("capture.reused", **done.fields())
        return [one.admission for one in admitted]

    @patient
    def ignore(self, camera_id: str, files: Mapping[bytes, tuple[Stat, IgnoreReason]]) -> None:
        """Remember files that are no captures, by path."""
        with self._at_work() as connection:
            cameras.ignore(connection, camera_id, files)

    @patient
    def mark_missing(self, camera_id: str, paths: Sequence[bytes]) -> None:
        """Note that files are gone; their captures and results stay."""
        with self._at_work() as connection:
            cameras.mark_missing(connection, camera_id, paths)

    @patient
    def sweep_finished(self, camera_id: str, report: SweepReport) -> None:
        """Keep the report of the last full sweep for `status`."""
        with self._at_work() as connection:
            cameras.sweep_finished(connection, camera_id, report)

    @patient
    def whereabouts(self, camera_id: str) -> InboxState:
        """Return where an inbox was when files were last seen in it, and whether it counts as away."""
        with self.database.reading() as connection:
            return incomplete_files.whereabouts(connection, camera_id)

    @patient
    def found_at(self, camera_id: str, at: str) -> None:
        """Note which directory the inbox is that files were seen in."""
        with self._at_work() as connection:
            incomplete_files.found_at(connection, camera_id, at)

    @patient
    def offline(self, camera_id: str, reason: OfflineReason | None) -> None:
        """Note that an inbox is away, or with None that it is there."""
        with self._at_work() as connection:
            incomplete_files.offline(connection, camera_id, reason)

    @patient
    def queue_unread(self, camera_id: str) -> int:
        """Queue again what failed because a file could not be read that is there; return how many."""
        with self._at_work() as connection:
            clear = self._identifiers.are_clear
            return incomplete_files.queue_unread(
                connection, camera_id, self.release_id, are_clear=clear
            )

    @patient
    def incomplete_files(self, camera_id: str) -> dict[bytes, IncompleteFile]:
        """Return the files of an inbox that are not complete, by path."""
        with self.database.reading() as connection:
            return incomplete_files.incomplete_files(connection, camera_id)

    @patient
    def keep_incomplete(self, camera_id: str, files: Mapping[bytes, IncompleteFile]) -> None:
        """Remember these files of an inbox as not complete, and no others."""
        with self._at_work() as connection:
            incomplete_files.keep_incomplete(connection, camera_id, files, self._paths.shown)

    # -- the worker's side

    def claim(self, limit: int) -> list[Claim]:
        """Take up to `limit` waiting jobs under a lease, an attempt counted for each."""
        return self._claim(limit, secrets.token_hex(8))

    @patient
    def _claim(self, limit: int, token: str) -> list[Claim]:
        self._require_hold()
        with self._at_work() as connection:
            claims = jobs.claim(connection, self.release_id, limit, token, self._served, self._mine)
        if claims:
            self._served = claims[-1].camera_id
        return claims

    def _require_hold(self) -> None:
        if not self._hold.is_alive():
            raise LedgerAway(
                "The session that holds the database for this daemon was ended.",
                hint="It is taken anew.",
            )

    @patient
    def record(self, findings: Sequence[Finding]) -> list[list[Recorded] | None]:
        """Write findings in one transaction; for each its captures, or None where the lease was lost."""
        again = self._paths.told_again(
            (place.camera_id, place.path) for one in findings for place in one.claim.places
        )
        with self._at_work() as connection:
            return results.finish(connection, findings, self.release_id, self._identifiers, again)

    @patient
    def postpone(self, held: Claim, reason: Reason, error: str, wait_seconds: float) -> bool:
        """Try a job again later; False when its lease was lost."""
        with self._at_work() as connection:
            return jobs.postpone(connection, held, reason, error, wait_seconds)

    @patient
    def fail(self, held: Claim, reason: Reason, error: str) -> list[Recorded] | None:
        """Give a job up; return its captures, None when its lease was lost."""
        with self._at_work() as connection:
            return jobs.fail(connection, held, reason, error)

    @patient
    def give_back(self, held: Sequence[Claim], wait_seconds: float = 0.0) -> int:
        """Return untouched jobs without counting an attempt, not to be claimed for a while; return how many."""
        with self._at_work() as connection:
            return jobs.give_back(connection, held, wait_seconds)

    @patient
    def is_away(self, camera_id: str) -> bool:
        """Tell whether an inbox counts as away, by what the watcher last found."""
        with self.database.reading() as connection:
            return incomplete_files.whereabouts(connection, camera_id).offline_reason is not None

    @patient
    def model_verified(self, proof: Proof) -> None:
        """Write down that the model answered known phantoms as it should."""
        with self._at_work() as connection:
            self._note(connection, "model.verified", proof._asdict())

    @patient
    def model_refused(self, problem: str) -> None:
        """Write down why the model is not to grade: the next start looks at it thoroughly."""
        with self._at_work() as connection:
            self._note(connection, "model.refused", {"problem": problem})

    @patient
    def last_canary(self) -> queries.Canary | None:
        """Return how the model last answered known phantoms, None when that was long ago."""
        with self.database.reading() as connection:
            return queries.last_canary(connection)

    @patient
    def is_in_doubt(self) -> bool:
        """Tell whether the model was refused last, or another one than this release passed last on this host."""
        with self.database.reading() as connection:
            newest = queries.last_canary(connection)
            here = queries.last_canary(
                connection, socket.gethostname()
            )  # others may share the database
        doubted = newest is not None and not newest.passed
        return doubted or (here is not None and not here.vouches_for(self.release_id))

    # -- documents that are sent

    @patient
    def due(self, receiver: str) -> deliveries.Due | None:
        """Return the next delivery to a receiver, None when none is due."""
        with self.database.reading() as connection:
            return deliveries.due(connection, receiver, self._mine)

    @patient
    def told(self, exam_id: int) -> deliveries.Told | None:
        """Return what documents about an exam are made of; None where it has no eye any more."""
        with self.database.reading() as connection:
            [found] = exams.read(connection, [exam_id])
            return deliveries.told(connection, found) if found.eyes else None

    @patient
    def delivered(self, sent: deliveries.Due, answer: str, count: int) -> bool:
        """Note what a receiver took; False when the exam has changed meanwhile, and is to be sent again."""
        with self._at_work() as connection:
            return deliveries.delivered(connection, sent, answer, count)

    @patient
    def undelivered(self, sent: deliveries.Due, answer: str, wait_seconds: float | None) -> None:
        """Try a delivery again later, or with None give it up."""
        with self._at_work() as connection:
            if wait_seconds is None:
                deliveries.failed(connection, sent, answer)
            else:
                deliveries.postponed(connection, sent, answer, wait_seconds)


def _taken() -> LedgerAway:
    return LedgerAway(
        "Another fundusd runs on this database.",
        hint="To stop it: systemctl stop fundusd, or see fundusd status.",
    )
