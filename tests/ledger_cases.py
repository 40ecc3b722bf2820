"""Builders and look-ups for ledger tests."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from fundusd.clinical.grading import grade
from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.domain.decoding import Content, Decoded, MediaType
from fundusd.domain.files import IgnoreReason, SettledFile, Stat, SweepReport
from fundusd.domain.inference import Release
from fundusd.ledger import Finding, daemons
from fundusd.ledger.tables import audit_event, capture, job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.domain.clinical_terms import Reason
    from fundusd.domain.files import Admission
    from fundusd.ledger import Claim, Ledger

CAMERA = "cam"
SITE_KEY = b"k" * 32
LOGITS = (0.5, -1.25, 3.0, 0.0, -2.5)  # moderate
CONTENT = Content(
    MediaType.DICOM,
    2000,
    1500,
    Eye.LEFT,
    EyeSource.IMAGE_LATERALITY,
    "PATIENT-7",
    "clinic",
    "1.2.3",
    "1.2.3.4",
)
CONTENT_OF_JPEG = Content(MediaType.JPEG, 2000, 1500)
# measures of a right eye: the disc is on the right, and the macula below it and to its left
RIGHT_EYE = {
    "optic_disc_x": 0.55,
    "optic_disc_y": -0.1,
    "optic_disc_certainty": 0.6,
    "macula_x": -0.1,
    "macula_y": 0.05,
    "macula_contrast": 0.2,
}
SWEEP = SweepReport(
    files=5,
    directories=2,
    ignored={IgnoreReason.SIDECAR: 2},
    waiting=1,
    seconds=0.25,
    hints_healthy=True,
    mode="native",
    lease_probe="writer-lease",
)


def release(number: int = 1) -> Release:
    return Release(
        model=f"fundusd/phantom-{number}",
        revision="0" * 40,
        weights_digest="w",
        tokenizer_digest="t",
        files={"model.safetensors": "w"},
        preprocessing="pad-square/bilinear448",
        prompt_set="icdr-descriptive",
        prompt_digest="p",
        head="zero-shot",
        referable_rule="icdr>=2/argmax",
        quality_gate="1",
        dtype="float32",
        runtime="torch 2.13.0 on cpu",
        program_version="0.1.0",
    )


def digest_of(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def found(name: str | bytes = "a.jpg", word: str = "A", **changes: Any) -> SettledFile:
    """Return a settled file with bytes made from `word`; `changes` go to Stat or SettledFile."""
    path = name.encode() if isinstance(name, str) else name
    stat = Stat(
        size=10, mtime_ns=1_000, ctime_ns=2_000, inode=int(digest_of(path.hex() + word)[:8], 16)
    )
    stat = stat._replace(**{key: changes.pop(key) for key in Stat._fields if key in changes})
    made = SettledFile(CAMERA, path, stat, digest_of(word), hinted=True, backlog=False)
    return replace(made, **changes)


def finding(
    claim: Claim, content: Content | None = CONTENT, logits: Sequence[float] = LOGITS
) -> Finding:
    return Finding(claim, Decoded(content, None, None, 12.5), grade(logits), 40.0, 1)


def refusal(claim: Claim, reason: Reason, content: Content | None = CONTENT) -> Finding:
    return Finding(claim, Decoded(content, reason, None, 12.5), None, None, 1)


def take(ledger: Ledger, name: str | bytes = "a.jpg", word: str = "A", **changes: Any) -> Claim:
    """Admit one capture and claim its job."""
    ledger.admit(found(name, word, **changes))
    (claim,) = ledger.claim(1)
    return claim


def classify(
    ledger: Ledger, name: str | bytes = "a.jpg", word: str = "A", **changes: Any
) -> Admission:
    """Admit one capture and record a grading for it."""
    (admission,) = ledger.admit(found(name, word, **changes))
    ledger.record([finding(claim) for claim in ledger.claim(1)])
    return admission


def execute(ledger: Ledger, statement: str, **values: Any) -> None:
    """Do to the database what fundusd never would."""
    with ledger.database.engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def rows(ledger: Ledger, table: sa.Table) -> list[dict[str, Any]]:
    with ledger.database.reading() as connection:
        order = next(iter(table.primary_key.columns))
        return [
            dict(row) for row in connection.execute(sa.select(table).order_by(order)).mappings()
        ]


def jobs(ledger: Ledger) -> list[dict[str, Any]]:
    return rows(ledger, job)


def captures(ledger: Ledger) -> list[dict[str, Any]]:
    return rows(ledger, capture)


def the_job(ledger: Ledger) -> dict[str, Any]:
    (row,) = jobs(ledger)
    return row


def events(ledger: Ledger, *, after: int = 0) -> list[str]:
    return [row["event"] for row in rows(ledger, audit_event) if row["seq"] > after]


def last_canary(ledger: Ledger) -> daemons.Canary | None:
    with ledger.database.reading() as connection:
        return daemons.last_canary(connection)


def last_seq(ledger: Ledger) -> int:
    return int(rows(ledger, audit_event)[-1]["seq"])


def details(ledger: Ledger, event: str) -> list[dict[str, Any]]:
    return [
        orjson.loads(row["detail"]) for row in rows(ledger, audit_event) if row["event"] == event
    ]


def expire_leases(ledger: Ledger) -> None:
    execute(ledger, "UPDATE job SET lease_until = lease_until - 100000 WHERE state = 'running'")


def make_available(ledger: Ledger) -> None:
    execute(ledger, "UPDATE job SET available_at = available_at - 100000 WHERE state = 'queued'")
