"""Random days in a clinic: whatever happens, nobody is negative whom nobody could know to be so.

After each step, the stored results are compared with the files of each exam by rules that are
simpler and stricter than the program's, and every person must be on a list or have a result.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import sqlalchemy as sa
from tests import ledger_cases as cases
from tests.reading_cases import BY, MODERATE, NO_DR, read

from fundusd.domain.clinical_terms import Eye, EyeSource, Grade, Reason, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import AbsenceReason, ExclusionReason, FollowUpEnd, ReadingPurpose
from fundusd.ledger import Ledger, exams
from fundusd.ledger.tables import capture, exam, eye_result, follow_up, job, result

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENTS, FIELDS = ("P1", "P2"), (None, "macula", "disc")
REASONS = (Reason.BLUR, Reason.NOT_RETINA, Reason.REDFREE_OR_FA, Reason.MONTAGE)
DOUBTS = {"eye_contradicted", "patient_conflict", "digest_of_two_patients", "not_a_patient"}


class Clinic:
    """A ledger to which random things happen."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.random = Random(seed)
        self.count = 0
        self.steps: list[Callable[[], None]] = [
            *[self.photograph] * 5,
            *[self.review] * 3,
            *(self.copy, self.overwrite, self.fail, self.retry),
            *(self.correct, self.exclude, self.include, self.belongs),
            *(self.absent, self.join, self.part, self.close),
        ]

    def step(self) -> str:
        chosen = self.random.choice(self.steps)
        with suppress(RequestError):  # a refused request changes nothing
            chosen()
        return chosen.__name__

    def photograph(self, name: str = "", word: str = "") -> None:
        self.count += 1
        chance = self.random
        suffix = chance.choice([".jpg", ".png"])
        name = name or f"{chance.randint(1, 8)}{suffix}"
        claim = cases.take(self.ledger, name, word or f"word {self.count}")
        eye = chance.choice([Eye.RIGHT, Eye.RIGHT, Eye.LEFT, Eye.LEFT, Eye.UNKNOWN])
        content = replace(
            cases.CONTENT_OF_JPEG,
            patient_id=chance.choice(PATIENTS),
            eye=eye,
            eye_source=EyeSource.NONE if eye is Eye.UNKNOWN else EyeSource.LATERALITY,
            field=chance.choice(FIELDS),
            warnings=(chance.choice(sorted(DOUBTS)),) if chance.random() < 0.08 else (),
        )
        if chance.random() < 0.65:
            logits = MODERATE if chance.random() < 0.1 else NO_DR
            self.ledger.record([cases.finding(claim, content, logits)])
        elif chance.random() < 0.5:
            self.ledger.record([cases.refusal(claim, chance.choice(REASONS), content)])
        else:
            self.ledger.fail(claim, Reason.TRUNCATED, "cut short", content)

    def overwrite(self) -> None:
        self.photograph(self.any(capture)["path_text"])

    def copy(self) -> None:
        """Export the bytes of a photograph again, perhaps at the path of another one."""
        digest = self.any(capture)["digest"]
        file = replace(cases.found(f"{self.random.randint(1, 8)}.jpg"), digest=digest)
        self.ledger.admit(file)

    def fail(self) -> None:
        self.count += 1
        claim = cases.take(self.ledger, f"{self.random.randint(1, 8)}.jpg", f"bad {self.count}")
        self.ledger.fail(claim, Reason.DECODE_ERROR, "damaged")

    def retry(self) -> None:
        self.ledger.retry_failed()
        for claim in self.ledger.claim(16):
            self.ledger.fail(claim, Reason.DECODE_ERROR, "still damaged")

    def review(self) -> None:
        chance = self.random
        row = self.any(eye_result)
        judged = self.ledger.exam(row["exam_id"])
        assert judged is not None
        verdict = chance.choice(list(ReviewVerdict))
        override = verdict is ReviewVerdict.OVERRIDE
        read(
            self.ledger,
            judged,
            verdict,
            Eye(row["eye"]),
            by=chance.choice("abc"),
            grade=chance.choice([Grade.NO_DR, Grade.NO_DR, Grade.PDR]) if override else None,
            purpose=chance.choice(list(ReadingPurpose)),
        )

    def correct(self) -> None:
        self.ledger.correct_eye(self.any(capture)["id"], self.random.choice(list(Eye)), BY)

    def exclude(self) -> None:
        self.ledger.exclude(self.any(capture)["id"], ExclusionReason.OTHER, BY)

    def include(self) -> None:
        self.ledger.include(self.any(capture)["id"], BY)

    def belongs(self) -> None:
        self.ledger.belongs(self.any(capture)["id"], BY)

    def absent(self) -> None:
        if self.random.random() < 0.3:
            eye = self.random.choice([Eye.RIGHT, Eye.LEFT])
            self.ledger.eye_absent(self.any(exam)["id"], eye, AbsenceReason.PROSTHESIS, BY)

    def join(self) -> None:
        self.ledger.join_exams(self.any(exam)["id"], self.any(exam)["id"], BY)

    def part(self) -> None:
        self.ledger.part_exam(self.any(capture)["id"], BY)

    def close(self) -> None:
        how = self.random.choice([FollowUpEnd.DONE, FollowUpEnd.DECLINED])
        self.ledger.close_follow_up(self.any(follow_up)["id"], how, "a")

    def any(self, table: sa.Table) -> dict[str, Any]:
        rows = cases.rows(self.ledger, table)
        if not rows:
            raise RequestError
        return self.random.choice(rows)


