"""Tell from the places of the optic disc and the macula which field a photograph shows; pure.

A wrong field is worse than none: a good photograph of the disc would make up for an unreadable one
of the macula. Therefore the field is given only if several measures agree on it by a wide margin.
Left and right, and above and below, do not matter, so that mirrored pictures and those turned by
180 degrees give the same field.
"""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

_MIN_CERTAINTY = 0.25  # of the place of the optic disc
# a field centred on the macula: distances in radii
_MIN_CONTRAST = 0.1  # of the macula
_MAX_FROM_MACULA = 0.25
_MIN_TO_DISC = 0.4  # sideways
_MIN_APART = 0.6  # macula and disc
_MAX_SLOPE = 0.5  # from the macula to the disc: in fields above or below, the disc is not beside it
# a field centred on the optic disc
_MIN_LEAD = 0.4  # of the disc: in a field of the macula, exudates and reflections have a rival
_MAX_FROM_DISC = 0.17
_MAX_CONTRAST = 0.09  # near the edge, the macula is faint
_MIN_TO_MACULA = 0.6


def field_shown(measures: Mapping[str, float], outcome: Outcome) -> str | None:
    """Return "macula" or "disc", the field that a photograph clearly shows, or None.

    `measures` are those of `fundusd.imaging.optic_disc`. In an ungradable photograph, a reflection
    or a haze may look like the disc, so only a gradable one is said to show the disc.

    >>> disc = {"optic_disc_x": -0.6, "optic_disc_y": -0.1}
    >>> disc |= {"optic_disc_certainty": 0.5, "optic_disc_lead": 0.6}
    >>> macula = {"macula_x": 0.1, "macula_y": 0.0, "macula_contrast": 0.2}
    >>> field_shown(disc | macula, Outcome.GRADED)
    'macula'
    """
    if outcome not in {Outcome.GRADED, Outcome.UNGRADABLE}:
        return None
    if "optic_disc_lead" not in measures:  # nothing was measured, or by an older version
        return None
    if measures["optic_disc_certainty"] < _MIN_CERTAINTY:
        return None
    if _is_centred_on_macula(measures):
        return "macula"
    if outcome is Outcome.GRADED and _is_centred_on_disc(measures):
        return "disc"
    return None


def _is_centred_on_macula(measures: Mapping[str, float]) -> bool:
    sideways = abs(measures["optic_disc_x"] - measures["macula_x"])
    upwards = abs(measures["optic_disc_y"] - measures["macula_y"])
    return (
        measures["macula_contrast"] >= _MIN_CONTRAST
        and hypot(measures["macula_x"], measures["macula_y"]) <= _MAX_FROM_MACULA
        and abs(measures["optic_disc_x"]) >= _MIN_TO_DISC
        and hypot(sideways, upwards) >= _MIN_APART
        and upwards <= _MAX_SLOPE * sideways
    )


def _is_centred_on_disc(measures: Mapping[str, float]) -> bool:
    return (
        measures["optic_disc_lead"] >= _MIN_LEAD
        and hypot(measures["optic_disc_x"], measures["optic_disc_y"]) <= _MAX_FROM_DISC
        and measures["macula_contrast"] < _MAX_CONTRAST
        and hypot(measures["macula_x"], measures["macula_y"]) >= _MIN_TO_MACULA
    )
