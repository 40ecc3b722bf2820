"""The reference example's path, and ours beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fundusd_bench import random_checkpoint
from fundusd_bench.reference import PROMPTS, Reference
from tests.model.model_cases import SEVERAL, loaded

from fundusd.clinical import grading
from fundusd.domain.clinical_terms import Eye, Grade
from fundusd.domain.decoding import Preprocessing
from fundusd.imaging import phantoms
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.model.locate import ModelChoice
from fundusd.model.prompts import load_prompt_set

CROPPED = Preprocessing.CROP_SQUARE


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny random checkpoint."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


@pytest.fixture(scope="session")
def reference(tiny: Path) -> Reference:
    return Reference(tiny)


@pytest.fixture(scope="session")
def photographs() -> list[bytes]:
    return [phantoms.as_jpeg(phantoms.render(grade, Eye.RIGHT, 3, 800, 600)) for grade in Grade]


def squares(photographs: list[bytes]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    decoded = [decode(data, CROPPED, 448, Limits()).pixels for data in photographs]
    return np.stack([pixels for pixels in decoded if pixels is not None])


def test_our_scores_equal_the_references(
    tiny: Path, reference: Reference, photographs: list[bytes]
) -> None:
    ours = loaded(ModelChoice(str(tiny), prompts=PROMPTS, preprocessing=CROPPED, dtype="float32"))
    scores = [grading.softmax(logits) for logits in ours.logits(squares(photographs)).tolist()]
    expected = [reference.classify(data) for data in photographs]

    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.001, (
        "photographs that score alike would prove nothing"
    )


@pytest.mark.parametrize("name", [PROMPTS, SEVERAL])
def test_embeddings_score_by_the_references_texts_as_the_classifier_scores_them(
    tiny: Path, reference: Reference, photographs: list[bytes], name: str
) -> None:
    ours = loaded(ModelChoice(str(tiny), prompts=name, preprocessing=CROPPED, dtype="float32"))
    pixels = squares(photographs)
    texts = reference.embed_texts(load_prompt_set(name))
    expected = [grading.softmax(logits) for logits in ours.logits(pixels).tolist()]

    np.testing.assert_allclose(texts.scores(ours.embed(pixels)), expected, atol=1e-5)


def test_the_reference_prints_a_class_for_each_path_it_reads(
    tiny: Path, photographs: list[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "retina.jpg"
    path.write_bytes(photographs[0])
    command = [sys.executable, "-m", "fundusd_bench.reference", str(tiny)]
    output = subprocess.run(
        command, input=f"{path}\n{path}\n", check=True, capture_output=True, text=True
    )
    first, second = output.stdout.splitlines()
    assert first == second
    assert first.startswith("Predicted class: ")