def problems(ledger: Ledger) -> list[str]:
    """Return what is wrong with the stored results."""
    found: list[str] = []
    with ledger.database.reading() as connection:
        numbers = list(connection.scalars(sa.select(exam.c.id)))
        found += [f"exam {number} is outdated" for number in exams.outdated(connection, numbers)]
        files = (
            sa.select(capture, job.c.state, result.c.outcome.label("of_result"), result.c.action)
            .join(job, job.c.id == capture.c.job_id)
            .outerjoin(
                result,
                sa.and_(result.c.digest == job.c.digest, result.c.release_id == job.c.release_id),
            )
            .where(capture.c.superseded.is_(False), capture.c.excluded.is_(None))
        )
        found_files = connection.execute(files).mappings().all()
        open_eyes = set(
            connection.execute(
                sa.select(follow_up.c.exam_id).where(follow_up.c.closed_at.is_(None))
            )
        )
    by_exam: dict[int, list[Any]] = {}
    for file in found_files:
        if file["exam_id"] is None and file["state"] in {"queued", "running"}:
            continue  # it waits for its first result
        if file["exam_id"] is None:
            found.append(f"capture {file['id']} belongs to no exam")
        else:
            by_exam.setdefault(file["exam_id"], []).append(file)
    eyes: dict[int, list[Any]] = {}
    for row in cases.rows(ledger, eye_result):
        eyes.setdefault(row["exam_id"], []).append(row)
    for row in cases.rows(ledger, exam):
        number = row["id"]
        mine, of_exam = by_exam.get(number, []), eyes.get(number, [])
        if row["final_referable"] == "no":
            found += [f"exam {number} is no: {why}" for why in _doubts(mine, of_exam)]
        is_listed = any(eye["urgency"] for eye in of_exam) or (number,) in open_eyes
        is_decided = row["final_referable"] != "indeterminate"
        is_told = is_decided or row["missing_fields"] or not of_exam
        if mine and not (is_listed or is_told):
            found.append(f"exam {number} is on no list")
    return found


def _doubts(files: list[Any], eyes: list[Any]) -> list[str]:
    """Return why a person may not be negative, unless a reader has settled the eye since."""
    settled = {eye["eye"] for eye in eyes if eye["reading_state"] == "read"}
    good: set[tuple[str, str]] = set()
    for file in files:
        if file["of_result"] == "graded" and file["field"]:
            good.add((file["corrected_eye"] or file["eye"], file["field"]))
    stems = {_stem(file) for file in files if file["of_result"] == "graded"}
    doubts = []
    for file in files:
        eye = file["corrected_eye"] or file["eye"]
        warnings = set(orjson.loads(file["warnings"] or "[]")) & DOUBTS
        if file["corrected_eye"]:
            warnings.discard("eye_contradicted")
        if warnings and not file["belongs"] and file["action"] != "none" and _counts(eyes, file):
            doubts.append(f"capture {file['id']} has {warnings}")
        if eye in settled or file["of_result"] == "graded" or file["action"] == "none":
            continue
        if (eye, file["field"]) not in good and _stem(file) not in stems and _counts(eyes, file):
            doubts.append(f"capture {file['id']} is {file['of_result']}, {file['state']}")
    return doubts


def _stem(file: Any) -> str:
    return str(file["path_text"]).rpartition(".")[0]


def _counts(eyes: list[Any], file: Any) -> bool:
    """Return whether a file belongs to an eye that is not said to be absent."""
    return any(
        eye["eye"] == (file["corrected_eye"] or file["eye"]) and eye["final_referable"] == "no"
        for eye in eyes
    )


@pytest.mark.parametrize("seed", range(16))
def test_nobody_is_negative_whom_nobody_could_know_to_be_so(sqlite_url: str, seed: int) -> None:
    with Working(sqlite_url) as ledger:
        clinic = Clinic(ledger, seed)
        history = []
        for _ in range(40):
            history.append(clinic.step())
            assert problems(ledger) == [], history
        assert ledger.verify().broken_seq is None


class Working:
    """A ledger at work, as a context."""

    def __init__(self, url: str) -> None:
        self.ledger = Ledger(url, site_key=cases.SITE_KEY)

    def __enter__(self) -> Ledger:
        self.ledger.start(cases.release())
        self.ledger.register_camera(cases.CAMERA)
        return self.ledger

    def __exit__(self, *_: object) -> None:
        self.ledger.close()
