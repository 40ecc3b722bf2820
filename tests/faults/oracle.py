"""What must be true after every scenario, seen from outside: files, tables, /proc."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from tests.faults.camera import Camera, digest, look

from fundusd.app import settings_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.daemon_cases import Daemon, Site

    Rows = Sequence[Mapping[str, Any]]

FINISHED = {"capture.graded", "capture.ungradable", "capture.refused", "capture.failed"}
_UNFINISHED = (
    "SELECT digest, state FROM job WHERE state IN ('queued', 'running') OR token IS NOT NULL"
)
MOST_DESCRIPTORS = 80
MOST_RESIDENT_MB = 1500  # the phantom model, its libraries and the pixels from the decoders


@dataclass(frozen=True)
class Usage:
    """What a process uses: open descriptors, resident memory, threads."""

    descriptors: int
    resident_mb: float
    threads: int


def usage(process_id: int) -> Usage:
    """Return what a process uses, according to the kernel."""
    place = Path(f"/proc/{process_id}")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return Usage(
        len(list((place / "fd").iterdir())),
        int(status["VmRSS"].split()[0]) / 1024,
        int(status["Threads"]),
    )


@contextmanager
def _connected(place: Site) -> Iterator[sa.Connection]:
    """Connect to the database without the ledger's code."""
    engine = sa.create_engine(settings_file.load(place.path).store.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def ask(place: Site, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    with _connected(place) as connection:
        return [dict(row) for row in connection.execute(sa.text(query)).mappings()]


def at_rest(place: Site) -> bool:
    """Return whether nothing is left to do, not even for captures whose files are gone."""
    if ask(place, _UNFINISHED):
        return False
    return not any(
        name.startswith(("waiting", "unaccounted", "incomplete"))
        for name in place.reconciled().counts
    )


def require(place: Site, camera: Camera, *, attempts: bool = False) -> Counter[str]:
    """Compare the ledger with what the camera wrote; return the counts of `fundusd reconcile`.

    `attempts` says that no process died, so that each capture took one attempt. A capture that is
    renamed may take more, because a job can look for it under its former name.
    """
    problems = [*problems_of_files(camera), *problems_of_ledger(place, camera)]
    if attempts:
        problems += _repeated(place, camera)
    assert not problems, "\n".join(problems[:20])
    return place.reconciled().counts


def require_bounded(daemon: Daemon) -> Usage:
    """Require that a running daemon stays within its bounds; return what it uses."""
    used = usage(daemon.process.pid)
    assert used.descriptors <= MOST_DESCRIPTORS, used
    assert used.resident_mb <= MOST_RESIDENT_MB, used
    return used


def problems_of_files(camera: Camera) -> Iterator[str]:
    """Report files that differ, in content or stat, from what the camera left."""
    there = {
        str(path.relative_to(camera.inbox)) for path in camera.inbox.rglob("*") if path.is_file()
    }
    if there != camera.left.keys():
        yield f"files came or went: {there ^ camera.left.keys()}"
    for name, left in camera.left.items():
        if name in there and look(camera.inbox / name) != left:
            yield f"{name} was {left} and is {look(camera.inbox / name)}"
    for name, expected in camera.captures.items():
        if name in there and digest((camera.inbox / name).read_bytes()) != expected:
            yield f"{name} holds other bytes"


def problems_of_ledger(place: Site, camera: Camera) -> Iterator[str]:
    """Report what is wrong in the ledger."""
    rows = ask(place, "SELECT * FROM v_result ORDER BY path, revision")
    yield from _wrong_currents(rows, camera)
    yield from _wrong_revisions(rows, camera)
    yield from _doubled(place)
    yield from _unaudited(place)
    yield from _unreconciled(place, camera)


def _wrong_currents(rows: Rows, camera: Camera) -> Iterator[str]:
    """Report paths whose last content does not have exactly one current result.

    Broken bytes must have a failure.
    """
    current = defaultdict(list)
    for row in rows:
        if not row["superseded"]:
            current[row["path"]].append(row)
    for name, expected in camera.captures.items():
        results = current.get(name, [])
        if [row["digest"] for row in results] != [expected]:
            yield f"{name} should be {expected[:8]} and is {[row['digest'][:8] for row in results]}"
            continue
        result = results[0]
        outcome = result["outcome"] if result["state"] == "succeeded" else result["state"]
        if (outcome == "failed") != (expected in camera.broken) or outcome not in {
            "graded",
            "ungradable",
            "failed",
        }:
            yield f"{name} is {outcome}: {result['error'] or result['reason']}"


def _wrong_revisions(rows: Rows, camera: Camera) -> Iterator[str]:
    """Report rows of incomplete versions, and old revisions that are not superseded."""
    by_path = defaultdict(list)
    for row in rows:
        by_path[row["path"]].append(row)
        if row["digest"] not in camera.complete.get(row["path"], ()):
            digest, revision = row["digest"][:8], row["revision"]
            yield f"{row['path']} never was {digest}, which is revision {revision}"
    for name, revisions in by_path.items():
        if [row["revision"] for row in revisions] != list(range(1, len(revisions) + 1)):
            yield f"{name} has the revisions {[row['revision'] for row in revisions]}"
        if not all(row["superseded"] for row in revisions[:-1]):
            yield f"{name} has an older revision that is not flagged"


def _doubled(place: Site) -> Iterator[str]:
    for table in ("job", "result"):
        groups = "GROUP BY digest, release_id HAVING count(*) > 1"
        twice = f"SELECT digest FROM {table} {groups}"  # noqa: S608  a constant
        yield from (f"two of {table} for {row['digest'][:8]}" for row in ask(place, twice))
    yield from (f"{row['digest'][:8]} is still {row['state']}" for row in ask(place, _UNFINISHED))


def _unaudited(place: Site) -> Iterator[str]:
    """Report a broken chain, and captures not admitted once, claimed and finished once."""
    verdict = place.verdict()
    if verdict.broken_seq is not None:
        yield f"audit event {verdict.broken_seq}: {verdict.problem}"
    events = ask(
        place, "SELECT event, entity_kind, entity_id, detail FROM audit_event ORDER BY seq"
    )
    counts = Counter((event["event"], event["entity_id"]) for event in events)
    for capture in ask(place, "SELECT id, job_id, path_text FROM capture"):
        ends = sum(counts[end, capture["id"]] for end in FINISHED)
        # its file came back after the job had failed
        again = counts["job.retried", capture["job_id"]]
        admitted = counts["capture.admitted", capture["id"]]
        if admitted != 1 or not 1 <= ends <= 1 + again:
            yield f"capture {capture['id']} was admitted {admitted}, ended {ends} times"
    for job in ask(place, "SELECT id, attempts FROM job"):
        counted = counts["job.claimed", job["id"]] - counts["job.given_back", job["id"]]
        is_wrong = (
            counted < job["attempts"]
            if counts["job.retried", job["id"]]
            else counted != job["attempts"]
        )
        if counts["job.queued", job["id"]] != 1 or is_wrong or counted < 1:
            yield f"job {job['id']}: {job['attempts']} attempts, {counted} in the audit trail"


def _unreconciled(place: Site, camera: Camera) -> Iterator[str]:
    counts = place.reconciled().counts
    bad = sum(digest in camera.broken for digest in camera.captures.values())
    good = len(camera.captures) - bad
    ignored = sum(number for name, number in counts.items() if name.startswith("ignored"))
    failed = sum(number for name, number in counts.items() if name.startswith("failed"))
    done = sum(
        number for name, number in counts.items() if name.startswith(("graded", "ungradable"))
    )
    if (done, failed, ignored) != (good, bad, len(camera.sidecars & camera.left.keys())):
        yield f"reconcile disagrees: {dict(counts)}"


def _repeated(place: Site, camera: Camera) -> Iterator[str]:
    for row in ask(place, "SELECT path, attempts FROM v_result WHERE outcome = 'graded'"):
        if row["attempts"] != 1 and row["path"] not in camera.renamed:
            yield f"{row['path']} took {row['attempts']} attempts"
