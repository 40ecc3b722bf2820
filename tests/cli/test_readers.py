"""What readers do by commands: who may do what, corrections, follow-ups, the lists."""

from __future__ import annotations

import getpass
import json
import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.cli.test_commands import RunCommand, fundusd, place
from tests.cli.test_tables import on_terminal
from tests.reading_cases import MODERATE, PDR, photograph

from fundusd.cli import worklist
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, Reason
from fundusd.domain.readings import ReaderPermission
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from tests import daemon_cases

__all__ = ["fundusd", "place"]  # fixtures

AGREE = "review record 1 R agree"


def ledger_of(place: daemon_cases.Site) -> Ledger:
    return Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=cases.SITE_KEY)


@pytest.fixture
def clinic(place: daemon_cases.Site) -> daemon_cases.Site:
    """Set up a site with a visit of two eyes and one photograph of which the eye is not known."""
    with closing(ledger_of(place)) as ledger:
        ledger.start(cases.release())
        ledger.register_camera(cases.CAMERA)
        photograph(ledger, "1.jpg", Eye.RIGHT, MODERATE)
        photograph(ledger, "2.jpg", Eye.LEFT)
        photograph(ledger, "3.jpg", Eye.UNKNOWN)
    return place


def answer(fundusd: RunCommand, clinic: daemon_cases.Site, words: str) -> Any:
    ended = fundusd(*words.split(), "--json", "--config", clinic.path)
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def ask(fundusd: RunCommand, clinic: daemon_cases.Site, words: str) -> str:
    ended = fundusd(*words.split(), "--config", clinic.path)
    assert ended.code == 0, ended.err
    return ended.out


# -- who may do what


