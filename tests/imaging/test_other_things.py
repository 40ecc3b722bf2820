"""What lies behind a round aperture is no retina if it has one colour."""

from __future__ import annotations

import numpy as np
import pytest
from tests.imaging.drawn_things import MATERIALS, draw, lens_cap

from fundusd.domain.clinical_terms import Eye, Grade, Outcome, Reason
from fundusd.imaging.phantoms import render
from fundusd.imaging.quality_gate import gate, measure

SIZES = [(500, 500), (700, 900)]
ROUGH = {"orange peel", "rough tongue"}  # in one tone, like a picture toned in one colour


@pytest.mark.parametrize("is_round", [True, False])
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("material", sorted(MATERIALS.keys() - ROUGH))
def test_a_smooth_material_is_no_retina(
    material: str, height: int, width: int, *, is_round: bool
) -> None:
    picture = draw(material, height, width, is_round=is_round)
    assert gate(measure(picture)) is Reason.NOT_RETINA


@pytest.mark.parametrize("is_round", [True, False])
@pytest.mark.parametrize("material", sorted(ROUGH))
def test_a_rough_material_is_refused(material: str, *, is_round: bool) -> None:
    reason = gate(measure(draw(material, 700, 900, is_round=is_round)))
    assert reason is not None
    assert reason.outcome is Outcome.REFUSED


@pytest.mark.parametrize("is_round", [True, False])
@pytest.mark.parametrize(
    "material", ["light skin", "smooth orange", "smooth tongue", "wall", "paper", "plain disc"]
)
def test_hairs_and_veins_make_no_retina(material: str, *, is_round: bool) -> None:
    for lines in ("hairs", "veins"):
        reason = gate(measure(draw(material, 700, 900, is_round=is_round, lines=lines)))
        assert reason is not None
        assert reason.outcome is Outcome.REFUSED, lines


@pytest.mark.parametrize("side", [600, 1600])
def test_the_glow_around_a_lens_cap_is_never_graded(side: int) -> None:
    assert gate(measure(lens_cap(side))) in {Reason.NOT_RETINA, Reason.LOW_CONTRAST}


@pytest.mark.parametrize("haze", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("grade", [Grade.NO_DR, Grade.PDR])
def test_a_retina_behind_a_uniform_haze_stays_a_retina(grade: Grade, haze: float) -> None:
    phantom = render(grade, Eye.LEFT, 5, 900, 900)
    lit = phantom.max(axis=2, keepdims=True) > 8
    pale = (1 - haze) * phantom + haze * np.array((150, 120, 95))
    reason = gate(measure(np.where(lit, pale, 0).astype(np.uint8)))
    assert reason is None or reason.outcome is Outcome.UNGRADABLE
