"""Which eye, and whose: settled from header, path and the camera's database, as one rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.acquisition_day import in_utc
from fundusd.clinical.attribution import (
    Attribution,
    CaptureMetadata,
    digests_of_several_patients,
    has_lost_answer,
    join,
    of_header,
    of_metadata,
    settle,
)
from fundusd.clinical.eye_sources import LIKELY, resolve_eye
from fundusd.clinical.pseudonyms import Identifiers
from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.domain.decoding import Content, MediaType

R, L, U = Eye.RIGHT, Eye.LEFT, Eye.UNKNOWN
LATERALITY, NAME, LOOKUP, CONFLICT, NONE = (
    EyeSource.LATERALITY,
    EyeSource.NAME,
    EyeSource.LOOKUP,
    EyeSource.CONFLICT,
    EyeSource.NONE,
)
OTHER = {R: L, L: R, U: U}
RECEIVED = datetime(2026, 6, 7, 10, 15, tzinfo=UTC)
SITE = Identifiers(b"0123456789abcdef", issuer="clinic")

# warnings without influence on the result; those about likely eyes are drawn separately
NOTES = [code for code in CaptureWarning if code not in LIKELY.values()]
NOTES = [code for code in NOTES if "conflict" not in code and code != CaptureWarning.CLOCK_SKEW]
notes = st.lists(st.sampled_from(NOTES), max_size=3, unique=True)
likely_eyes = st.sampled_from([[], [CaptureWarning.EYE_MAYBE_LEFT], [LIKELY[R]]])
PATIENTS = st.sampled_from([None, "S17", "S18"])


@st.composite
def metadata(draw: st.DrawFn, source: EyeSource = NAME) -> CaptureMetadata:
    """Draw what a path says or, with another source, what a row of the camera's database says."""
    eye = draw(st.sampled_from([R, L, U]))
    eye_source = source
    if eye is U:
        eye_source = draw(st.sampled_from([NONE, CONFLICT]))
    codes = draw(notes)
    if eye is U and source is NAME:
        codes += draw(likely_eyes)
    return CaptureMetadata(
        eye,
        eye_source,
        field=draw(st.sampled_from([None, "macula"])),
        patient=draw(PATIENTS),
        date=draw(st.sampled_from([None, date(2026, 6, 7)])),
        time=draw(st.sampled_from([None, time(10, 15)])),
        warnings=tuple(codes),
    )


@st.composite
def headers(draw: st.DrawFn) -> Content:
    """Draw what the header of a file says."""
    eye, eye_source = draw(
        st.sampled_from(
            [(R, LATERALITY), (L, LATERALITY), (U, LATERALITY), (U, CONFLICT), (U, NONE)]
        )
    )
    return Content(
        MediaType.DICOM,
        eye=eye,
        eye_source=eye_source,
        patient_id=draw(PATIENTS),
        issuer=draw(st.sampled_from([None, "clinic", "elsewhere"])),
        acquired_at=draw(st.none() | st.integers(-100, 100).map(hours_after)),
        warnings=tuple(draw(notes)),
    )


def hours_after(hours: int) -> datetime:
    return RECEIVED + timedelta(hours=hours)


paths = metadata(NAME)
rows = metadata(LOOKUP)
identifiers = st.sampled_from([SITE, replace(SITE, are_clear=False)])


def settled(
    by_path: CaptureMetadata,
    by_row: CaptureMetadata,
    content: Content,
    site: Identifiers = SITE,
    *,
    is_backlog: bool = False,
) -> Attribution:
    """Settle all three sources, as the ledger does in two steps."""
    recorded = of_metadata(join(by_path, by_row), site)
    return settle(
        recorded,
        of_header(content, site),
        RECEIVED,
        is_backlog=is_backlog,
        are_clear=site.are_clear,
    )


SILENT = CaptureMetadata()
SILENT_HEADER = Content(MediaType.JPEG)


def test_no_source_leaves_eye_patient_and_time_unknown() -> None:
    assert settled(SILENT, SILENT, SILENT_HEADER) == Attribution()


@given(paths, rows, headers(), identifiers)
def test_sources_that_disagree_never_yield_an_eye(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, site: Identifiers
) -> None:
    attributed = settled(by_path, by_row, content, site)
    named = {source.eye for source in (by_path, by_row, content) if source.eye is not U}
    sources = {source.eye_source for source in (by_path, by_row, content)}
    if len(named) > 1 or CONFLICT in sources:
        assert (attributed.eye, attributed.eye_source) == (U, CONFLICT)
        assert CaptureWarning.EYE_CONFLICT in attributed.warnings
    if attributed.eye is not U:
        assert named == {attributed.eye}


