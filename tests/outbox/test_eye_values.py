"""No document about an eye that nobody has decided about carries a grade that closes a case."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests import exam_cases
from tests.outbox import document_cases as cases

from fundusd.clinical.eye_result import EyeResult
from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Reason, Referable, ReviewVerdict
from fundusd.outbox import csv_export, fhir, structured_report
from fundusd.outbox.sender import Sender

if TYPE_CHECKING:
    from fundusd.clinical.reading import Reading

NO_DR = b"LA18643-9"
OF_READERS = (b"http://loinc.org", b"LA186", b"71490-7", b"71491-5")
GRADES = st.none() | st.sampled_from(Grade)
READINGS = st.builds(
    replace,
    st.just(cases.AGREES),
    verdict=st.sampled_from(ReviewVerdict),
    referable=st.sampled_from(Referable),
    grade=GRADES,
)


@st.composite
def eyes(draw: st.DrawFn) -> EyeResult:
    """Draw an eye, also with values that contradict each other: documents do not trust them."""
    shots = draw(
        st.lists(
            st.builds(cases.shot, st.just(Eye.RIGHT), st.sampled_from(Grade)),
            min_size=1,
            max_size=2,
        )
    )
    reading: Reading | None = draw(st.none() | READINGS)
    made = EyeResult(
        eye=draw(st.sampled_from(Eye)),
        outcome=draw(st.sampled_from(Outcome)),
        referable=draw(st.sampled_from(Referable)),
        grade=draw(GRADES),
        reason=draw(st.none() | st.sampled_from(Reason)),
        missing_fields=draw(st.sampled_from([(), ("macula",)])),
        decisive=shots[0],
        shots=tuple(shots),
    )
    return made if reading is None else exam_cases.read(made, reading)


UNDECIDED = EyeResult(
    Eye.RIGHT,
    Outcome.GRADED,
    Referable.INDETERMINATE,
    Grade.NO_DR,
    None,
    ("macula",),
    cases.shot(grade=Grade.NO_DR),
    (cases.shot(grade=Grade.NO_DR),),
)
AGREED = replace(cases.AGREES, referable=Referable.INDETERMINATE, grade=Grade.NO_DR)


@settings(max_examples=300, deadline=None)
@given(eyes())
@example(UNDECIDED)
@example(exam_cases.read(UNDECIDED, AGREED))
def test_an_undecided_eye_never_carries_the_code_of_no_retinopathy(eye: EyeResult) -> None:
    content = cases.content(replace(cases.exam(), eyes=(eye,)))
    made: list[Any] = [
        fhir.bundle(content, Sender()).data,
        structured_report.report(content, eye, [HEADER], Sender()).data,
    ]
    for data in made:
        if eye.final.referable is Referable.INDETERMINATE:
            assert NO_DR not in data
        if not eye.is_read:
            for code in OF_READERS:
                assert code not in data
    row = csv_export.table(content).data.decode().splitlines()[1]
    if eye.final.referable is Referable.INDETERMINATE:
        assert "No DR" not in row


HEADER = cases.header()