def test_a12_without_readers_in_the_settings_a_reading_is_refused_with_the_lines_to_add(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    text = clinic.path.read_text()
    clinic.path.write_text(text[: text.index("[[reader]]")])
    for words in ("review record 1 R agree", "correct eye 3 L", "follow-up close 1 --how done"):
        ended = fundusd(*words.split(), "--config", clinic.path)
        assert (ended.code, "The settings name no reader" in ended.err) == (2, True)
        for part in ("[[reader]]", f'id = "{getpass.getuser()}"', "role =", "may ="):
            assert part in ended.err


@pytest.mark.parametrize(
    ("words", "permission"),
    [
        ("review record 1 R agree --reader lee --purpose arbitration", "arbitration"),
        ("review record 1 R agree --reader lee --purpose quality_assurance", "quality_assurance"),
        ("review record 1 R agree --reader okafor --purpose second", "second"),
        ("correct eye 3 L --reader lee", "correct"),
        ("follow-up close 1 --how done --reader lee", "correct"),
    ],
)
def test_a12_a_reader_does_only_what_the_settings_allow(
    fundusd: RunCommand, clinic: daemon_cases.Site, words: str, permission: str
) -> None:
    ended = fundusd(*words.split(), "--config", clinic.path)
    assert ended.code == 2
    assert f'"{ReaderPermission(permission)}" is missing' in ended.err


def test_a12_a_reader_who_is_not_in_the_settings_is_refused(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    ended = fundusd(*AGREE.split(), "--reader", "smith", "--config", clinic.path)
    assert (ended.code, "no reader smith" in ended.err, "lee, okafor" in ended.err) == (
        2,
        True,
        True,
    )
    ended = fundusd(*AGREE.split(), "--config", clinic.path)
    assert (ended.code, "login name" in ended.err, "lee, okafor" in ended.err) == (2, True, True)


def test_a12_the_reader_is_the_login_name_if_the_settings_have_it(
    fundusd: RunCommand, clinic: daemon_cases.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "lee")
    ask(fundusd, clinic, "review record 1 R agree")
    [row] = answer(fundusd, clinic, "person PATIENT-7")["reviews"]
    assert (row["reviewer"], row["role"], row["purpose"]) == ("lee", "grader", "routine")


# -- readings


def test_a13_a_reading_takes_its_findings(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    words = "--grade 4 --reason other --lesion amd --maculopathy M1 --photocoagulation P1"
    command = f"review record 1 R override --reader lee --stable-treated {words}"
    assert answer(fundusd, clinic, command)["referable"] == "yes"
    out = ask(fundusd, clinic, "person PATIENT-7")
    assert "amd, M1, P1, R3S" in out


def test_a12_the_list_for_arbitration(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    ask(fundusd, clinic, "review record 1 R agree --reader lee --purpose second")
    ask(fundusd, clinic, "review record 1 R override --grade 0 --reason other --reader okafor")
    [row] = answer(fundusd, clinic, "worklist --for arbitration")
    assert (row["eye"], row["final_referable"]) == ("R", "yes")
    assert [row["eye"] for row in answer(fundusd, clinic, "review list --for undecided")] == ["U"]
    assert answer(fundusd, clinic, "worklist --for confirmation") == []


# -- follow-ups


def test_a10_follow_ups_are_listed_and_closed(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    assert "No follow-up is open." in ask(fundusd, clinic, "follow-up list")
    ask(fundusd, clinic, "review record 1 R ungradable --follow-up referral --reader lee")
    out = ask(fundusd, clinic, "follow-up list")
    for part in ("referral", "PATIENT-7", "lee", "open", SAFETY_WORDS):
        assert part in out
    assert "follow_up_id" in ask(fundusd, clinic, "follow-up list --csv")
    assert "referral" in ask(fundusd, clinic, "person PATIENT-7")
    out = ask(fundusd, clinic, "follow-up close 1 --how not_possible --reader okafor")
    closed, after, *_ = out.splitlines()
    assert closed == "Follow-up 1 of exam 1 is closed: not possible."
    assert after.startswith("Exam 1 (patient PATIENT-7, ")
    assert "): Undecided" in after
    assert "Right eye (OD): on the worklist again, until a reader records what was found." in out
    assert answer(fundusd, clinic, "follow-up list") == []
    [row] = answer(fundusd, clinic, "follow-up list --all")
    assert (row["state"], row["closed_by"]) == ("closed", "okafor")
    for words in ("close 1 --how done", "close 9 --how done", "close 1 --how read"):
        ended = fundusd(*f"follow-up {words} --reader okafor".split(), "--config", clinic.path)
        assert (ended.code, ended.out) == (2, "")


# -- corrections


def test_a11_corrections_are_made_and_shown(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    after = answer(fundusd, clinic, "correct eye 3 l --reader okafor")
    assert (set(after["eyes"]), after["referable"]) == ({"R", "L"}, "yes")
    out = ask(fundusd, clinic, "correct exclude 3 --reason test --reader okafor")
    assert out.startswith("Exam 1 (patient PATIENT-7, ")
    assert SAFETY_WORDS in out
    ask(fundusd, clinic, "correct include 3 --reader okafor")
    ended = fundusd(*["correct", "belongs", "3", "--reader", "okafor", "--config"], clinic.path)
    assert (ended.code, "Nothing is in doubt" in ended.err) == (2, True)
    parted = answer(fundusd, clinic, "correct part 3 --reader okafor")["exam_id"]
    assert answer(fundusd, clinic, f"correct join {parted} 1 --reader okafor")["exam_id"] == 1
    words = "correct absent 1 L --reason no_view --until 2199-12-31 --reader okafor"
    assert answer(fundusd, clinic, words)["absent"] == ["L"]
    assert answer(fundusd, clinic, "correct present 1 L --reader okafor")["absent"] == []
    history = answer(fundusd, clinic, "person PATIENT-7")["corrections"]
    assert [row["kind"] for row in reversed(history)] == [
        "eye", "exclude", "include", "part", "join", "absent", "present",
    ]  # fmt: skip
    out = ask(fundusd, clinic, "person PATIENT-7")
    for part in ("Corrections", "capture 3, eye L", "no view until 2199-12-31"):
        assert part in out


def test_many_captures_of_nobody_are_excluded_at_once_and_audited_one_by_one(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    with closing(ledger_of(clinic)) as ledger:
        ledger.start(cases.release())
        for number in range(4, 9):
            claim = cases.take(ledger, f"{number}.jpg", str(number))
            ledger.fail(claim, Reason.TRUNCATED, "cut short")
        ledger.admit(cases.found("9.jpg", "9"))
    by = "--reason not_a_retina --reader okafor"
    after = answer(fundusd, clinic, f"correct exclude 4-6 8 6 {by}")
    assert [exam["eyes"] for exam in after] == [{}, {}, {}, {}]
    out = ask(fundusd, clinic, f"correct exclude 4-8 {by}")
    assert out.startswith("Exam 5 (patient not known, ")
    assert "Captures excluded: 1. Exams: 1." in out
    assert excluded_captures(clinic) == [4, 5, 6, 8, 7]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("2-4", "known patient or wait for their results: 2, 3"),
        ("4-5", "wait for their results: 5."),
        ("5-4", "'5-4' must go up"),
        ("0-4", "'0-4' must go up"),
        ("4,5", "'4,5' is neither the number of a capture nor a range such as 12-40"),
        ("4-", "'4-' is neither"),
    ],
)
def test_a_range_excludes_no_photograph_that_somebody_has_not_named(
    fundusd: RunCommand, clinic: daemon_cases.Site, words: str, message: str
) -> None:
    with closing(ledger_of(clinic)) as ledger:
        ledger.start(cases.release())
        ledger.fail(cases.take(ledger, "4.jpg", "4"), Reason.TRUNCATED, "cut short")
        ledger.admit(cases.found("5.jpg", "5"))
    ended = fundusd(
        *f"correct exclude {words} --reason test --reader okafor --config".split(), clinic.path
    )
    assert (ended.code, ended.out) == (2, "")
    assert message in " ".join(ended.err.split())
    assert excluded_captures(clinic) == []


def test_a_range_excludes_no_photograph_that_was_joined_into_the_exam_of_a_known_patient(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    with closing(ledger_of(clinic)) as ledger:
        ledger.start(cases.release())
        for name in ("4.jpg", "5.jpg"):
            ledger.fail(cases.take(ledger, name, name), Reason.TRUNCATED, "cut short")
        joined = ledger.exam_of(5)
    assert joined is not None
    answer(fundusd, clinic, f"correct join {joined.exam_id} 1 --reader okafor")
    words = "correct exclude 4-5 --reason test --reader okafor --config"
    ended = fundusd(*words.split(), clinic.path)
    assert ended.code == 2
    assert "known patient or wait for their results: 5." in " ".join(ended.err.split())


def test_what_was_excluded_before_a_refusal_is_printed(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    words = "correct exclude 3 99 --reason test --reader okafor --config"
    ended = fundusd(*words.split(), clinic.path)
    assert ended.code == 2
    assert "Captures excluded: 1. Exams: 1." in ended.out
    assert "There is no capture 99." in ended.err


def excluded_captures(clinic: daemon_cases.Site) -> list[int]:
    with closing(ledger_of(clinic)) as ledger:
        return [row["capture_id"] for row in cases.details(ledger, "correction.recorded")]


def test_v36_an_absent_eye_names_the_other_exams_that_change(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    other = answer(fundusd, clinic, "correct part 2 --reader okafor")["exam_id"]
    out = ask(fundusd, clinic, "correct absent 1 R --reason no_view --reader okafor")
    assert f"Changed, too: Exam {other} (patient PATIENT-7, " in out
    after = answer(fundusd, clinic, "correct present 1 R --reader okafor")
    assert after["changed_exams"] == [other]


def test_patients_of_whom_photographs_are_missing_are_below_the_worklist(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    ask(fundusd, clinic, "correct exclude 2 --reason retaken --reader okafor")
    out = ask(fundusd, clinic, "worklist")
    assert "Photographs are missing:" in out
    missing = answer(fundusd, clinic, "worklist --missing")
    assert all(row["missing_fields"] for row in missing)
    assert missing
    alone = ask(fundusd, clinic, "worklist --missing")
    assert "not photographed" in alone
    assert "waits for" not in alone


def test_a11_a_day_that_is_none_is_refused(fundusd: RunCommand, clinic: daemon_cases.Site) -> None:
    words = "correct absent 1 L --reason no_view --until tomorrow --reader okafor"
    ended = fundusd(*words.split(), "--config", clinic.path)
    assert (ended.code, "tomorrow" in ended.err) == (2, True)


# -- the table of the worklist


def test_the_worklist_fits_80_columns_and_breaks_no_word(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    with closing(
        Ledger(f"sqlite:///{clinic.folder}/fundusd.db", site_key=cases.SITE_KEY)
    ) as ledger:
        ledger.start(cases.release())
        for place, reason in enumerate(Reason, 1):
            if reason.action.value != "none" and reason.outcome.value != "failed":
                patient = f"PATIENT-WITH-A-LONG-NUMBER-{place}"
                photograph(ledger, f"r{place}.jpg", reason=reason, patient=patient)
        ledger.record([replace(cases.finding(cases.take(ledger, "x_R.jpg", "x")), model_ms=1.0)])
        photograph(ledger, "4.jpg", Eye.LEFT, PDR)
    ask(fundusd, clinic, "review record 1 R agree --reader lee")
    ask(fundusd, clinic, "review record 1 R override --grade 0 --reason other --reader okafor")
    wide = ask(fundusd, clinic, "worklist")
    table = on_terminal(80, "worklist", "--config", clinic.path)
    assert max(map(len, table)) <= 80
    table.remove("Left out to fit the terminal: day, capture, camera; --wide shows all.")
    words = set(re.findall(r"[a-z]{3,}", "".join(f"{line}\n" for line in table)))
    assert words <= set(re.findall(r"[a-z]{3,}", wide))
    assert "arbitration" in words


def test_retakes_are_not_the_last_of_the_undecided(
    fundusd: RunCommand, clinic: daemon_cases.Site
) -> None:
    with closing(
        Ledger(f"sqlite:///{clinic.folder}/fundusd.db", site_key=cases.SITE_KEY)
    ) as ledger:
        ledger.start(cases.release())
        photograph(ledger, "5.jpg", patient="PATIENT-8", reason=Reason.TOO_DARK)
    rows = answer(fundusd, clinic, "worklist")
    assert [(row["waits_for"], row["action"]) for row in rows] == [
        ("referable", "none"),
        ("undecided", "retake"),
        ("undecided", "refer_reader"),
    ]
    assert worklist._WORST_FIRST[:2] == ("-urgency", "-action")