@given(paths, rows, headers())
def test_a_conflict_about_the_eye_and_its_warning_go_together(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    attributed = settled(by_path, by_row, content)
    warned = CaptureWarning.EYE_CONFLICT in attributed.warnings
    assert warned == (attributed.eye_source is CONFLICT)
    assert (attributed.eye is U) or attributed.eye_source in {LATERALITY, LOOKUP, NAME}


@given(paths, headers())
def test_a_word_that_may_be_a_surname_contradicts_and_never_decides(
    by_path: CaptureMetadata, content: Content
) -> None:
    attributed = settled(by_path, SILENT, content)
    for likely, code in LIKELY.items():
        if code not in by_path.warnings:
            continue
        if content.eye is likely and by_path.eye_source is NONE:
            assert (attributed.eye, code in attributed.warnings) == (likely, False)
        else:
            assert (attributed.eye, code in attributed.warnings) == (U, True)


@given(paths, rows, headers(), st.sampled_from([R, L]))
def test_a_private_code_of_the_header_contradicts_and_never_decides(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, side: Eye
) -> None:
    before = settled(by_path, by_row, content)
    with_code = replace(content, warnings=(*content.warnings, LIKELY[side]))
    after = settled(by_path, by_row, with_code)
    assert after.eye in {before.eye, U}
    if before.eye is OTHER[side]:
        assert (after.eye, after.eye_source) == (U, CONFLICT)
    if after.eye is not U:
        assert after.eye is side
        assert LIKELY[side] not in after.warnings


@given(paths, rows, headers())
def test_no_source_overrules_an_unreadable_laterality(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    unreadable = replace(
        content, eye=U, eye_source=LATERALITY, warnings=(CaptureWarning.EYE_UNREADABLE,)
    )
    attributed = settled(by_path, by_row, unreadable)
    assert attributed.eye is U
    assert CaptureWarning.EYE_UNREADABLE in attributed.warnings


def mirrored_warnings(codes: tuple[str, ...]) -> tuple[str, ...]:
    swap = {LIKELY[R].value: LIKELY[L], LIKELY[L].value: LIKELY[R]}
    return tuple(swap.get(code, code) for code in codes)


@given(paths, rows, headers())
def test_mirrored_sources_settle_on_the_mirrored_eye(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    attributed = settled(by_path, by_row, content)
    mirrored = settled(
        replace(by_path, eye=OTHER[by_path.eye], warnings=mirrored_warnings(by_path.warnings)),
        replace(by_row, eye=OTHER[by_row.eye], warnings=mirrored_warnings(by_row.warnings)),
        replace(content, eye=OTHER[content.eye]),
    )
    assert (mirrored.eye, mirrored.eye_source) == (OTHER[attributed.eye], attributed.eye_source)
    assert set(mirrored.warnings) == set(mirrored_warnings(attributed.warnings))


@given(headers(), st.sampled_from([R, L]), notes)
def test_the_header_keeps_its_eye_where_path_and_database_are_silent(
    content: Content, eye: Eye, codes: list[str]
) -> None:
    content = replace(content, eye=eye, eye_source=LATERALITY)
    attributed = settled(replace(SILENT, warnings=tuple(codes)), SILENT, content)
    assert (attributed.eye, attributed.eye_source) == (eye, LATERALITY)


@given(paths, rows, headers(), identifiers, st.booleans())
def test_settling_twice_is_settling_once(
    by_path: CaptureMetadata,
    by_row: CaptureMetadata,
    content: Content,
    site: Identifiers,
    is_backlog: bool,
) -> None:
    attributed = settled(by_path, by_row, content, site, is_backlog=is_backlog)
    again = settle(
        attributed,
        of_header(content, site),
        RECEIVED,
        is_backlog=is_backlog,
        are_clear=site.are_clear,
    )
    assert again == attributed


@given(paths, rows)
def test_joining_is_symmetric_in_eyes_and_warnings(
    by_path: CaptureMetadata, by_row: CaptureMetadata
) -> None:
    joined, swapped = join(by_path, by_row), join(by_row, by_path)
    assert joined.eye == swapped.eye
    assert {joined.patient, joined.other_patient} == {swapped.patient, swapped.other_patient}
    assert set(joined.warnings) == set(swapped.warnings)


@given(paths, rows, headers(), st.data())
def test_the_order_of_warnings_decides_nothing(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, data: st.DataObject
) -> None:
    first = settled(by_path, by_row, content)
    shuffled = data.draw(st.permutations(by_path.warnings))
    second = settled(replace(by_path, warnings=tuple(shuffled)), by_row, content)
    assert replace(second, warnings=()) == replace(first, warnings=())
    assert sorted(second.warnings) == sorted(first.warnings)
    assert len(set(first.warnings)) == len(first.warnings)


@given(paths, rows, headers(), identifiers)
def test_patients_who_differ_are_always_warned_of(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, site: Identifiers
) -> None:
    attributed = settled(by_path, by_row, content, site)
    warned = CaptureWarning.PATIENT_CONFLICT in attributed.warnings
    assert warned == (len({by_path.patient, by_row.patient, content.patient_id} - {None}) > 1)


@given(paths, rows, headers(), identifiers)
def test_the_header_s_patient_comes_first_then_the_camera_database_s_then_the_path_s(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, site: Identifiers
) -> None:
    attributed = settled(by_path, by_row, content, site)
    patient = content.patient_id or by_row.patient or by_path.patient
    issuer = content.issuer if content.patient_id else None
    assert attributed.patient_key == site.key(issuer, patient)
    assert attributed.patient_id == (patient if site.are_clear else None)


@given(paths, rows, headers(), identifiers)
def test_of_patients_who_differ_another_one_is_kept(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content, site: Identifiers
) -> None:
    attributed = settled(by_path, by_row, content, site)
    outside = by_row.patient or by_path.patient
    named = {outside, by_path.patient, content.patient_id} - {None}
    if len(named) < 2:
        assert attributed.other_patient_key is None
        return
    patient = content.patient_id or outside
    other = by_path.patient if outside == patient else outside
    assert attributed.other_patient_key == site.key(None, other)


@given(headers(), st.sampled_from([None, date(2026, 6, 6)]))
def test_of_days_that_differ_another_one_is_kept(content: Content, of_row: date | None) -> None:
    by_path = CaptureMetadata(date=date(2026, 6, 7))
    attributed = settled(by_path, CaptureMetadata(date=of_row), content)
    assert (attributed.other_acquired_day is not None) == (
        CaptureWarning.DATE_CONFLICT in attributed.warnings
    )
    named = {attributed.acquired_day, attributed.other_acquired_day}
    assert (of_row or by_path.date) in named


@given(paths, rows, headers())
def test_pseudonyms_change_nothing_but_the_identifier(
    by_path: CaptureMetadata, by_row: CaptureMetadata, content: Content
) -> None:
    clear = settled(by_path, by_row, content)
    pseudonymous = settled(by_path, by_row, content, replace(SITE, are_clear=False))
    assert replace(clear, patient_id=None, other_patient_id=None) == pseudonymous


@given(headers(), st.booleans())
def test_the_time_of_the_header_comes_first_and_a_wrong_clock_is_warned_of(
    content: Content, is_backlog: bool
) -> None:
    by_path = CaptureMetadata(date=date(2026, 6, 7), time=time(10, 15))
    attributed = settled(by_path, SILENT, content, is_backlog=is_backlog)
    assert attributed.acquired_at == (content.acquired_at or in_utc(by_path.acquired_at))
    if content.acquired_at is None:
        return
    ahead = content.acquired_at - RECEIVED
    is_off = ahead > timedelta(minutes=10) or (ahead < timedelta(days=-2) and not is_backlog)
    assert (CaptureWarning.CLOCK_SKEW in attributed.warnings) == is_off


@pytest.mark.parametrize(
    "moment",
    [datetime(1, 1, 1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))],  # noqa: DTZ001
)
def test_the_first_day_of_the_calendar_is_no_time(moment: datetime) -> None:
    assert in_utc(moment) is None


@given(notes, notes)
def test_an_answer_is_lost_only_where_there_was_one(after: list[str], before: list[str]) -> None:
    if has_lost_answer(after, before):
        assert any(code.startswith("lookup_") for code in after)
        assert not has_lost_answer(before, after)
    assert not has_lost_answer(after, [*before, CaptureWarning.LOOKUP_LOCKED])
    assert not has_lost_answer(before, before)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("12")), max_size=8))
