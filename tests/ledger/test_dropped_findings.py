"""No reading drops what another reader has found without a word (V25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import ledger_cases as cases
from tests.ledger.test_second_trial import again
from tests.reading_cases import photograph, read, the_eye

from fundusd.domain.clinical_terms import Referable, ReviewVerdict
from fundusd.domain.errors import RequestError
from fundusd.domain.readings import Maculopathy, OtherLesion, ReadingPurpose, ReadingState
from fundusd.reports import wording

if TYPE_CHECKING:
    from fundusd.clinical.exam import Exam
    from fundusd.ledger import Ledger

YES, OPEN, NO = Referable.YES, Referable.INDETERMINATE, Referable.NO
AGREE, RETAKE = ReviewVerdict.AGREE, ReviewVerdict.RETAKE
ARBITRATION, SECOND = ReadingPurpose.ARBITRATION, ReadingPurpose.SECOND


def disputed_lesion(ledger: Ledger) -> Exam:
    """Record two readings that differ, because one of them names another lesion."""
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1", lesion=OtherLesion.AMD)
    after = read(ledger, exam, by="r2", purpose=SECOND)
    assert the_eye(after).state is ReadingState.DISPUTED
    return after


@pytest.mark.parametrize("verdict", [AGREE, RETAKE])
def test_v25_an_arbiter_does_not_drop_another_lesion_without_a_word(
    ledger: Ledger, verdict: ReviewVerdict
) -> None:
    exam = disputed_lesion(ledger)
    with pytest.raises(RequestError, match="age-related macular") as caught:
        read(ledger, exam, verdict, by="r3", purpose=ARBITRATION)
    assert "--without-lesion" in caught.value.hint
    assert again(ledger, exam).final.referable is YES


def test_v25_an_arbiter_says_that_the_lesion_is_there(ledger: Ledger) -> None:
    exam = disputed_lesion(ledger)
    after = read(ledger, exam, by="r3", purpose=ARBITRATION, lesion=OtherLesion.AMD)
    assert after.final.referable is YES
    assert wording.person(after).startswith("Referable: another lesion")


def test_v25_or_that_it_is_not_there(ledger: Ledger) -> None:
    exam = disputed_lesion(ledger)
    after = read(ledger, exam, by="r3", purpose=ARBITRATION, is_without_lesion=True)
    assert (the_eye(after).state, after.final.referable) == (ReadingState.READ, OPEN)
    assert the_eye(after).final.referable is NO
    assert cases.details(ledger, "review.recorded")[-1]["without_lesion"] is True


def test_v25_nor_does_a_reader_after_another_photograph_has_come(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1", lesion=OtherLesion.GLAUCOMA_SUSPECT)
    photograph(ledger, "2.jpg")
    with pytest.raises(RequestError, match="glaucoma suspect"):
        read(ledger, exam, by="r2")
    assert the_eye(read(ledger, exam, by="r1")).final.referable is NO  # replaces their own


def test_v25_nor_maculopathy(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1", maculopathy=Maculopathy.PRESENT)
    photograph(ledger, "2.jpg")
    with pytest.raises(RequestError, match="maculopathy"):
        read(ledger, exam, by="r2")
    after = read(ledger, exam, by="r2", maculopathy=Maculopathy.ABSENT)
    assert the_eye(after).final.referable is NO


def test_v25_a_reading_beside_another_drops_nothing(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    read(ledger, exam, by="r1", lesion=OtherLesion.AMD)
    quality = ReadingPurpose.QUALITY_ASSURANCE
    assert read(ledger, exam, by="r2", purpose=quality).final.referable is YES
    assert read(ledger, exam, by="r2").final.referable is YES


def test_v25_a_lesion_is_there_or_not(ledger: Ledger) -> None:
    exam = photograph(ledger, "1.jpg")
    with pytest.raises(RequestError, match="cannot be one without"):
        read(ledger, exam, lesion=OtherLesion.AMD, is_without_lesion=True)
