"""Builders that the tests of the model share."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2 as pb

from fundusd.domain.errors import ModelError
from fundusd.model.classifier import ZeroShotClassifier
from fundusd.model.locate import ModelChoice, find
from fundusd.model.planning import ModelPlan, load, plan

if TYPE_CHECKING:
    from pathlib import Path

    from fundusd.domain.decoding import Pixels
    from fundusd.domain.inference import Logits

RULES = {"referable_rule": "icdr>=2/argmax", "quality_gate": "none"}
SINGLE = "severity-short"  # one prompt per grade
SEVERAL = "icdr-descriptive"
_PIECES = (
    *string.ascii_letters,
    *string.digits,
    *"\u2581.,:;()-",
    *(
        "\u2581" + word
        for word in ("no", "mild", "moderate", "severe", "proliferative", "diabetic", "retinopathy")
    ),
)
_TOKENIZER_CONFIG = {
    "tokenizer_class": "SiglipTokenizer",
    "model_input_names": ["input_ids"],
    "model_max_length": 64,
    "do_lower_case": True,
    "eos_token": "</s>",
    "pad_token": "</s>",
    "unk_token": "<unk>",
}


def loaded(choice: ModelChoice, **more: Any) -> ZeroShotClassifier:
    return load(find(choice), choice, **RULES | more)


def planned(choice: ModelChoice) -> ModelPlan:
    return plan(
        find(choice),
        choice,
        referable_rule=RULES["referable_rule"],
        quality_gate=RULES["quality_gate"],
    )


def refusal(choice: ModelChoice) -> ModelError:
    with pytest.raises(ModelError) as caught:
        loaded(choice)
    assert caught.value.hint
    return caught.value


def some_pixels(count: int) -> Pixels:
    """Return smooth colourful squares, since plain noise makes all embeddings alike."""
    coarse = np.random.default_rng(7).integers(0, 256, (count, 7, 7, 3), np.uint8)
    return np.kron(coarse, np.ones((1, 64, 64, 1), np.uint8))


def reference_inputs(folder: Path, prompts: list[str], pixels: Pixels) -> dict[str, torch.Tensor]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompts, padding="max_length", max_length=64)["input_ids"]
    scaled = (pixels.astype(np.float32) * np.float32(1 / 255) - np.float32(0.5)) / np.float32(0.5)
    return {
        "input_ids": torch.tensor(ids),
        "pixel_values": torch.tensor(scaled).permute(0, 3, 1, 2).contiguous(),
    }


def softmax(logits: Logits | torch.Tensor) -> Logits:
    scores: Logits = torch.as_tensor(logits).softmax(dim=-1).numpy()
    return scores


def build_tokenizer(folder: Path) -> None:
    """Build a SigLIP tokenizer of letters and a few words, with the same bytes everywhere."""
    model = pb.ModelProto()
    piece = pb.ModelProto.SentencePiece
    for name, kind in (("<pad>", piece.CONTROL), ("</s>", piece.CONTROL), ("<unk>", piece.UNKNOWN)):
        model.pieces.add(piece=name, score=0.0, type=kind)
    for name in _PIECES:
        model.pieces.add(piece=name, score=-20.0 / len(name), type=piece.NORMAL)
    model.trainer_spec.model_type = pb.TrainerSpec.UNIGRAM
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    model.normalizer_spec.name = "identity"
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    (folder / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG))
