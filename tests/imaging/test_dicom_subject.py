from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from tests import imaging_cases as cases

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.imaging import dicom_header

RETINA = cases.retina(160, 128)


def code_of(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


@pytest.mark.parametrize(
    "changes",
    [
        {"QualityControlImage": "YES"},
        {"PatientSpeciesDescription": "Canine"},
        {"PatientName": "TEST^Patient"},
        {"PatientName": "Phantom^Eye"},
        {"PatientName": "ZZTEST^Anna"},
        {"PatientName": "ZZ^Test"},
        {"PatientName": "zzztest01"},
        {"PatientName": "XXTest^One"},
        {"PatientName": "Test-Patient^One"},
        {"PatientName": "山田=TEST^Taro"},
        {"PatientName": "Demo^Anna"},  # may be a surname, and is warned of too
        {"PatientName": "Test-Nielsen^Anna"},
        {"PatientID": "QC-12"},
        {"PatientID": "TESTPAT01"},
        {"PatientID": "clinic_test_7"},
        {"PatientSpeciesCodeSequence": [code_of("448771007", "Canis lupus familiaris")]},
    ],
    ids=str,
)
def test_tests_phantoms_and_animals_are_warned_of(changes: dict[str, Any]) -> None:
    content = dicom_header.content(cases.header(RETINA, **changes))
    assert CaptureWarning.NOT_A_PATIENT in content.warnings


@pytest.mark.parametrize(
    "changes",
    [
        {"QualityControlImage": "NO"},
        {"PatientSpeciesDescription": "Homo sapiens"},
        {"PatientSpeciesCodeSequence": [code_of("337915000", "Homo sapiens")]},
        {"PatientName": "Testa^Anna"},
        {"PatientName": "Demory^Jan"},
        {"PatientName": "Zztesta^Jan"},
        {"PatientName": "Détest^Jan"},
        {"PatientName": "Xu^Tester"},
        {"PatientID": "CONTEST-7"},
    ],
    ids=str,
)
def test_people_are_patients(changes: dict[str, Any]) -> None:
    content = dicom_header.content(cases.header(RETINA, **changes))
    assert CaptureWarning.NOT_A_PATIENT not in content.warnings
