"""Histories of an exam, some of whose deliveries are lost: what each receiver is left with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.outbox import document_cases as cases

from fundusd.domain.clinical_terms import Eye, Grade, Referable
from fundusd.outbox import document_ids, fhir, sr_versions
from fundusd.outbox.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.clinical.exam import Exam
    from fundusd.clinical.eye_result import EyeResult
    from fundusd.domain.delivery import SentDocument

NEGATIVE = replace(cases.AGREES, grade=Grade.NO_DR, referable=Referable.NO)
FIRST, SECOND = cases.shot(digest="1" * 64), cases.shot(digest="2" * 64, stem="second")
STATES: dict[str, Exam] = {
    "unread": cases.exam(FIRST),
    "read": cases.exam(FIRST, reading=cases.AGREES),
    "read otherwise": cases.exam(FIRST, reading=NEGATIVE),
    "new photograph": cases.exam(FIRST, SECOND),
    "new photograph read": cases.exam(FIRST, SECOND, reading=NEGATIVE),
    "other photograph read": cases.exam(SECOND, reading=NEGATIVE),
    "unknown eye": cases.exam(replace(FIRST, eye=Eye.UNKNOWN)),
    "unknown eye read": cases.exam(replace(FIRST, eye=Eye.UNKNOWN), reading=cases.AGREES),
    "no eyes": cases.exam(),
}
ANSWERS = ("kept", "answer lost", "not sent")
HISTORIES = st.lists(
    st.tuples(st.sampled_from([*STATES]), st.sampled_from(ANSWERS)), min_size=1, max_size=7
)
SETTLED = {"final", "amended", "corrected"}


class Memory:
    """What is remembered about the documents of a receiver, as the table does it."""

    def __init__(self) -> None:
        self._rows: dict[str, SentDocument] = {}

    @property
    def sent(self) -> tuple[SentDocument, ...]:
        return tuple(self._rows.values())

    def begin(self, *records: SentDocument) -> None:
        for record in records:
            before = self._rows.pop(record.identifier, record)
            is_same = (before.content, before.status) == (record.content, record.status)
            self._rows[record.identifier] = replace(
                record,
                is_accepted=is_same and before.is_accepted,
                has_been_final=before.has_been_final or record.status in SETTLED,
            )

    def confirm(self, *records: SentDocument) -> None:
        for record in records:
            stored = self._rows.get(record.identifier, record)
            self._rows[record.identifier] = replace(stored, is_accepted=True)


@settings(max_examples=200, deadline=None)
@given(HISTORIES)
def test_a_server_never_gets_preliminary_after_final_nor_keeps_what_is_no_more(
    history: list[tuple[str, str]],
) -> None:
    memory = Memory()
    server: dict[str, Any] = {}
    ever_final: set[str] = set()
    for state, answer in [*history, (history[-1][0], "kept")]:
        content = cases.content(STATES[state], sent=memory.sent)
        document = fhir.bundle(content, Sender())
        assert_only_what_was_final_is_corrected(document.sent, ever_final)
        memory.begin(*document.sent)
        if answer == "not sent":
            continue
        for entry in json.loads(document.data)["entry"]:
            url, resource = entry["request"]["url"], entry["resource"]
            before = server.get(url, {}).get("status")
            if before in SETTLED:
                assert resource["status"] != "preliminary"
            server[url] = resource
        if answer == "kept":
            memory.confirm(*document.sent)

    eyes = STATES[history[-1][0]].eyes
    living = [kept for kept in server.values() if of_a_living_eye(kept)]
    if not eyes:
        assert living == []
    assert len([kept for kept in living if is_by_model(kept)]) == len(eyes)
    grades = [kept for kept in living if not is_by_model(kept) and "valueCodeableConcept" in kept]
    assert len(grades) == len([eye for eye in eyes if eye.is_read])


def assert_only_what_was_final_is_corrected(
    sent: Iterable[SentDocument], ever_final: set[str]
) -> None:
    """C12: also after a withdrawal, nothing is corrected that nobody had settled before."""
    for record in sent:
        assert record.status not in {"amended", "corrected"} or record.identifier in ever_final
        if record.status in SETTLED:
            ever_final.add(record.identifier)


def of_a_living_eye(resource: dict[str, Any]) -> bool:
    is_observation = resource["resourceType"] == "Observation"
    return bool(is_observation and resource["status"] != "entered-in-error")


def is_by_model(observation: dict[str, Any]) -> bool:
    return bool(observation["code"]["coding"][0]["code"] == "model-severity")


@settings(max_examples=300, deadline=None)
@given(HISTORIES)
def test_a_photograph_has_one_valid_report(
    history: list[tuple[str, str]],
) -> None:
    memory = Memory()
    archive: dict[str, tuple[SentDocument, list[str]]] = {}
    for state, answer in [*history, (history[-1][0], "kept")]:
        for eye in STATES[state].eyes:
            made, replaced = version(state, eye, memory)
            assert_never_preliminary_after_final(made, memory)
            memory.begin(made)
            if answer == "not sent":
                continue
            assert archive.setdefault(made.identifier, (made, replaced)) == (made, replaced)
            if answer == "kept":
                memory.confirm(made)
            assert version(state, eye, memory) == (made, replaced)

    if STATES[history[-1][0]].eyes and "answer lost" not in {answer for _, answer in history}:
        all_replaced = {uid for _, replaced in archive.values() for uid in replaced}
        assert all_replaced < archive.keys()
        valid = archive[memory.sent[-1].identifier][0]
        assert valid.identifier not in all_replaced
        for uid in archive.keys() - all_replaced - {valid.identifier}:
            other = archive[uid][0]
            assert other.eye is not valid.eye
            assert set(other.photographs).isdisjoint(valid.photographs)


def version(state: str, eye: EyeResult, memory: Memory) -> tuple[SentDocument, list[str]]:
    """Return what is remembered about the report on an eye, and the UIDs that it replaces."""
    content = cases.content(STATES[state], sent=memory.sent)
    verdict = document_ids.verdict_digest(content.exam, eye, cases.RELEASES[1])
    made = sr_versions.record(content, eye, verdict, cases.STUDY, "release")
    replaced = sr_versions.replaced(memory.sent, eye, verdict)
    return made, [before.identifier for before in replaced]


def assert_never_preliminary_after_final(made: SentDocument, memory: Memory) -> None:
    earlier = [before.status for before in memory.sent if before.eye is made.eye]
    if SETTLED & set(earlier):
        assert made.status in SETTLED
