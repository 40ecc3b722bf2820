"""Load a whole checkpoint and its tokenizer with transformers, which nothing else here imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from fundusd import __version__
from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet

# what transformers, safetensors and their config classes raise for files that do not fit together
_BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, StrictDataclassError,
)  # fmt: skip


def versions() -> str:
    """Name what reads and writes here."""
    return (
        f"fundusd {__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    )


def read(checkpoint: Checkpoint) -> Any:
    """Load both towers in fp32 on the CPU; raises ModelError."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        model, loading = transformers.SiglipModel.from_pretrained(
            checkpoint.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            attn_implementation="sdpa",
            output_loading_info=True,
        )
    except _BROKEN as error:
        raise does_not_load(
            checkpoint, f"transformers {transformers.__version__} cannot read it"
        ) from error
    strangers = [
        key for key in loading["unexpected_keys"] if not key.endswith(".position_ids")
    ]  # old buffers
    for what, keys in (("missing", loading["missing_keys"]), ("unexpected", strangers)):
        if keys:
            raise does_not_load(checkpoint, f"{len(keys)} {what} tensors, such as {min(keys)}")
    return model.eval()


def does_not_load(checkpoint: Checkpoint, why: str) -> ModelError:
    """Make the error for files that do not make a model."""
    return ModelError(
        f"the checkpoint in {checkpoint.folder} does not load: {why}",
        hint="config.json and weights must be of one SigLIP checkpoint; compare with: fundusd model info",
    )


def tokenizer_of(checkpoint: Checkpoint) -> Any:
    """Load the checkpoint's own tokenizer; raises ModelError."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except _BROKEN as error:
        raise does_not_load(checkpoint, "its tokenizer cannot be read") from error
    if not isinstance(
        tokenizer, transformers.SiglipTokenizer
    ):  # T5's on the same file gives other ids
        raise does_not_load(
            checkpoint, f"its tokenizer is a {type(tokenizer).__name__}, not a SiglipTokenizer"
        )
    return tokenizer


def tokenize(tokenizer: Any, config: Any, prompts: PromptSet) -> list[list[int]]:
    """Tokenize all prompts, grade by grade, padded to the length the model pools at; raises ModelError."""
    limit: int = config.max_position_embeddings
    tokens: list[list[int]] = []
    for grade in Grade:
        for number, prompt in enumerate(prompts.prompts[grade], 1):
            ids: Sequence[int] = tokenizer(
                prompt, padding="max_length", max_length=limit, truncation=False
            )["input_ids"]
            where = f"prompt {number} of grade {grade.value} in prompt set {prompts.name}"
            if len(ids) > limit:
                raise ModelError(
                    f"{where} has {len(ids)} tokens; the model reads {limit}", hint="shorten it"
                )
            if max(ids) >= config.vocab_size:
                raise ModelError(
                    f"{where} has tokens that the model does not know",
                    hint="tokenizer and weights must be of one checkpoint",
                )
            tokens.append(list(ids))
    return tokens
