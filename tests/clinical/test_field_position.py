"""Which field a photograph shows, judged from where the optic disc and the macula lie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.field_position import field_shown
from fundusd.domain.clinical_terms import Outcome

GRADED, UNGRADABLE = Outcome.GRADED, Outcome.UNGRADABLE
Measures = dict[str, float]


def measures(
    disc: tuple[float, float],
    macula: tuple[float, float],
    certainty: float = 0.6,
    contrast: float = 0.2,
    lead: float = 0.5,
) -> Measures:
    return {
        "optic_disc_x": disc[0],
        "optic_disc_y": disc[1],
        "optic_disc_certainty": certainty,
        "optic_disc_lead": lead,
        "macula_x": macula[0],
        "macula_y": macula[1],
        "macula_contrast": contrast,
    }


MACULA = measures((0.55, -0.05), (-0.15, 0.05))
DISC = measures((0.05, 0.02), (-0.8, 0.1), contrast=0.06)
BETWEEN = measures((0.36, 0.0), (-0.33, 0.05))


def mirrored(found: Measures) -> Measures:
    return found | {name: -found[name] for name in ("optic_disc_x", "macula_x")}


def flipped(found: Measures) -> Measures:
    return found | {name: -found[name] for name in ("optic_disc_y", "macula_y")}


def test_a2_a_field_centred_on_the_macula_or_the_disc_is_recognised() -> None:
    assert field_shown(MACULA, GRADED) == "macula"
    assert field_shown(DISC, GRADED) == "disc"


@pytest.mark.parametrize(
    "found",
    [
        {},
        BETWEEN,
        MACULA | {"optic_disc_certainty": 0.2},
        MACULA | {"macula_contrast": 0.09},
        MACULA | {"macula_x": -0.26},
        MACULA | {"optic_disc_x": 0.39},
        measures((0.45, 0.0), (-0.1, 0.0)),  # too near to the disc for a macula
        measures((0.45, -0.5), (0.0, 0.1)),  # the disc is above the macula
        measures((0.0, 0.7), (0.0, 0.0)),  # and here below
        DISC | {"optic_disc_certainty": 0.2},
        DISC | {"optic_disc_lead": 0.35},  # exudates or a reflection, and the disc elsewhere
        DISC | {"optic_disc_x": 0.18},
        DISC | {"macula_contrast": 0.12},
        measures((0.1, 0.1), (-0.4, 0.0), contrast=0.06),
    ],
)
def test_a2_a_field_that_is_not_clearly_one_of_the_two_is_not_known(found: Measures) -> None:
    assert field_shown(found, GRADED) is None


def test_a2_measures_of_an_older_version_show_no_field() -> None:
    for found in (MACULA, DISC):
        older = {name: value for name, value in found.items() if name != "optic_disc_lead"}
        assert field_shown(older, GRADED) is None


def test_a2_an_ungradable_photograph_never_shows_the_disc() -> None:
    assert field_shown(DISC, UNGRADABLE) is None
    assert field_shown(MACULA, UNGRADABLE) == "macula"


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED])
@pytest.mark.parametrize("found", [MACULA, DISC])
def test_a2_what_is_no_retina_shows_no_field(found: Measures, outcome: Outcome) -> None:
    assert field_shown(found, outcome) is None


PLACES = st.tuples(st.floats(-1, 1), st.floats(-1, 1))


@given(
    st.builds(measures, PLACES, PLACES, st.floats(0, 1), st.floats(-0.1, 0.5), st.floats(0, 1)),
    st.sampled_from([GRADED, UNGRADABLE]),
)
def test_a2_mirrored_and_upside_down_pictures_show_the_same_field(
    found: Measures, outcome: Outcome
) -> None:
    field = field_shown(found, outcome)
    assert field_shown(mirrored(found), outcome) == field
    assert field_shown(flipped(found), outcome) == field
    assert field_shown(mirrored(flipped(found)), outcome) == field
