"""The field of a capture, settled from its name, its header and its pixels when it is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests import ledger_cases as cases

from fundusd.clinical.path_rules import Naming
from fundusd.domain.clinical_terms import Reason
from fundusd.domain.exams import OTHER_FIELD, FieldProtocol
from fundusd.ledger import Ledger
from fundusd.ledger.tables import camera

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.domain.decoding import Content

NAMED, UNNAMED = "12_macula.jpg", "12.jpg"
SHOWS_MACULA = cases.RIGHT_EYE | {"optic_disc_lead": 0.6}
SHOWS_DISC = SHOWS_MACULA | {
    "optic_disc_x": 0.05,
    "optic_disc_y": 0.0,
    "macula_x": -0.8,
    "macula_y": 0.05,
    "macula_contrast": 0.05,
}
OF_MACULA = replace(cases.CONTENT_OF_JPEG, measures=SHOWS_MACULA)
OF_DISC = replace(cases.CONTENT_OF_JPEG, measures=SHOWS_DISC)


@pytest.fixture
def named(store_url: str) -> Iterator[Ledger]:
    naming = {cases.CAMERA: Naming.of("generic", r"\d+(?:_(?P<field>\w+))?")}
    opened = Ledger(store_url, site_key=cases.SITE_KEY, naming=naming)
    opened.start(cases.release())
    opened.register_camera(cases.CAMERA)
    yield opened
    opened.close()


def recorded(
    ledger: Ledger, name: str, content: Content, reason: Reason | None = None
) -> tuple[str | None, list[str]]:
    """Record a result for a capture, and return its field and its warnings about the field."""
    claim = cases.take(ledger, name, word=name)
    if reason is None:
        ledger.record([cases.finding(claim, content)])
    else:
        ledger.record([cases.refusal(claim, reason, content)])
    return field_of(cases.captures(ledger)[-1])


def field_of(row: dict[str, Any]) -> tuple[str | None, list[str]]:
    codes = [code for code in orjson.loads(row["warnings"]) if "field" in code]
    return row["field"], codes


def test_a2_a_field_that_no_name_gives_is_that_of_the_header_or_the_pixels(named: Ledger) -> None:
    in_header = replace(cases.CONTENT, field="disc")
    assert recorded(named, "1.dcm", in_header) == ("disc", [])
    assert recorded(named, "2.jpg", OF_MACULA) == ("macula", [])
    assert recorded(named, "3.jpg", OF_DISC) == ("disc", [])
    assert recorded(named, "4.jpg", cases.CONTENT_OF_JPEG) == (None, [])
    shown = [row["field"] for row in named.results()]
    assert sorted(map(str, shown)) == ["None", "disc", "disc", "macula"]


def test_a2_sources_that_differ_leave_the_field_unknown_with_a_warning(named: Ledger) -> None:
    assert recorded(named, NAMED, OF_MACULA) == ("macula", [])
    assert recorded(named, "13_macula.jpg", OF_DISC) == (None, ["field_conflict"])
    in_header = replace(cases.CONTENT, field="disc")
    assert recorded(named, "14_macula.dcm", in_header) == (None, ["field_conflict"])
    assert recorded(named, "15.dcm", replace(OF_MACULA, field="disc")) == (None, ["field_conflict"])


def test_a2_a_field_midway_between_disc_and_macula_is_neither(named: Ledger) -> None:
    between = replace(OF_MACULA, field=OTHER_FIELD)
    assert recorded(named, "1.dcm", between) == (None, [])


def test_a2_what_an_ungradable_or_refused_photograph_shows(named: Ledger) -> None:
    assert recorded(named, "1.jpg", OF_MACULA, Reason.BLUR) == ("macula", [])
    assert recorded(named, "2.jpg", OF_DISC, Reason.BLUR) == (None, [])
    assert recorded(named, "3.jpg", OF_MACULA, Reason.NOT_RETINA) == (None, [])


def test_a2_a_copy_of_known_bytes_has_the_same_field_unless_its_name_differs(named: Ledger) -> None:
    recorded(named, "1.jpg", OF_MACULA)
    for copy in ("2.jpg", "3_macula.jpg", "4_disc.jpg"):
        named.admit(cases.found(copy, word="1.jpg"))
    assert [field_of(row) for row in cases.captures(named)] == [
        ("macula", []),
        ("macula", []),
        ("macula", []),
        (None, ["field_conflict"]),
    ]


def test_a2_the_protocol_of_each_camera_is_stored_when_the_daemon_starts(store_url: str) -> None:
    for protocol in (FieldProtocol.ONE, FieldProtocol.TWO, FieldProtocol.ANY):
        ledger = Ledger(
            store_url,
            cameras=[cases.CAMERA],
            expected_fields={cases.CAMERA: ("macula",)},
            field_protocols={cases.CAMERA: protocol},
        )
        with ledger.held():
            ledger.start(cases.release())
        (row,) = cases.rows(ledger, camera)
        assert (row["fields"], row["expected_fields"]) == (protocol, "macula")
        ledger.close()
