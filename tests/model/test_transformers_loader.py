from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from fundusd_bench import random_checkpoint
from safetensors.torch import load_file, save_file
from tests.model.model_cases import SINGLE, loaded, refusal

from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import SettingsError
from fundusd.model import planning as under_test
from fundusd.model.locate import ModelChoice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny random checkpoint."""
    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    random_checkpoint.write(folder, tiny=True)
    return folder


@pytest.fixture
def broken(tiny: Path, tmp_path: Path) -> Path:
    """Copy the tiny checkpoint, without its manifest, to break it."""
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("fundusd.json"))
    return folder


def write_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> ModelChoice:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    return ModelChoice(str(folder), prompts=SINGLE)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weights: weights.pop("logit_bias"), "1 missing tensors, such as logit_bias"),
        (
            lambda weights: weights.update(extra=torch.zeros(1)),
            "1 unexpected tensors, such as extra",
        ),
        (lambda weights: weights.update(logit_scale=torch.zeros(3)), "cannot read it"),
        (lambda weights: weights["logit_bias"].fill_(torch.nan), "not finite"),
    ],
)
def test_weights_that_do_not_fit_or_are_not_finite_are_refused(
    broken: Path, change: Callable[[dict[str, torch.Tensor]], Any], sentence: str
) -> None:
    assert sentence in refusal(write_weights(broken, change)).message


def test_the_position_buffers_of_old_checkpoints_are_no_strangers(broken: Path) -> None:
    buffer = {"text_model.embeddings.position_ids": torch.arange(64)}

    assert loaded(write_weights(broken, lambda weights: weights.update(buffer))).side == 448


def write_config(folder: Path, change: dict[str, Any], name: str = "config.json") -> ModelChoice:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return ModelChoice(str(folder), prompts=SINGLE)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vision_config": 3}, "does not describe a vision tower"),
        ({"vision_config": {"image_size": 448, "hidden_size": "many"}}, "cannot read it"),
        ({"vision_config": {}}, "needs images of 224 x 224 pixels"),
    ],
)
def test_a_config_that_makes_no_model_is_refused(
    broken: Path, change: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal(write_config(broken, change)).message


@pytest.mark.usefixtures("own_process")
def test_a_tower_of_another_kind_is_refused(broken: Path) -> None:
    vision = json.loads((broken / "config.json").read_text())["vision_config"] | {
        "hidden_act": "relu"
    }

    assert "hidden_act 'relu'" in refusal(write_config(broken, {"vision_config": vision})).message


def test_a_checkpoint_of_another_size_than_the_preprocessing_is_refused(broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    weights["vision_model.embeddings.position_embedding.weight"] = torch.zeros(9, 32)
    save_file(weights, broken / "model.safetensors")
    vision = json.loads((broken / "config.json").read_text())["vision_config"] | {"image_size": 192}
    error = refusal(write_config(broken, {"vision_config": vision}))

    assert "needs images of 192 x 192 pixels" in error.message
    assert "pad-square/bilinear448" in error.message


@pytest.mark.parametrize("preprocessing", list(Preprocessing))
def test_every_preprocessing_goes_with_a_model_of_its_size(
    tiny: Path, preprocessing: Preprocessing
) -> None:
    under_test._check_side(preprocessing, 448)


@pytest.mark.parametrize("kind", ["T5Tokenizer", "PreTrainedTokenizerFast"])
def test_another_kind_of_tokenizer_on_the_same_file_is_refused(broken: Path, kind: str) -> None:
    error = refusal(write_config(broken, {"tokenizer_class": kind}, "tokenizer_config.json"))

    assert (
        "not a SiglipTokenizer" in error.message or "its tokenizer cannot be read" in error.message
    )


def test_a_tokenizer_that_cannot_be_read_is_refused(broken: Path) -> None:
    (broken / "spiece.model").write_bytes(b"not pieces")

    assert (
        "its tokenizer cannot be read" in refusal(ModelChoice(str(broken), prompts=SINGLE)).message
    )


def test_a_tokenizer_of_another_vocabulary_is_refused(broken: Path) -> None:
    text = json.loads((broken / "config.json").read_text())["text_config"] | {"vocab_size": 5}
    choice = write_config(broken, {"text_config": text})
    table = "text_model.embeddings.token_embedding.weight"
    write_weights(broken, lambda weights: weights.update({table: weights[table][:5].clone()}))

    assert "tokens that the model does not know" in refusal(choice).message


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:7", "mps"])
@pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="an accelerator is here"
)
def test_a_device_that_is_not_there_is_refused(tiny: Path, device: str) -> None:
    assert (
        f"finds no device {device!r}"
        in refusal(ModelChoice(str(tiny), prompts=SINGLE, device=device)).message
    )


@pytest.mark.parametrize(
    "change", [{"device": "gpu"}, {"device": "cuda:x"}, {"dtype": "float16"}, {"dtype": "double"}]
)
def test_devices_and_dtypes_that_we_do_not_know_are_wrong_settings(
    tiny: Path, change: dict[str, str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(replace(ModelChoice(str(tiny), prompts=SINGLE), **change))  # type: ignore[arg-type]
    assert "Use auto" in caught.value.hint
