"""Read which eye a DICOM header names, from every place where it may do so.

No function here raises an exception, whatever values the header contains.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource
from fundusd.imaging.dicom_values import BAD_VALUE, items, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

_BOTH = "B"
_UNREADABLE = "?"
_SIDES = {
    **dict.fromkeys(("R", "OD", "RIGHT"), "R"),
    **dict.fromkeys(("L", "OS", "LEFT"), "L"),
    **dict.fromkeys(("B", "OU", "BOTH"), _BOTH),
}

# SNOMED CT, and SNOMED RT as in older files. Right, left, bilateral and both eyes are in DICOM CID
# 244 and 4209. The codes of one eye, fundus, macula or disc are those that FHIR implementation
# guides and public programs use (read in November 2026), not taken from a SNOMED release.
# Therefore no code is believed if its meaning names the other side.
SNOMED = {"SCT", "SRT", "SNM3", "99SDM", "2.16.840.1.113883.6.96"}
_CODES = {
    **dict.fromkeys(("24028007", "G-A100"), "R"),
    **dict.fromkeys(("7771000", "G-A101"), "L"),
    **dict.fromkeys(("51440002", "G-A102", "40638003", "T-AA180", "362508001"), _BOTH),
    **dict.fromkeys(("18944008", "362502000", "1290032005", "723298005"), "R"),
    **dict.fromkeys(("721945009", "721900005"), "R"),
    **dict.fromkeys(("8966001", "362503005", "1290031003", "723299002"), "L"),
    **dict.fromkeys(("721947001", "721899000"), "L"),
}
_VALUES = ("CodeValue", "LongCodeValue", "URNCodeValue")
_REGIONS = {
    "AnatomicRegionSequence": "AnatomicRegionModifierSequence",
    "PrimaryAnatomicStructureSequence": "PrimaryAnatomicStructureModifierSequence",
}
_PLAIN = re.compile(r"\b(?:right|left)\b", re.IGNORECASE)
# right and left in English, Latin, German, French, Spanish, Italian, Portuguese and Dutch
_MEANING = re.compile(
    r"\b(?:(right|od|oculus dexter|dext(?:er|ra|rum)|recht(?:s|e[rsmn]?)|rechteroog|droite?"
    r"|derech[oa]|destr[oa]|direit[oa])"
    r"|left|os|oculus sinister|sinist(?:er|ra|rum|r[oa])|links|linke[rsmn]?|linkeroog|gauche"
    r"|izquierd[oa]|esquerd[oa]|oi|oe|og)\b",
    re.IGNORECASE,
)
_BOTH_MEANT = re.compile(r"\b(?:ou|both|bilateral|beide|ambos|entrambi)\b", re.IGNORECASE)
# a modifier of such a meaning is not one of the side
_NOT_A_SIDE = re.compile(
    r"\b(?:anterior|central|deep|distal|entire|external|internal|lateral|lower|medial|nasal|part"
    r"|peripheral|posterior|proximal|quadrant|superior|inferior|superficial|temporal|unilateral|upper|whole)\b",
    re.IGNORECASE,
)
# "left lower quadrant" is a place
_PLACES = re.compile(
    r"\b(?:quadrant|upper|lower|superior|inferior|nasal|temporal)\b", re.IGNORECASE
)
_LIKELY = {"R": CaptureWarning.EYE_MAYBE_RIGHT, "L": CaptureWarning.EYE_MAYBE_LEFT}


def laterality(ds: Dataset, warnings: list[str]) -> tuple[Eye, EyeSource]:
    """Return the eye and the first tag that specifies it.

    The eye is unknown if tags disagree: then CONFLICT is returned in place of a tag. It is also
    unknown, with a warning, if a tag says both eyes or has a value that is not an eye. The tag is
    then returned all the same, so that no other source decides the eye.
    """
    entries = list(_entries(ds))
    for side in _sides_of_unknown_codes(ds):
        warnings.append(_LIKELY[side])
    if not entries and _has_unclear_code(ds):
        warnings.append(CaptureWarning.EYE_UNREADABLE)
        return Eye.UNKNOWN, EyeSource.LATERALITY
    if not entries:
        return Eye.UNKNOWN, EyeSource.NONE
    for side, source in entries:
        if side == _UNREADABLE:
            warnings.append(CaptureWarning.EYE_UNREADABLE)
            return Eye.UNKNOWN, source
    if len({side for side, _ in entries}) > 1:
        return Eye.UNKNOWN, EyeSource.CONFLICT
    side, source = entries[0]
    if side == _BOTH:
        warnings.append(CaptureWarning.EYE_BOTH)
        return Eye.UNKNOWN, source
    return Eye(side), source


def _entries(ds: Dataset) -> Iterator[tuple[str, EyeSource]]:
    """Yield every side in the header with its tag, in order of precedence.

    The side of an anatomic region counts as that of Laterality.
    """
    for side in _sides(ds, "ImageLaterality"):
        yield side, EyeSource.IMAGE_LATERALITY
    for side in _sides(ds, "Laterality"):
        yield side, EyeSource.LATERALITY
    for anatomy in _frame_anatomies(ds):
        for side in _sides(anatomy, "FrameLaterality"):
            yield side, EyeSource.FRAME_LATERALITY
    for code in codes_of_regions(ds):
        for side in _sides_of_code(code):
            yield side, EyeSource.LATERALITY


def _sides(ds: Dataset, keyword: str) -> Iterator[str]:
    """Yield the side for each value of a tag that is not blank."""
    if keyword not in ds:
        return
    try:
        value = ds.get(keyword)
        parts = [value] if isinstance(value, str | bytes) else list(value or ())
        texts = [_plain(part) for part in parts]
    except BAD_VALUE:
        texts = [_UNREADABLE]
    for word in "\\".join(texts).split("\\"):
        if word.strip():
            yield _SIDES.get(word.strip().upper(), _UNREADABLE)


def _plain(part: object) -> str:
    if isinstance(part, bytes):
        part = part.decode("latin-1")
    return "".join(letter for letter in str(part) if letter.isprintable())


def _frame_anatomies(ds: Dataset) -> Iterator[Dataset]:
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in items(ds, keyword):
            yield from items(group, "FrameAnatomySequence")


def codes_of_regions(ds: Dataset) -> Iterator[Dataset]:
    """Yield the code of each anatomic region in the header, and of each of their modifiers."""
    yield from _regions(ds)
    yield from _modifiers(ds)


def _regions(ds: Dataset) -> Iterator[Dataset]:
    for place in (ds, *_frame_anatomies(ds)):
        for keyword in _REGIONS:
            yield from items(place, keyword)


def _modifiers(ds: Dataset) -> Iterator[Dataset]:
    for region in _regions(ds):
        for keyword in _REGIONS.values():
            yield from items(region, keyword)


def _sides_of_code(code: Dataset) -> Iterator[str]:
    """Yield the side of a code in SNOMED, and that of its meaning if this is another one."""
    side = _side_of_value(code)
    if side is None:
        return
    yield side
    meant = _side_of_meaning(code)
    if meant and side != _BOTH:
        yield meant


def _sides_of_unknown_codes(ds: Dataset) -> Iterator[str]:
    """Yield the side that a private code or its meaning names: it is not enough for an eye."""
    for code in codes_of_regions(ds):
        if _side_of_value(code) is not None:
            continue
        meant = _CODES.get(text(code, "CodeValue") or "") or _side_of_meaning(code)
        if meant and meant != _BOTH:
            yield meant


def _has_unclear_code(ds: Dataset) -> bool:
    """Return whether a code seems to name a side or both eyes, but cannot be read.

    A private code that means "left" or "right" in English can be read: it can contradict. Other
    modifiers in SNOMED are not those of a side.
    """
    for region in _regions(ds):
        if _is_unclear(region):
            return True
    for modifier in _modifiers(ds):
        meaning = text(modifier, "CodeMeaning") or ""
        has_value = any(text(modifier, keyword) for keyword in _VALUES) or meaning
        is_other = _PLAIN.search(meaning) or _NOT_A_SIDE.search(meaning)
        is_known = text(modifier, "CodingSchemeDesignator") in SNOMED or is_other
        if _is_unclear(modifier) or (has_value and not is_known):
            return True
    return False


def _is_unclear(code: Dataset) -> bool:
    if _side_of_value(code) is not None:
        return False
    meaning = text(code, "CodeMeaning") or ""
    if _BOTH_MEANT.search(meaning) or text(code, "CodeValue") in _CODES:
        return True
    return _side_of_meaning(code) is not None and not _PLAIN.search(meaning)


def _side_of_value(code: Dataset) -> str | None:
    if text(code, "CodingSchemeDesignator") not in SNOMED:
        return None
    return _CODES.get(text(code, "CodeValue") or "")


def _side_of_meaning(code: Dataset) -> str | None:
    """Return the side that a code's meaning names, or None if it names none, both or a place."""
    meaning = text(code, "CodeMeaning") or ""
    sides = set()
    for match in _MEANING.finditer(meaning):
        sides.add("R" if match[1] else "L")
    if len(sides) != 1 or _PLACES.search(meaning):
        return None
    return sides.pop()
