"""Naming conventions of camera exports, as data, with the evidence for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ConventionName = Literal[
    "generic",
    "retcam-output",
    "optomed-aurora",
    "remidio-fop",
    "remidio-pristine",
    "iitk-strabismus",
    "phelcom-eyer",
    "zeiss-dicom",
    "sop-uid",
    "heidelberg-e2e",
    "eyepacs",
    "ai-readi",
]


@dataclass(frozen=True, slots=True)
class Convention:
    """The patterns of a camera's paths; all patterns that match a path must agree.

    `evidence` holds remarks, and the numbers of the cameras from whose exports the convention was
    derived.
    """

    evidence: str
    patterns: tuple[str, ...] = ()
    words: bool = False  # also read the eye from whole words of the name


_ID = r"(?P<patient>(?=[^_/]*\d)[^_/]+)"  # a digit, or it may be a name
_REMIDIO_NAME = (
    _ID
    + r"_(?P<person>[^/]+)_(?P<date>\d{1,2}-\d{1,2}-\d{4})"
    + r"_(?P<time>\d{1,2}\.\d\d\.\d\d\.\d{1,3}_[AP]M)"
)
_REMIDIO_FOLDER = r"[^/]+_" + _ID + r"_[\d.-]{6,10}/"
_ZEISS_NAME = (
    r"(?P<person>[^/]+)_[\d.-]{6,10}_(?P<date>\d{8})_(?P<time>\d{4}(?:\d\d)?)"
    r"_[^_/]+(?:_[^_/]+)?_(?P<eye>OD|OS)_[\d.]+"
)
_RETCAM_NAME = r"_Retina_(?:OD|OS)_\d{8}_\d{6}"
_AI_READI_END = r"_(?:cfp|faf|ir|octa?)(?:_(?P<eye>[lr]))?(?:_\d[\d.]+)?"

CONVENTIONS: dict[ConventionName, Convention] = {
    "generic": Convention("laterality words seen, below the table", words=True),
    "retcam-output": Convention(
        "1 and 2: names changed with the version; later ones give the eye, earlier ones only the "
        "patient, by the folder",
        (
            r"(?P<patient>[^/]+)_Retina_(?P<eye>OD|OS)_(?P<date>\d{8})_(?P<time>\d{6})",
            r"(?P<patient>[^/]+?)_?/[^/]+" + _RETCAM_NAME,
            r"(?P<patient>[^/]+?)_?/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        ),
    ),
    "optomed-aurora": Convention(
        "3: folders are numbered, without a patient; the eye is never in the name", (r"IM\d+EY",)
    ),
    "remidio-fop": Convention("4", (_REMIDIO_NAME, _REMIDIO_FOLDER + r"fop/[^/]+")),
    "remidio-pristine": Convention(
        "5: like 4, without the folder fop", (_REMIDIO_NAME, _REMIDIO_FOLDER + r"[^/]+")
    ),
    "iitk-strabismus": Convention(
        "6: left and right are gazes here, not eyes",
        (
            r"MRN(?P<patient>[^_/]+)_(?P<date>\d{8})_[^/]+",
            r"MRN(?P<patient>[^_/]+)_(?P<date>\d{8})_[^/]+/MRN[^/]+",
        ),
    ),
    "phelcom-eyer": Convention("7: the clinic chooses the template, and describes it in `pattern`"),
    "zeiss-dicom": Convention(
        "8",
        (_ZEISS_NAME,),
    ),
    "sop-uid": Convention(
        "9: the position of the identifier inside the UID is not known", (r"\d[\w.-]*\.[\w.-]+",)
    ),
    "heidelberg-e2e": Convention("10: the eye is inside the file", (r"(?P<patient>\d+)_\d+_\d+",)),
    "eyepacs": Convention("11", (r"(?P<patient>\d+)_(?P<eye>left|right)",)),
    "ai-readi": Convention(
        "12: mac_or_disk is not a field; published names also give the eye and the SOPInstanceUID",
        (
            r"(?P<patient>\d+)_[a-z0-9_]+?(?:_(?P<field>macula))?" + _AI_READI_END,
            r"(?P<patient>\d+)/\d+_[a-z0-9_]+?" + _AI_READI_END,
        ),
    ),
}  # fmt: skip
NAMES: tuple[ConventionName, ...] = get_args(ConventionName)
