"""Write a checkpoint of MedSigLIP's architecture with random weights, full-size or tiny.

python -m fundusd_bench.random_checkpoint DIR [--tiny] [--tokenizer FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import SiglipConfig, SiglipModel
from transformers.utils import logging

from fundusd.files import package_data
from fundusd.model.checkpoint import hash_files
from fundusd.model.locate import MANIFEST

if TYPE_CHECKING:
    from fundusd.model.checkpoint import Progress

NAME = "medsiglip-448-architecture-random"
NOTICE = "random weights; not MedSigLIP; not for patients"
LOGIT_SCALE, LOGIT_BIAS = 4.72, -16.8  # what public So400m SigLIP checkpoints carry
_FULL = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
}
_FULL_VOCABULARY = 32000
_TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_TOKENIZER_FILES = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def write(
    folder: Path,
    *,
    tiny: bool = False,
    tokenizer: Path | None = None,
    seed: int = 0,
    on_progress: Progress = lambda _done, _total: None,
) -> None:
    """Write the checkpoint to a temporary folder beside `folder`, then rename it.

    The default tokenizer is that of the shipped test model. Reports bytes done and total bytes;
    each weight counts twice, when drawn and when hashed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    try:
        vocabulary = _write_tokenizer(work, tokenizer or package_data.folder("model/phantom"))
        config = _config(tiny=tiny, vocabulary=vocabulary)
        (work / "config.json").write_text(config.to_json_string())
        _write_json(
            work / "preprocessor_config.json", _preprocessor(config.vision_config.image_size)
        )
        weights = _weights(config, seed, lambda done, total: on_progress(done, 2 * total))
        save_file(weights, work / "model.safetensors", metadata={"format": "pt"})
        del weights  # as large again as the file
        write_manifest(work, on_progress=lambda done, total: on_progress(total + done, 2 * total))
        work.chmod(0o755)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_manifest(
    folder: Path, name: str = NAME, notice: str = NOTICE, on_progress: Progress | None = None
) -> None:
    """Write fundusd.json: the checkpoint's name and notice, and the sha256 of its files."""
    (folder / MANIFEST).unlink(missing_ok=True)
    files = hash_files(folder, sorted(path.name for path in folder.iterdir()), on_progress)
    _write_json(folder / MANIFEST, {"name": name, "notice": notice, "files": files})


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _config(*, tiny: bool, vocabulary: int) -> SiglipConfig:
    logging.set_verbosity_error()  # it warns that its default tokens are not in the vocabulary
    sizes = _TINY if tiny else _FULL
    config = SiglipConfig(
        text_config={
            **sizes,
            "vocab_size": vocabulary if tiny else max(vocabulary, _FULL_VOCABULARY),
            "max_position_embeddings": 64,
            "projection_size": sizes["hidden_size"],
            "bos_token_id": 1,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**sizes, "image_size": 448, "patch_size": 64 if tiny else 14},
    )
    config.architectures = ["SiglipModel"]
    return config


def _preprocessor(side: int) -> dict[str, Any]:
    half = [0.5, 0.5, 0.5]
    return {
        "image_mean": half,
        "image_std": half,
        "rescale_factor": 1 / 255,
        "size": {"height": side, "width": side},
    }


def _weights(config: SiglipConfig, seed: int, on_progress: Progress) -> dict[str, torch.Tensor]:
    """Draw every tensor directly; initialising the model first would take a minute more."""
    with torch.device("meta"):
        empty = SiglipModel(config).state_dict()
    total, done = sum(tensor.nbytes for tensor in empty.values()), 0
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in empty.items():
        weights[name] = _draw(name, tuple(tensor.shape), generator)
        done += tensor.nbytes
        on_progress(done, total)
    return weights


def _draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    constants = {"logit_scale": LOGIT_SCALE, "logit_bias": LOGIT_BIAS}
    if name in constants:
        return torch.full(shape, constants[name])
    if "norm" in name:
        return torch.full(shape, float(name.endswith("weight")))
    spread = _spread(name, shape)
    return torch.empty(shape).normal_(0.0, spread, generator=generator)


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Return a spread that keeps the variance from layer to layer."""
    if len(shape) == 1:
        return 0.02
    if name.endswith(("position_embedding.weight", "token_embedding.weight", "probe")):
        return 1.0
    return 1 / math.sqrt(math.prod(shape[1:]))


def _write_tokenizer(folder: Path, source: Path) -> int:
    """Copy a tokenizer and return the size of its vocabulary."""
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    return int(
        sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model")).vocab_size()
    )


def main() -> None:
    """Write a checkpoint to the folder named on the command line."""
    parser = argparse.ArgumentParser(
        description="Write a checkpoint of MedSigLIP's architecture with random weights."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true", help="a few hundred kB instead of 3.5 GB")
    parser.add_argument("--tokenizer", type=Path, help="folder with spiece.model")
    arguments = parser.parse_args()
    write(arguments.folder, tiny=arguments.tiny, tokenizer=arguments.tokenizer)
    size = sum(path.stat().st_size for path in arguments.folder.iterdir())
    print(f"{arguments.folder}: {size} bytes; {NOTICE}")


if __name__ == "__main__":
    main()
