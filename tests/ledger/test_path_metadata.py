"""What a path says goes into its capture; the content takes precedence or contradicts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests import ledger_cases as cases

from fundusd.app import site_key
from fundusd.app.camera_settings import CameraSettings
from fundusd.app.open_ledger import opened_ledger
from fundusd.app.settings import PrivacySettings, Settings
from fundusd.app.settings_service import StoreSettings
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.pseudonyms import patient_key
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.decoding import Content, MediaType
from fundusd.ledger import Ledger
from fundusd.ledger.tables import audit_event

PATTERN = r"(?P<patient>[^_/]+)_(?P<date>\d{8})_(?P<time>\d{6})_(?P<eye>[A-Z]+)(?:_(?P<field>\w+))?"
LEFT = "PATIENT-7_20260105_101502_OS_macula.dcm"  # as cases.CONTENT says, too


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    """Open a ledger whose camera names its captures by a pattern; another one does not."""
    naming = {cases.CAMERA: Naming.of("generic", PATTERN)}
    opened = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    opened.start(cases.release())
    opened.register_camera(cases.CAMERA)
    opened.register_camera("other")
    yield opened
    opened.close()


def admitted(ledger: Ledger, name: str, **changes: Any) -> dict[str, Any]:
    ledger.admit(cases.found(name, **changes))
    (row,) = cases.captures(ledger)
    return row


def graded(ledger: Ledger, name: str, content: Content = cases.CONTENT) -> dict[str, Any]:
    ledger.record(
        [cases.finding(cases.take(ledger, name, backlog=True), content)]
    )  # taken long ago
    (row,) = cases.captures(ledger)
    assert ledger.verify().broken_seq is None
    return row


def key(patient: str, issuer: str | None = None) -> str | None:
    return patient_key(cases.SITE_KEY, issuer, patient)


def test_a_path_tells_before_any_byte_is_decoded(named: Ledger) -> None:
    row = admitted(named, LEFT)
    assert (row["eye"], row["eye_source"], row["field"]) == ("L", "name", "macula")
    assert (row["patient_id"], row["patient_key"], row["warnings"]) == (
        "PATIENT-7",
        key("PATIENT-7"),
        "[]",
    )
    assert row["acquired_at"] == datetime(2026, 1, 5, 10, 15, 2).astimezone(UTC)


def test_each_camera_has_its_own_naming(named: Ledger) -> None:
    row = admitted(named, LEFT, camera_id="other")
    assert (row["eye"], row["field"], row["patient_id"]) == ("L", None, None)


def test_a_path_that_does_not_fit_is_warned_of(named: Ledger) -> None:
    row = admitted(named, "12_OD.jpg")
    assert (row["eye"], row["eye_source"], row["patient_id"]) == ("U", "none", None)
    assert row["warnings"] == '["name_unmatched"]'


def test_a_header_without_a_real_time_leaves_the_time_of_the_path(named: Ledger) -> None:
    first_day = datetime(1, 1, 1)  # noqa: DTZ001  00010101, as some cameras write for no date
    row = graded(named, LEFT, replace(cases.CONTENT, acquired_at=first_day))
    assert row["acquired_at"] == datetime(2026, 1, 5, 10, 15, 2).astimezone(UTC)


def test_what_a_jpeg_cannot_tell_its_path_tells(named: Ledger) -> None:
    row = graded(named, LEFT, cases.CONTENT_OF_JPEG)
    assert (row["eye"], row["eye_source"], row["field"], row["patient_id"]) == (
        "L",
        "name",
        "macula",
        "PATIENT-7",
    )
    assert (row["patient_key"], row["warnings"]) == (key("PATIENT-7"), "[]")
    (shown,) = named.results()
    assert (shown["field"], shown["patient_id"]) == ("macula", "PATIENT-7")
    assert shown["acquired_at"] is not None


def test_content_comes_first_where_both_agree(named: Ledger) -> None:
    at = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
    row = graded(named, LEFT, replace(cases.CONTENT, acquired_at=at))
    assert (row["eye"], row["eye_source"]) == ("L", "image_laterality")
    assert (row["patient_id"], row["patient_key"]) == ("PATIENT-7", key("PATIENT-7", "clinic"))
    assert (row["acquired_at"], row["warnings"]) == (at, "[]")


def test_an_eye_they_disagree_about_is_unknown(named: Ledger) -> None:
    row = graded(named, LEFT.replace("OS", "OD"))
    assert (row["eye"], row["eye_source"], row["warnings"]) == ("U", "conflict", '["eye_conflict"]')


def test_a_name_that_contradicts_itself_stays_a_conflict(named: Ledger) -> None:
    row = graded(named, LEFT.replace("OS", "OU"))
    assert (row["eye"], row["eye_source"], row["warnings"]) == ("U", "conflict", '["eye_conflict"]')


def test_a_patient_they_disagree_about_is_the_contents_with_a_warning(named: Ledger) -> None:
    row = graded(named, LEFT.replace("PATIENT-7", "PHANTOM-8"))
    assert (row["patient_id"], row["patient_key"]) == ("PATIENT-7", key("PATIENT-7", "clinic"))
    assert row["warnings"] == '["patient_conflict"]'


def test_content_with_a_blank_patient_leaves_the_paths(named: Ledger) -> None:
    row = graded(
        named, LEFT.replace("PATIENT-7", "PHANTOM-8"), replace(cases.CONTENT, patient_id=None)
    )
    assert (row["patient_id"], row["patient_key"]) == ("PHANTOM-8", key("PHANTOM-8"))


def test_the_same_bytes_under_two_patients_are_each_their_own(named: Ledger) -> None:
    names = [LEFT.replace("PATIENT-7", f"PHANTOM-{number}") for number in (1, 2)]
    named.admit(*(cases.found(name) for name in names))
    named.record([cases.finding(claim, Content(MediaType.JPEG)) for claim in named.claim(4)])
    named.admit(cases.found("PHANTOM-3_20260105_101502_OD.jpg"))
    rows = cases.captures(named)
    assert [(row["patient_id"], row["eye"]) for row in rows] == [
        ("PHANTOM-1", "L"),
        ("PHANTOM-2", "L"),
        ("PHANTOM-3", "R"),
    ]


def test_a_capture_that_failed_keeps_what_its_path_tells(named: Ledger) -> None:
    named.fail(cases.take(named, LEFT), Reason.TRUNCATED, "cut short")
    (row,) = cases.captures(named)
    assert (row["eye"], row["patient_id"]) == ("L", "PATIENT-7")


def test_who_retries_needs_to_know_of_no_naming(named: Ledger, store_url: str) -> None:
    """`fundusd retry` opens the ledger without any; what the path told stands in the row."""
    named.fail(cases.take(named, LEFT), Reason.TRUNCATED, "cut short")
    named.start(cases.release(2))
    named.admit(cases.found(LEFT.replace("OS", "OD")))
    named.record([cases.finding(claim, cases.CONTENT_OF_JPEG) for claim in named.claim(1)])
    operator = Ledger(store_url)
    operator.release_id = named.release_id
    assert operator.retry_failed() == 1
    operator.close()
    rows = cases.captures(named)
    assert [(row["eye"], row["patient_key"]) for row in rows] == [
        ("L", key("PATIENT-7")),
        ("R", key("PATIENT-7")),
    ]


def test_no_patient_of_a_path_is_in_audit_or_log_fields(named: Ledger) -> None:
    (recorded,) = named.record([cases.finding(cases.take(named, LEFT), cases.CONTENT_OF_JPEG)])
    assert recorded is not None
    texts = [*map(str, cases.rows(named, audit_event)), str(recorded[0].fields())]
    assert not any("PATIENT-7" in text for text in texts)


def test_the_daemons_ledger_knows_the_naming_of_the_settings(
    sqlite_url: str, tmp_path: Path
) -> None:
    chosen = Settings(
        store=StoreSettings(url=sqlite_url),
        privacy=PrivacySettings(site_key_file=tmp_path / "site.key"),
        camera=(CameraSettings(id=cases.CAMERA, inbox=tmp_path / "inbox", convention="eyepacs"),),
    )
    with opened_ledger(chosen, to_work=True) as ledger:
        ledger.start(cases.release())
        row = admitted(ledger, "13_left.jpeg")
    assert (row["eye"], row["patient_id"]) == ("L", "13")
    assert row["patient_key"] == patient_key(
        site_key.read(chosen.privacy.site_key_file), None, "13"
    )
