from __future__ import annotations

import numpy as np
from fundusd_bench import decode

from fundusd.domain.decoding import Preprocessing

SIZE = (640, 480)


def test_each_way_is_timed_and_the_default_compared_with_the_reference() -> None:
    steps: list[str] = []
    figures = decode.measure(3, steps.append, SIZE)
    assert len(steps) == 2
    assert {figure.section for figure in figures} == {"decode"}
    assert {figure.rounds for figure in figures} == {3}
    assert all(0 < figure.lowest <= figure.median <= figure.highest for figure in figures)
    names = [figure.name for figure in figures if figure.unit == "ms"]
    assert {str(how) for how in Preprocessing} < set(names)
    assert len(names) == len(set(names)) == 9
    goals = {figure.name: str(figure.goal) for figure in figures if figure.goal}
    assert goals == {"the reference's preprocessing / pad-square/bilinear448": ">= 2.5"}


def test_the_reference_is_what_one_of_our_ways_reproduces() -> None:
    data = decode.photograph(*SIZE)
    tensor = decode.reference(data)
    assert tensor.shape == (1, 3, 448, 448)
    square = decode.ours(data, Preprocessing.CROP_SQUARE).transpose(2, 0, 1)
    assert np.abs((tensor[0] + 1) * 127.5 - square).max() < 1e-3
