"""Terms of human readings: why a reader reads, what else is seen, and what remains to be done."""

from __future__ import annotations

from enum import StrEnum


class ReadingPurpose(StrEnum):
    """Why a reader reads an eye."""

    ROUTINE = "routine"
    SECOND = "second"  # another reader, independently of the first
    ARBITRATION = "arbitration"  # settles readings that differ
    QUALITY_ASSURANCE = "quality_assurance"  # never changes a result


class ReaderPermission(StrEnum):
    """What a reader may do: read for a purpose, or correct eyes, photographs and exams."""

    ROUTINE = ReadingPurpose.ROUTINE.value
    SECOND = ReadingPurpose.SECOND.value
    ARBITRATION = ReadingPurpose.ARBITRATION.value
    QUALITY_ASSURANCE = ReadingPurpose.QUALITY_ASSURANCE.value
    CORRECT = "correct"


class OtherLesion(StrEnum):
    """A finding other than diabetic retinopathy, for which the person is referred."""

    AMD = "amd"  # age-related macular degeneration
    GLAUCOMA_SUSPECT = "glaucoma_suspect"
    VEIN_OCCLUSION = "vein_occlusion"
    ARTERY_OCCLUSION = "artery_occlusion"
    HYPERTENSIVE_RETINOPATHY = "hypertensive_retinopathy"
    RETINAL_DETACHMENT = "retinal_detachment"
    EPIRETINAL_MEMBRANE = "epiretinal_membrane"
    OPTIC_DISC_SWELLING = "optic_disc_swelling"
    PIGMENTED_LESION = "pigmented_lesion"  # a naevus or a melanoma
    OTHER = "other"

    @property
    def wording(self) -> str:
        """Return the name of the lesion in words."""
        if self is OtherLesion.AMD:
            return "age-related macular degeneration"
        if self is OtherLesion.OTHER:
            return "another lesion"
        return self.replace("_", " ")


class Maculopathy(StrEnum):
    """Diabetic maculopathy as UK screening programmes grade it."""

    ABSENT = "M0"
    PRESENT = "M1"


class Photocoagulation(StrEnum):
    """Photocoagulation scars as UK screening programmes grade them."""

    ABSENT = "P0"
    PRESENT = "P1"


class ReadingState(StrEnum):
    """What the readings of an eye amount to, and hence which list the eye is on."""

    UNREAD = "unread"
    READ = "read"
    OUTDATED = "outdated"  # the photographs or the model's result have changed since
    DISPUTED = "disputed"  # readers differ about the referral


class FollowUpKind(StrEnum):
    """What has to happen for an eye that a reader could not grade."""

    RETAKE = "retake"
    SLIT_LAMP = "slit_lamp"
    REFERRAL = "referral"


class FollowUpEnd(StrEnum):
    """How a follow-up was closed."""

    READ = "read"  # a later reading graded the eye
    DONE = "done"
    DECLINED = "declined"  # by the patient
    NOT_POSSIBLE = "not_possible"
    OPENED_IN_ERROR = "opened_in_error"


class AbsenceReason(StrEnum):
    """Why an eye is not examined, so that the person is judged by the other eye."""

    PROSTHESIS = "prosthesis"
    NO_VIEW = "no_view"  # for example a dense cataract; known to whoever treats it
    EXCLUDED = "excluded"  # for another clinical reason


class ExclusionReason(StrEnum):
    """Why a person excluded a photograph from an exam."""

    NOT_THIS_PATIENT = "not_this_patient"
    NOT_A_RETINA = "not_a_retina"
    TEST = "test"
    RETAKEN = "retaken"  # another photograph of the exam replaces it
    OTHER = "other"


class CorrectionKind(StrEnum):
    """What a person corrected; each correction is a new row, and is undone only by another one."""

    EYE = "eye"  # the eye that a capture shows
    EXCLUDE = "exclude"  # a capture
    INCLUDE = "include"  # a capture that was excluded
    BELONGS = "belongs"  # a capture, to its exam, although its sources name two patients
    ABSENT = "absent"  # an eye of a person
    PRESENT = "present"  # an eye that was said to be absent
    JOIN = "join"  # an exam into another one
    PART = "part"  # a capture from its exam


class WorklistReason(StrEnum):
    """Why an eye is on the worklist."""

    ARBITRATION = "arbitration"  # readers differ
    READ_AGAIN = "read_again"  # the photographs or the model's result have changed
    REFERABLE = "referable"
    UNDECIDED = "undecided"
    CONFIRMATION = "confirmation"  # a negative result that the site wants confirmed
