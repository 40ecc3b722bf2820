"""Load a whole checkpoint and its tokenizer; no other module imports transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from fundusd import __version__
from fundusd.domain.clinical_terms import Grade
from fundusd.domain.errors import ModelError
from fundusd.model.checkpoint import does_not_load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prompts import PromptSet

# raised by transformers, safetensors and their config classes for inconsistent files
_BROKEN = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError,
    SafetensorError, StrictDataclassError,
)  # fmt: skip
_OLD_BUFFER = ".position_ids"  # in checkpoints of older versions


def versions() -> str:
    """Return the versions of fundusd, torch and transformers, which create the parts."""
    libraries = f"torch {torch.__version__}, transformers {transformers.__version__}"
    return f"fundusd {__version__}, {libraries}"


def read(checkpoint: Checkpoint) -> Any:
    """Return the whole model in fp32 on the CPU.

    Raises ModelError if the checkpoint's files do not form a model.
    """
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
    unexpected = [key for key in loading["unexpected_keys"] if not key.endswith(_OLD_BUFFER)]
    for what, keys in (("missing", loading["missing_keys"]), ("unexpected", unexpected)):
        if keys:
            raise does_not_load(checkpoint, f"{len(keys)} {what} tensors, such as {min(keys)}")
    return model.eval()


def tokenizer_of(checkpoint: Checkpoint) -> Any:
    """Return the checkpoint's own tokenizer.

    Raises ModelError if it cannot be read or is not SigLIP's.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            checkpoint.folder, local_files_only=True, trust_remote_code=False
        )
    except _BROKEN as error:
        raise does_not_load(checkpoint, "its tokenizer cannot be read") from error
    # T5's tokenizer returns other ids from the same file
    if not isinstance(tokenizer, transformers.SiglipTokenizer):
        raise does_not_load(
            checkpoint, f"its tokenizer is a {type(tokenizer).__name__}, not a SiglipTokenizer"
        )
    return tokenizer


def tokenize(tokenizer: Any, config: Any, prompts: PromptSet) -> list[list[int]]:
    """Return the token ids of each prompt, in order of grade, padded to the model's limit.

    Raises ModelError if a prompt is too long or contains tokens that the model does not know.
    """
    limit: int = config.max_position_embeddings
    tokens: list[list[int]] = []
    for grade in Grade:
        for number, prompt in enumerate(prompts.prompts[grade], 1):
            ids: Sequence[int] = tokenizer(
                prompt, padding="max_length", max_length=limit, truncation=False
            )["input_ids"]
            where = f"Prompt {number} of grade {grade.value} in prompt set {prompts.name}"
            if len(ids) > limit:
                raise ModelError(
                    f"{where} has {len(ids)} tokens, but the model reads {limit}.",
                    hint="Shorten it.",
                )
            if max(ids) >= config.vocab_size:
                raise ModelError(
                    f"{where} has tokens that the model does not know.",
                    hint="The tokenizer and the weights must belong to one checkpoint.",
                )
            tokens.append(list(ids))
    return tokens
