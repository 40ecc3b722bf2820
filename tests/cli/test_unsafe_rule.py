"""A14: what follows from a release with an unsafe rule says so, whatever the settings say now."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest
from tests import daemon_cases
from tests import ledger_cases as cases
from tests.cli.test_commands import RunCommand, fundusd, place

from fundusd.clinical import grading
from fundusd.clinical.grading import Rule
from fundusd.domain.clinical_terms import Eye, EyeSource, Grade
from fundusd.ledger import Ledger

__all__ = ["fundusd", "place"]  # fixtures

UNSAFE = Rule.parse("icdr>=2/sum>=0.9")
PDR_LOGITS = (0.0, 0.0, 0.0, 0.0, 2.2)  # 0.69 for grade 4, 0.85 for grades 2 to 4
WARNING = "By the rule icdr>=2/sum>=0.9, a photograph"


@pytest.fixture
def clinic(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site with a photograph of grade 4 that an unsafe rule made not referable."""
    with closing(Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=cases.SITE_KEY)) as ledger:
        ledger.start(replace(cases.release(), referable_rule=UNSAFE.name))
        ledger.register_camera(cases.CAMERA)
        content = replace(
            cases.CONTENT_OF_JPEG,
            patient_id="PATIENT-7",
            eye=Eye.RIGHT,
            eye_source=EyeSource.LATERALITY,
        )
        finding = cases.finding(cases.take(ledger, "7_R.jpg"), content)
        graded = grading.grade(PDR_LOGITS, UNSAFE)
        assert (graded.grade, graded.referable) == (4, "no")
        ledger.record([replace(finding, grading=graded)])
    return place


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "results",
        "show 1",
        "report exam 1",
        "report classes",
        "person PATIENT-7",
        "review record 1 R agree --reader lee",
    ],
)
def test_a14_every_print_says_that_the_rule_is_unsafe(
    fundusd: RunCommand, clinic: daemon_cases.Site, command: str
) -> None:
    ended = fundusd(*command.split(), "--config", clinic.path)
    assert ended.code == 0, ended.err
    assert WARNING in " ".join(ended.out.split())


@pytest.mark.parametrize("command", ["results --json", "results --csv", "person PATIENT-7 --json"])
def test_a14_rows_for_programs_come_with_the_warning_on_standard_error(
    fundusd: RunCommand, clinic: daemon_cases.Site, command: str
) -> None:
    ended = fundusd(*command.split(), "--config", clinic.path)
    assert ended.code == 0
    assert WARNING in ended.err
    assert WARNING not in ended.out


def test_a14_status_and_show_say_it_in_json(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    status = json.loads(fundusd("status", "--json", "--config", clinic.path).out)
    assert status["unsafe_rule"].startswith(WARNING)
    shown = json.loads(fundusd("show", "1", "--json", "--config", clinic.path).out)
    assert WARNING in shown["warning"]


@pytest.mark.parametrize(
    "verdict", ["agree", "override --grade 3 --reason other", "override --grade 4 --reason other"]
)
def test_a14_an_eye_in_which_a_reader_finds_grade_3_or_4_is_referable(
    fundusd: RunCommand, clinic: daemon_cases.Site, verdict: str
) -> None:
    words = f"review record 1 R {verdict} --reader lee --json".split()
    ended = fundusd(*words, "--config", clinic.path)
    assert json.loads(ended.out)["referable"] == "yes"


def test_a14_the_worklist_says_that_a_rule_is_unsafe(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    url = f"sqlite:///{clinic.folder}/fundusd.db"
    with closing(Ledger(url, site_key=cases.SITE_KEY)) as ledger:
        ledger.start(replace(cases.release(), referable_rule=UNSAFE.name))
        ledger.record([cases.finding(cases.take(ledger, "8_R.jpg", "8"))])
    assert WARNING in fundusd("worklist", "--config", clinic.path).out
    assert WARNING in fundusd("worklist", "--csv", "--config", clinic.path).err


def chosen(place: daemon_cases.Site, keys: str) -> None:
    place.path.write_text(place.path.read_text().replace("[model]\n", f"[model]\n{keys}\n"))


def test_a14_check_names_the_rule_and_says_that_it_is_unsafe(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    assert "ok    referral rule: icdr>=2/argmax" in fundusd("check", "--config", place.path).out
    chosen(place, 'referable = "icdr>=2/sum>=0.9"\naccept_unsafe_rule = true')
    shown = fundusd("check", "--config", place.path).out
    assert WARNING in shown
    assert 'A safe rule is "icdr>=2/sum>=0.9/or>=3".' in shown


def test_a14_classify_says_that_the_rule_is_unsafe(
    fundusd: RunCommand, place: daemon_cases.Site
) -> None:
    photograph = place.folder / "a_OD.jpg"
    photograph.write_bytes(daemon_cases.jpeg(Grade.NO_DR))
    chosen(place, 'referable = "icdr>=4/argmax"\naccept_unsafe_rule = true')
    shown = fundusd("classify", photograph, "--config", place.path).out
    assert "By the rule icdr>=4/argmax, a photograph" in shown
