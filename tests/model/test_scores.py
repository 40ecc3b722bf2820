from __future__ import annotations

import itertools
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from fundusd_bench import random_checkpoint
from tests.model.model_cases import (
    RULES,
    SEVERAL,
    SINGLE,
    loaded,
    reference_inputs,
    softmax,
    some_pixels,
)

import fundusd
from fundusd.model.locate import ModelChoice, find
from fundusd.model.prompts import load_prompt_set

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.domain.inference import Classifier
    from fundusd.model.classifier import ZeroShotClassifier


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny random checkpoint."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


@pytest.fixture(scope="session")
def single(tiny: Path) -> ZeroShotClassifier:
    return loaded(ModelChoice(str(tiny), prompts=SINGLE, dtype="float32"))


def test_scores_equal_those_of_the_whole_siglip_model(
    tiny: Path, single: ZeroShotClassifier
) -> None:
    pixels = some_pixels(4)
    prompts = [grade[0] for grade in load_prompt_set(SINGLE).prompts]
    model = transformers.SiglipModel.from_pretrained(tiny).eval()
    with torch.inference_mode():
        expected = model(**reference_inputs(tiny, prompts, pixels)).logits_per_image

    logits = single.logits(pixels)

    assert logits.dtype == np.float32
    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-5)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert np.ptp(softmax(logits), axis=0).max() > 0.01, (
        "captures that score alike would prove nothing"
    )


def test_several_prompts_of_a_grade_are_averaged_as_unit_vectors(tiny: Path) -> None:
    pixels = some_pixels(3)
    grades = load_prompt_set(SEVERAL).prompts
    model = transformers.SiglipModel.from_pretrained(tiny).eval()
    with torch.inference_mode():
        sentences = list(itertools.chain.from_iterable(grades))
        output = model(**reference_inputs(tiny, sentences, pixels))
        texts, means = output.text_embeds.numpy().astype(np.float64), []
        for grade in grades:
            mean = texts[: len(grade)].mean(axis=0)
            means.append(mean / np.linalg.norm(mean))
            texts = texts[len(grade) :]
        scale, bias = model.logit_scale.exp().item(), model.logit_bias.item()
        expected = output.image_embeds.numpy() @ np.array(means).T * scale + bias

    logits = loaded(ModelChoice(str(tiny), prompts=SEVERAL, dtype="float32")).logits(pixels)

    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-5)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_batch_scores_as_its_captures_do_alone(single: ZeroShotClassifier) -> None:
    pixels = some_pixels(5)
    alone = np.concatenate([single.logits(pixels[i : i + 1]) for i in range(5)])

    np.testing.assert_allclose(single.logits(pixels), alone, atol=1e-4)


def test_channels_are_not_interchangeable(single: ZeroShotClassifier) -> None:
    pixels = some_pixels(1)

    assert np.abs(single.logits(pixels) - single.logits(pixels[..., ::-1])).max() > 0.01


def test_pixels_that_may_not_be_written_to_are_classified_too(single: ZeroShotClassifier) -> None:
    pixels = some_pixels(1)
    expected = single.logits(pixels)
    pixels.flags.writeable = False

    np.testing.assert_array_equal(single.logits(pixels), expected)


def test_bf16_serves_the_tower_only_and_the_rest_is_fp32(
    tiny: Path, single: ZeroShotClassifier
) -> None:
    narrow = loaded(ModelChoice(str(tiny), prompts=SINGLE, dtype="bfloat16"))
    pixels = some_pixels(4)
    logits = narrow.logits(pixels)

    assert narrow.release.dtype == "bfloat16"
    assert {part.dtype for part in (narrow._head.texts, narrow._head.scale, narrow._head.bias)} == {
        np.dtype(np.float32)
    }
    np.testing.assert_array_equal(narrow._head.texts, single._head.texts)
    assert narrow.embed(pixels).dtype == np.float32
    # fp32 logits do not lie on bf16's grid
    assert np.abs(logits - torch.tensor(logits).bfloat16().float().numpy()).max() > 0
    np.testing.assert_allclose(logits, single.logits(pixels), atol=1.0)


def test_the_release_says_what_fixes_the_numbers(tiny: Path, single: ZeroShotClassifier) -> None:
    checkpoint, prompts = find(ModelChoice(str(tiny))), load_prompt_set(SINGLE)
    release = single.release

    assert release.model == f"{random_checkpoint.NAME} ({random_checkpoint.NOTICE})"
    assert (release.revision, release.weights_digest) == (
        checkpoint.revision,
        checkpoint.weights_digest,
    )
    assert (release.tokenizer_digest, release.files) == (
        checkpoint.tokenizer_digest,
        checkpoint.files,
    )
    assert (release.prompt_set, release.prompt_digest) == (SINGLE, prompts.digest)
    assert (release.preprocessing, release.dtype) == ("pad-square/bilinear448", "float32")
    assert release.head == "zero-shot/softmax"
    assert (release.referable_rule, release.quality_gate) == tuple(RULES.values())
    assert release.program_version == fundusd.__version__


def test_a_classifier_is_what_the_worker_expects(single: ZeroShotClassifier) -> None:
    classifier: Classifier = single

    assert (single.side, classifier.forward_limit) == (448, 1)
    assert single.device_name == "cpu"
    # not torch.__version__, which may add the name of a build that the metadata leaves out
    assert single.release.runtime == f"torch {version('torch')} on cpu"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 448, 448, 3), np.float32),
        np.zeros((1, 3, 448, 448), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((448, 448, 3), np.uint8),
    ],
)
def test_pixels_of_another_shape_or_kind_are_a_mistake_of_ours(
    single: ZeroShotClassifier, pixels: Any
) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        single.logits(pixels)
