"""The shipped model grades held-out phantoms correctly, but not with sabotaged input."""

from __future__ import annotations

import json
import tomllib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fundusd.clinical import grading
from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.decoding import Preprocessing
from fundusd.files import package_data
from fundusd.imaging import phantoms
from fundusd.imaging.preprocessing import preprocess
from fundusd.model import planning
from fundusd.model.classifier import ZeroShotClassifier
from fundusd.model.locate import ModelChoice, find

if TYPE_CHECKING:
    from fundusd.domain.decoding import Pixels

SEED = 2_000_000  # neither trained on nor in the card's held-out set
GRADES = [Grade(number % 5) for number in range(30)]


def loaded(prompts: str) -> ZeroShotClassifier:
    choice = ModelChoice("phantom", "", prompts=prompts)
    return planning.load(find(choice), choice, referable_rule="rule", quality_gate="gate")


def render(number: int) -> Pixels:
    eye = (Eye.RIGHT, Eye.LEFT)[number // 5 % 2]
    with Image.open(
        BytesIO(phantoms.as_jpeg(phantoms.render(GRADES[number], eye, SEED + number)))
    ) as picture:
        return preprocess(np.asarray(picture), Preprocessing.PAD_SQUARE, 448)


@pytest.fixture(scope="module")
def held_out() -> Pixels:
    return np.stack([render(number) for number in range(len(GRADES))])


@pytest.fixture(scope="module")
def descriptive() -> ZeroShotClassifier:
    return loaded("icdr-descriptive")


def share_right(model: ZeroShotClassifier, pixels: Pixels) -> float:
    right = 0
    for image, grade in zip(pixels, GRADES, strict=True):
        right += grading.grade(model.logits(image[None])[0].tolist()).grade is grade
    return right / len(GRADES)


@pytest.mark.parametrize("prompts", ["icdr-descriptive", "severity-short"])
def test_held_out_phantoms_are_graded_as_rendered(held_out: Pixels, prompts: str) -> None:
    # the card says 93 % of 300; such a model has fewer than 24 of 30 right once in 1,000 times
    assert share_right(loaded(prompts), held_out) >= 0.8


def test_the_card_says_at_least_ninety_percent() -> None:
    card = (package_data.folder("model/phantom") / "README.md").read_text()
    assert "not for patients" in card
    shares = [
        float(line.split("**")[1].split("%")[0])
        for line in card.splitlines()
        if "% exact**" in line
    ]
    assert len(shares) == 2
    assert min(shares) >= 90


def test_a_channel_swap_breaks_it(held_out: Pixels, descriptive: ZeroShotClassifier) -> None:
    assert share_right(descriptive, held_out[..., ::-1].copy()) < 0.7


def test_a_wrong_normalisation_breaks_it(held_out: Pixels, descriptive: ZeroShotClassifier) -> None:
    halved = (255 + held_out.astype(np.uint16)) // 2  # gives x / 255 after / 127.5 - 1
    zero_to_one = halved.astype(np.uint8)
    assert share_right(descriptive, zero_to_one) < 0.7


def test_a_shuffled_prompt_set_breaks_it(held_out: Pixels, tmp_path: Path) -> None:
    source = package_data.folder("config") / "prompts" / "icdr-descriptive.toml"
    tables = tomllib.loads(source.read_text())["grade"]
    shuffled = [
        {"grade": (table["grade"] + 2) % 5, "prompts": table["prompts"]} for table in tables
    ]
    lines = ['name = "shuffled"', 'about = "every prompt under a wrong grade"']
    for table in shuffled:
        lines += [
            "[[grade]]",
            f"grade = {table['grade']}",
            f"prompts = {json.dumps(table['prompts'])}",
        ]
    (tmp_path / "shuffled.toml").write_text("\n".join(lines))
    assert share_right(loaded(str(tmp_path / "shuffled.toml")), held_out) < 0.3


def test_every_shipped_file_is_the_one_its_manifest_names() -> None:
    checkpoint = find(ModelChoice("phantom", ""))
    manifest = json.loads((package_data.folder("model/phantom") / "fundusd.json").read_text())
    assert dict(checkpoint.files).items() <= manifest["files"].items()
    assert checkpoint.label == "fundusd/phantom-1 (trained on rendered phantoms; not for patients)"
