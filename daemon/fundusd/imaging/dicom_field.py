"""Read which field of the retina a DICOM header names.

No function here raises an exception, whatever values the header contains.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.domain.exams import OTHER_FIELD
from fundusd.imaging.dicom_laterality import SNOMED, codes_of_regions
from fundusd.imaging.dicom_values import items, text

if TYPE_CHECKING:
    from pydicom import Dataset

# positions of an image on the retina, CID 4207: PS3.16 defines "Macula centered" as field 2 of the
# Diabetic Retinopathy Study, and "Disc centered" as its field 1
_MACULA, _DISC = "macula", "disc"
_DICOM_POSITIONS = {
    "111900": _MACULA,
    "111901": _DISC,
    **dict.fromkeys(("111621", "111622", "111623"), OTHER_FIELD),  # fields 1 to 3 of Joslin
    # centred on a lesion, midway between disc and macula, and away from both
    **dict.fromkeys([str(code) for code in range(111902, 111920)], OTHER_FIELD),
}
# in SNOMED CT, and SNOMED RT as in older files
_SNOMED_POSITIONS = {
    **dict.fromkeys(("410434001", "R-1022A"), _MACULA),
    **dict.fromkeys(("408734008", "R-10229"), _DISC),
    **dict.fromkeys(("410435000", "R-1022B", "410436004", "R-1022C"), OTHER_FIELD),
    **dict.fromkeys(("410437008", "R-1022E", "410438003", "R-1022F"), OTHER_FIELD),
    **dict.fromkeys(("410439006", "R-10231"), OTHER_FIELD),
}
# structures, CID 4209: fovea centralis and optic nerve head
_STRUCTURES = {
    **dict.fromkeys(("67046006", "T-AA621"), _MACULA),
    **dict.fromkeys(("81016008", "T-AA630"), _DISC),
}
_MACULA_MEANT = re.compile(r"\b(?:macul(?:a|ae|ar)|fove(?:a|al))\b", re.IGNORECASE)
_DISC_MEANT = re.compile(r"\b(?:dis[ck]|optic nerve|papilla|onh)\b", re.IGNORECASE)
# a place beside a structure, such as "temporal to the macula"
_BESIDE = re.compile(
    r"\b(?:mid|between|beside|peri\w*|para\w*|lesion|nasal|temporal|superior|inferior|upper|lower"
    r"|above|below)\b",
    re.IGNORECASE,
)


def field_of_header(ds: Dataset) -> str | None:
    """Return "macula", "disc" or OTHER_FIELD, or None if the header names no field.

    It is OTHER_FIELD if the header names both, another place, or a position that is not known.
    """
    fields: set[str | None] = set()
    for code in items(ds, "RelativeImagePositionCodeSequence"):
        is_blank = not (text(code, "CodeValue") or text(code, "CodeMeaning"))
        fields.add(_field_of_code(code) or (None if is_blank else OTHER_FIELD))
    for code in (*items(ds, "ViewCodeSequence"), *codes_of_regions(ds)):
        fields.add(_field_of_code(code))
    fields.discard(None)
    if not fields:
        return None
    return fields.pop() if len(fields) == 1 else OTHER_FIELD


def _field_of_code(code: Dataset) -> str | None:
    """Return the field of a code, or of its meaning if the code is not known.

    A code whose meaning is another field is not believed.
    """
    field, meant = _field_of_value(code), _field_of_meaning(code)
    if field is None or meant is None or field == meant:
        return field or meant
    return OTHER_FIELD


def _field_of_value(code: Dataset) -> str | None:
    value = text(code, "CodeValue") or ""
    scheme = text(code, "CodingSchemeDesignator")
    if scheme == "DCM":
        return _DICOM_POSITIONS.get(value)
    if scheme in SNOMED:
        return _SNOMED_POSITIONS.get(value) or _STRUCTURES.get(value)
    return None


def _field_of_meaning(code: Dataset) -> str | None:
    meaning = text(code, "CodeMeaning") or ""
    is_macula = _MACULA_MEANT.search(meaning) is not None
    is_disc = _DISC_MEANT.search(meaning) is not None
    if not (is_macula or is_disc):
        return None
    if (is_macula and is_disc) or _BESIDE.search(meaning):
        return OTHER_FIELD
    return _MACULA if is_macula else _DISC
