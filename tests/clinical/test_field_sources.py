"""Name, database, DICOM and pixels settle on one field, or on none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.attribution import (
    Attribution,
    CaptureMetadata,
    join,
    of_header,
    of_metadata,
    settle,
)
from fundusd.clinical.path_patterns import compiled
from fundusd.clinical.path_rules import Naming
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.decoding import Content, MediaType

M, D, OTHER = "macula", "disc", "other"
SITE = Identifiers(b"0123456789abcdef")
RECEIVED = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
WARNED, SILENT = ("field_conflict",), ()

NAMED = st.sampled_from([None, M, D])
IN_HEADER = st.sampled_from([None, M, D, OTHER])


def settled(
    by_path: str | None, by_row: str | None, header: str | None, shown: str | None
) -> Attribution:
    joined = join(CaptureMetadata(field=by_path), CaptureMetadata(field=by_row))
    content = Content(MediaType.DICOM, field=header)
    recorded = of_metadata(joined, SITE)
    return settle(recorded, of_header(content, SITE), RECEIVED, shown_field=shown)


@pytest.mark.parametrize(
    ("by_path", "by_row", "header", "shown", "field", "warnings"),
    [
        (None, None, None, None, None, SILENT),
        (M, None, None, None, M, SILENT),
        (None, D, None, None, D, SILENT),
        (None, None, M, None, M, SILENT),
        (None, None, None, D, D, SILENT),
        (M, M, M, M, M, SILENT),
        (D, None, D, None, D, SILENT),
        (M, D, None, None, None, WARNED),
        (M, None, D, None, None, WARNED),
        (M, None, None, D, None, WARNED),
        (None, None, D, M, None, WARNED),
        (M, None, M, D, None, WARNED),
        (M, D, None, M, None, WARNED),
        # DICOM names a field between the two or away from both
        (None, None, OTHER, None, None, SILENT),
        (None, None, OTHER, M, None, SILENT),
        (None, None, OTHER, D, None, SILENT),
        (M, None, OTHER, None, None, WARNED),
    ],
)
def test_a2_sources_settle_on_one_field_or_on_none(
    by_path: str | None,
    by_row: str | None,
    header: str | None,
    shown: str | None,
    field: str | None,
    warnings: tuple[str, ...],
) -> None:
    attributed = settled(by_path, by_row, header, shown)
    assert (attributed.field, attributed.warnings) == (field, warnings)


@given(NAMED, NAMED, IN_HEADER, NAMED)
def test_a2_a_field_is_known_only_if_no_source_gives_another(
    by_path: str | None, by_row: str | None, header: str | None, shown: str | None
) -> None:
    attributed = settled(by_path, by_row, header, shown)
    given_fields = {by_path, by_row, header, shown} - {None}
    if attributed.field is None:
        assert given_fields == set() or OTHER in given_fields or len(given_fields) == 2
    else:
        assert given_fields == {attributed.field}


@given(NAMED, NAMED, IN_HEADER, NAMED)
def test_a2_settling_again_changes_nothing(
    by_path: str | None, by_row: str | None, header: str | None, shown: str | None
) -> None:
    attributed = settled(by_path, by_row, header, shown)
    content = Content(MediaType.DICOM, field=header)
    again = settle(attributed, of_header(content, SITE), RECEIVED, shown_field=shown)
    assert again == attributed


def test_a2_a_path_that_names_both_fields_names_none_and_is_warned_of() -> None:
    folder, name = compiled(r"(?P<field>[a-z]+)/[^/]+"), compiled(r"\d+_(?P<field>[a-z]+)")
    naming = Naming((folder, name))
    assert naming.read("macula/12_mac.jpg").field == M
    both = naming.read("disc/12_mac.jpg")
    assert (both.field, both.warnings) == (None, WARNED)
    assert naming.read("camera/12_mac.jpg").field is None
