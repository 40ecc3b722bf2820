"""Photographs that name no patient or no eye: what a nurse needs to find out whose they are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests import ledger_cases as cases
from tests.cli.test_show import CONTENT, JPEG, OTHER_JPEG, Clinic, clinic, fundusd, read
from tests.cli.test_tables import on_terminal

from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests import daemon_cases

__all__ = ["clinic", "fundusd"]  # fixtures

UNNAMED = replace(CONTENT, patient_id=None, eye=Eye.RIGHT, eye_source=EyeSource.LATERALITY)
WHOSE = "Find out whose photographs these are (capture 1: camera room1, IMG_0001_R.jpg, "


def rows_of(printed: str) -> list[dict[str, Any]]:
    """Return the rows that a command prints as JSON, before its warnings."""
    rows, _ = json.JSONDecoder().raw_decode(printed)
    return rows  # type: ignore[no-any-return]


@pytest.fixture
def unnamed(clinic: Clinic) -> Clinic:
    clinic.add("IMG_0001_R.jpg", content=UNNAMED)
    return clinic


def test_u23_a_report_of_nobody_names_the_file_and_its_time_first(
    fundusd: Callable[..., str], unnamed: Clinic, tmp_path: Path
) -> None:
    text = fundusd("report", "exam", "1")
    assert f"Next {WHOSE}received on " in text
    assert "file IMG_0001_R.jpg" in text.partition("Photographs")[2]
    fundusd("report", "exam", "1", "--pdf", tmp_path / "exam.pdf")
    text, count = read(tmp_path / "exam.pdf")
    assert (WHOSE in text, "file IMG_0001_R.jpg" in text, count) == (True, True, 2)
    [step, *_] = json.loads(fundusd("report", "exam", "1", "--json"))["next"]
    assert step.startswith(WHOSE)


def test_u23_show_names_the_file_and_when_it_was_taken(
    fundusd: Callable[..., str], unnamed: Clinic, tmp_path: Path
) -> None:
    text = fundusd("show", "1")
    assert "File IMG_0001_R.jpg" in text
    assert "Taken not known" in text
    fundusd("show", "1", "--out", tmp_path / "card.pdf")
    assert "IMG_0001_R.jpg" in read(tmp_path / "card.pdf")[0]
    unnamed.add("P7_OD.jpg", OTHER_JPEG, replace(CONTENT, eye=Eye.RIGHT))
    assert "File P7_OD.jpg" in fundusd("show", "2")
    fundusd("show", "2", "--out", tmp_path / "card.pdf")
    assert "P7_OD.jpg" not in read(tmp_path / "card.pdf")[0]  # it may leave the clinic


def test_u23_both_lists_name_the_file_of_nobody(
    fundusd: Callable[..., str], unnamed: Clinic
) -> None:
    for words in (["worklist"], ["worklist", "--missing"]):
        assert "not known (room1: IMG_0001_R.jpg, received 20" in fundusd(*words)
        [row] = rows_of(fundusd(*words, "--json"))
        assert (row["camera_id"], row["path"]) == ("room1", "IMG_0001_R.jpg")
        assert row["received_at"]
    assert ",IMG_0001_R.jpg," in fundusd("worklist", "--csv")


def test_u23_a_narrow_terminal_does_not_drop_the_file_of_nobody(unnamed: Clinic) -> None:
    lines = " ".join(on_terminal(80, "worklist", "--config", unnamed.place.path))
    assert "IMG_0001_R.jpg" in lines


def test_u23_a_pseudonymous_site_shows_the_digest_of_the_path(
    place_of_keys: daemon_cases.Site, fundusd: Callable[..., str]
) -> None:
    text = fundusd("report", "exam", "1")
    assert "Find out whose photographs these are (capture 1: camera room1, " in text
    assert "IMG_0001" not in text


@pytest.fixture
def place_of_keys(clinic: Clinic) -> daemon_cases.Site:
    """Set up a site that stores no identifiers, with a photograph of nobody."""
    clinic.ledger.close()
    url = f"sqlite:///{clinic.place.folder}/fundusd.db"
    ledger = Ledger(url, site_key=cases.SITE_KEY, pseudonymous=True)
    ledger.start(cases.release())
    clinic.ledger = ledger
    clinic.add("IMG_0001_R.jpg", content=UNNAMED)
    return clinic.place


def test_u28_an_eye_whose_patient_is_known_shows_the_patient_and_not_a_key(
    fundusd: Callable[..., str], unnamed: Clinic
) -> None:
    unnamed.add("P7_OS.jpg", OTHER_JPEG, replace(CONTENT, eye=Eye.LEFT))
    fundusd("correct", "join", "1", "2", "--reader", "okafor")
    rows = rows_of(fundusd("worklist", "--json"))
    assert [(row["eye"], row["patient_id"]) for row in rows] == [
        ("L", "PATIENT-7"),
        ("R", "PATIENT-7"),
    ]
    assert "key " not in fundusd("worklist")


def test_u36_all_photographs_of_an_unknown_eye_are_named(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    clinic.add("1.jpg", JPEG)
    clinic.add("2.jpg", OTHER_JPEG)
    text = fundusd("report", "exam", "1")
    assert "Find out which eye capture 1 or capture 2 shows: neither" in text
    assert "When that is known, photograph the eye that is still missing." in text
    assert "unless" not in text.partition(" Report ")[0]
    assert "file 1.jpg" in text


def test_u23_a_follow_up_of_nobody_says_where_the_file_is_named(
    fundusd: Callable[..., str], unnamed: Clinic
) -> None:
    fundusd("review", "record", "1", "R", "retake", "--reader", "okafor")
    assert "not known (see: fundusd report exam 1)" in fundusd("follow-up", "list")
