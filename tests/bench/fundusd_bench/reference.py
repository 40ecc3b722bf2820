"""The reference example that `fundusd bench` compares with, written from its description.

It loads the whole model in fp32 and embeds the prompts again with each photograph.

python -m fundusd_bench.reference FOLDER < paths, one a line
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor
from transformers.utils import logging

from fundusd.domain.clinical_terms import Grade
from fundusd.model.prompts import PromptSet, load_prompt_set

if TYPE_CHECKING:
    import numpy.typing as npt

    from fundusd.domain.inference import Logits

PROMPTS = "severity-short"
_SIDE = 448  # pixels
_TOKENS = 64  # the model pools at the last of them


@dataclass(frozen=True, slots=True)
class Texts:
    """A prompt set embedded by the whole model in fp32, with its scale and bias."""

    units: npt.NDArray[np.float64]  # [5, d], one per grade
    scale: float
    bias: float

    def scores(self, pooled: Logits) -> npt.NDArray[np.float64]:
        """Return the scores [b, 5] of pooled image embeddings [b, d]."""
        images = pooled / np.linalg.norm(pooled.astype(np.float64), axis=1, keepdims=True)
        logits = images @ self.units.T * self.scale + self.bias
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        return scores


class Reference:
    """The whole model of a checkpoint, both towers in fp32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self._model: Any = AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        ).eval()
        self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
        self._prompts = [prompts[0] for prompts in load_prompt_set(PROMPTS).prompts]

    def classify(self, data: bytes) -> list[float]:
        """Return the five scores of a photograph's bytes."""
        inputs = self._processor(
            text=self._prompts,
            images=_square(Image.open(BytesIO(data))),
            padding="max_length",
            max_length=_TOKENS,
            return_tensors="pt",
        )
        with torch.no_grad():
            # no attention_mask: SigLIP was trained without one, and some tokenizers return it
            output = self._model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"])
        scores: list[float] = output.logits_per_image.softmax(dim=1)[0].tolist()
        return scores

    def embed_texts(self, prompts: PromptSet) -> Texts:
        """Embed a prompt set: the mean of each grade's unit vectors, at unit length."""
        flat: list[str] = []
        for grade_prompts in prompts.prompts:
            flat += grade_prompts
        tokens = self._processor.tokenizer(
            flat, padding="max_length", max_length=_TOKENS, return_tensors="pt"
        )
        with torch.no_grad():
            pooled = self._model.get_text_features(input_ids=tokens["input_ids"]).pooler_output
        units = torch.split(_unit(pooled.double()), [len(grade) for grade in prompts.prompts])
        means = _unit(torch.stack([group.mean(dim=0) for group in units]))
        return Texts(
            means.numpy(), self._model.logit_scale.exp().item(), self._model.logit_bias.item()
        )


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _square(photograph: Image.Image) -> Image.Image:
    """Crop the centre square and resize it, copying at each step as the example does."""
    rgb = photograph.convert("RGB")
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    cropped = rgb.crop((left, top, left + side, top + side))
    return cropped.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)


def main() -> None:
    """Print the class of each photograph whose path is read from standard input."""
    reference = Reference(Path(sys.argv[1]))
    for line in sys.stdin:
        scores = reference.classify(Path(line.rstrip("\n")).read_bytes())
        best = max(Grade, key=lambda grade: scores[grade])
        print(f"Predicted class: {best.label} ({scores[best]:.2%} confidence)", flush=True)


if __name__ == "__main__":
    main()
