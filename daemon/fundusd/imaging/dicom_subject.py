"""Read from a DICOM header whether a patient was photographed at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.imaging.dicom_values import items, text

if TYPE_CHECKING:
    from pydicom import Dataset

_HUMAN_WORDS = {"human", "homo sapiens", "h. sapiens", "mensch", "humain", "humano"}
_HUMAN_CODES = {"337915000", "L-85B00"}  # homo sapiens in SNOMED CT and SNOMED RT
# Hospitals put ZZ or XX before the names of test patients, which sorts them last
_TEST_WORD = re.compile(
    r"(?:z{2,}|x{2,})?(?:tests?|test(?:pat|patient)|phantom|dummy|demo|calibration|qc)"
)
_WORD = re.compile(r"[^\W\d_]+")  # a run of letters


def is_not_of_a_patient(ds: Dataset) -> bool:
    """Return whether the header says that nobody was photographed, or an animal.

    It may say so by QualityControlImage, by PatientSpeciesDescription or its code, or by a word for
    a test in the patient's name or identifier. A surname that is such a word counts too: there are
    far more test patients.
    """
    if (text(ds, "QualityControlImage") or "").upper() == "YES":
        return True
    species = text(ds, "PatientSpeciesDescription")
    if species and species.casefold() not in _HUMAN_WORDS:
        return True
    for code in items(ds, "PatientSpeciesCodeSequence"):
        if text(code, "CodeValue") not in {None, *_HUMAN_CODES}:
            return True
    for keyword in ("PatientName", "PatientID"):
        words = _WORD.findall((text(ds, keyword) or "").casefold())
        if any(_TEST_WORD.fullmatch(word) for word in words):
            return True
    return False