def test_a_digest_is_shared_if_it_lies_under_two_patients(pairs: list[tuple[str, str]]) -> None:
    expected = {digest for digest in "abc" if {(digest, "1"), (digest, "2")} <= set(pairs)}
    assert digests_of_several_patients(pairs) == expected


@pytest.mark.parametrize(
    ("content", "name", "resolved"),
    [
        ((U, NONE), (U, NONE), (U, NONE)),
        ((R, LATERALITY), (U, NONE), (R, LATERALITY)),
        ((U, NONE), (L, NAME), (L, NAME)),
        ((L, LATERALITY), (L, NAME), (L, LATERALITY)),
        ((L, LATERALITY), (R, NAME), (U, CONFLICT)),
        ((U, CONFLICT), (R, NAME), (U, CONFLICT)),
        ((U, CONFLICT), (U, NONE), (U, CONFLICT)),
        ((R, LATERALITY), (U, CONFLICT), (U, CONFLICT)),
        ((U, CONFLICT), (U, CONFLICT), (U, CONFLICT)),
        ((U, LATERALITY), (R, NAME), (U, CONFLICT)),  # B: both eyes in one frame
        ((U, LATERALITY), (U, NONE), (U, LATERALITY)),
    ],
)
def test_content_and_name_settle_on_one_eye_or_none(
    content: tuple[Eye, EyeSource], name: tuple[Eye, EyeSource], resolved: tuple[Eye, EyeSource]
) -> None:
    assert resolve_eye(*content, *name) == resolved


EYES = st.sampled_from(
    [(R, LATERALITY), (L, LATERALITY), (U, LATERALITY), (U, CONFLICT), (U, NONE)]
)
NAMES = st.sampled_from([(R, NAME), (L, NAME), (U, CONFLICT), (U, NONE)])


@given(EYES, NAMES)
def test_an_eye_is_only_told_when_no_source_says_otherwise(
    content: tuple[Eye, EyeSource], name: tuple[Eye, EyeSource]
) -> None:
    eye, _ = resolve_eye(*content, *name)
    if eye is not U:
        spoken = {given_eye for given_eye, source in (content, name) if source is not NONE}
        assert spoken == {eye}
