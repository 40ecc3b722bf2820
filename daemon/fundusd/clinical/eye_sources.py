"""Combine the eyes that the sources of a capture name; pure."""

from __future__ import annotations

from fundusd.domain.capture_warnings import CaptureWarning
from fundusd.domain.clinical_terms import Eye, EyeSource

# warnings of a word that may be a surname: no evidence for one eye, but evidence against the other
LIKELY = {Eye.RIGHT: CaptureWarning.EYE_MAYBE_RIGHT, Eye.LEFT: CaptureWarning.EYE_MAYBE_LEFT}


def agree_on_eye(eyes: set[Eye], warnings: list[str]) -> tuple[Eye, EyeSource]:
    """Return the eye on which all parts of a path agree, and its source.

    The eye is unknown if no part gives an eye or, with a warning, if the parts differ.
    """
    if len(eyes) > 1:
        warnings.append(CaptureWarning.EYE_CONFLICT)
        return Eye.UNKNOWN, EyeSource.CONFLICT
    if not eyes:
        return Eye.UNKNOWN, EyeSource.NONE
    return min(eyes), EyeSource.NAME


def resolve_eye(
    first_eye: Eye, first_source: EyeSource, second_eye: Eye, second_source: EyeSource
) -> tuple[Eye, EyeSource]:
    """Combine the eyes given by two sources, and return the resulting eye and its source.

    If the two disagree, the eye is unknown.

    >>> resolve_eye(Eye.LEFT, EyeSource.IMAGE_LATERALITY, Eye.RIGHT, EyeSource.NAME)
    (<Eye.UNKNOWN: 'U'>, <EyeSource.CONFLICT: 'conflict'>)
    """
    if second_source is EyeSource.NONE:
        return first_eye, first_source
    if first_source is EyeSource.NONE:
        return second_eye, second_source
    if first_eye is second_eye and EyeSource.CONFLICT not in {first_source, second_source}:
        return first_eye, first_source
    return Eye.UNKNOWN, EyeSource.CONFLICT


def checked_eye(eye: Eye, eye_source: EyeSource, warnings: list[str]) -> tuple[Eye, EyeSource]:
    """Return the eye and its source, or an unknown eye if a word in the path contradicts it.

    A warning is added if there is a conflict.
    """
    for likely, code in LIKELY.items():
        if code in warnings and eye not in {likely, Eye.UNKNOWN}:
            eye, eye_source = Eye.UNKNOWN, EyeSource.CONFLICT
    if eye_source is EyeSource.CONFLICT:
        warnings.append(CaptureWarning.EYE_CONFLICT)
    return eye, eye_source
