"""Check before loading that a checkpoint is a complete SigLIP model in safetensors files.

This module also computes the digests of those files.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundusd.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    Progress = Callable[[int, int], object]  # bytes done, total bytes

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREPROCESSOR = "preprocessor_config.json"
TOKENIZER = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_HEADER_LIMIT = 100_000_000  # bytes; the safetensors format's own limit
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint: its folder, its name, and the sha256 of each file."""

    folder: Path
    name: str
    revision: str
    notice: str
    files: Mapping[str, str]

    @property
    def label(self) -> str:
        """Return the model's name as shown in results, followed by the notice, if any."""
        return f"{self.name} ({self.notice})" if self.notice else self.name

    @property
    def config(self) -> dict[str, Any]:
        """Return the JSON object in config.json, which `list_files` has already checked."""
        return dict(json.loads((self.folder / CONFIG).read_bytes()))

    @property
    def digest(self) -> str:
        """Return a single digest of all files."""
        return _list_digest(self.files)

    @property
    def weights_digest(self) -> str:
        """Return the sha256 of the weights file, or of the sorted list of shards."""
        return weights_digest(self.files)

    @property
    def tokenizer_digest(self) -> str:
        """Return the sha256 of the sorted list of tokenizer files."""
        return _list_digest({name: self.files[name] for name in TOKENIZER if name in self.files})


@dataclass(frozen=True, slots=True)
class Hints:
    """Instructions for the operator about a missing or damaged file."""

    missing: str
    damaged: Callable[[Path], str]


def weights_digest(files: Mapping[str, str]) -> str:
    """Return the digest of the weights among `files`, which maps each name to a sha256."""
    weights = {name: digest for name, digest in files.items() if name.endswith(".safetensors")}
    if len(weights) == 1:
        return next(iter(weights.values()))
    return _list_digest(weights)


def _list_digest(files: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {files[name]}\n".encode())
    return digest.hexdigest()


def list_files(folder: Path, hints: Hints) -> tuple[str, ...]:
    """Return the names of the files that a model is loaded from, after checking them.

    Raises ModelError if a file is missing, damaged or not supported.
    """
    _check_config(folder, hints)
    names = (CONFIG, *_weights(folder, hints), *_tokenizer(folder, hints))
    if (folder / PREPROCESSOR).is_file():
        names += (PREPROCESSOR,)
        _check_normalisation(folder, hints)
    for name in names:
        _check_complete(folder / name, hints)
    return names


def read_json(path: Path, hints: Hints) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises ModelError if the file contains anything else.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, "is not valid JSON", hints) from error
    if not isinstance(content, dict):
        raise _damaged(path, "is not a JSON object", hints)
    return content


def read_header(path: Path) -> dict[str, Any]:
    """Return the tensor table of a safetensors file.

    The table maps each tensor's name to its `dtype`, `shape` and `data_offsets`. Raises ValueError
    if the file is truncated or is not a safetensors file.

    Source: https://huggingface.co/docs/safetensors/index#format
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_HEADER_LIMIT, size - 8):
            raise ValueError("is truncated")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    data_end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if 8 + length + data_end != size:
        raise ValueError("is truncated")
    return dict(header)


def hash_files(
    folder: Path, names: Iterable[str], on_progress: Progress | None = None
) -> dict[str, str]:
    """Return the sha256 of each file, reporting progress after each chunk of 1 MiB."""
    names = list(names)
    total = sum((folder / name).stat().st_size for name in names)
    done, digests = 0, {}
    buffer = memoryview(bytearray(_CHUNK))
    for name in names:
        digest = hashlib.sha256()
        with (folder / name).open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                done += count
                if on_progress:
                    on_progress(done, total)
        digests[name] = digest.hexdigest()
    return digests


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the name, origin, digests, sizes and parameter counts of a checkpoint.

    No file is read except config.json and the headers of the weights. The sizes of images and
    patches are in pixels.
    """
    config = checkpoint.config
    vision, text = config.get("vision_config", {}), config.get("text_config", {})
    files = []
    for name, digest in sorted(checkpoint.files.items()):
        size = (checkpoint.folder / name).stat().st_size
        files.append({"name": name, "bytes": size, "sha256": digest})
    return {
        "name": checkpoint.name,
        "notice": checkpoint.notice,
        "folder": str(checkpoint.folder),
        "revision": checkpoint.revision,
        "weights_digest": checkpoint.weights_digest,
        "tokenizer_digest": checkpoint.tokenizer_digest,
        "image_size": vision.get("image_size"),
        "patch_size": vision.get("patch_size"),
        "max_tokens": text.get("max_position_embeddings"),
        "parameters": _count_parameters(checkpoint),
        "files": files,
    }


def _count_parameters(checkpoint: Checkpoint) -> dict[str, int]:
    counts = {"vision": 0, "text": 0, "all": 0}
    for name in checkpoint.files:
        if not name.endswith(".safetensors"):
            continue
        for key, tensor in read_header(checkpoint.folder / name).items():
            count = math.prod(tensor["shape"])
            counts["all"] += count
            for tower in ("vision", "text"):
                if key.startswith(f"{tower}_model."):
                    counts[tower] += count
    return counts


def _check_config(folder: Path, hints: Hints) -> None:
    if not (folder / CONFIG).is_file():
        raise _missing(folder, CONFIG, hints)
    kind = read_json(folder / CONFIG, hints).get("model_type")
    if kind != "siglip":
        raise ModelError(
            f"{folder} is not a SigLIP checkpoint: model_type in its config.json is {kind!r}.",
            hint="fundusd loads MedSigLIP and models of its architecture (model_type 'siglip').",
        )
    # if peft is installed, transformers applies an adapter unasked
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{folder} contains an adapter (adapter_config.json), which would change the scores.",
            hint="Merge the adapter into the weights, or remove adapter_config.json.",
        )


def _weights(folder: Path, hints: Hints) -> tuple[str, ...]:
    if (folder / WEIGHTS).is_file():
        return (WEIGHTS,)
    if (folder / INDEX).is_file():
        return (INDEX, *_shards(folder, hints))
    if any(folder.glob("*.bin")):
        raise ModelError(
            f"{folder} has its weights only as .bin files, which can run code when opened.",
            hint="Get the checkpoint with model.safetensors; fundusd loads safetensors only.",
        )
    raise _missing(folder, WEIGHTS, hints)


def _shards(folder: Path, hints: Hints) -> list[str]:
    index = read_json(folder / INDEX, hints).get("weight_map")
    if not isinstance(index, dict) or not all(_is_shard(name) for name in index.values()):
        raise _damaged(folder / INDEX, "does not list safetensors files", hints)
    shards = sorted(set(index.values()))
    for shard in shards:
        if not (folder / shard).is_file():
            raise _missing(folder, shard, hints)
    return shards


def _is_shard(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name


def _tokenizer(folder: Path, hints: Hints) -> list[str]:
    names = [name for name in TOKENIZER if (folder / name).is_file()]
    if "spiece.model" not in names:
        raise _missing(folder, "spiece.model", hints)
    return names


def _check_normalisation(folder: Path, hints: Hints) -> None:
    """Raise ModelError if the checkpoint needs a normalisation other than `pixel / 127.5 - 1`."""
    required = read_json(folder / PREPROCESSOR, hints)
    for key in ("image_mean", "image_std"):
        if required.get(key, [0.5]) not in ([0.5], [0.5] * 3):
            raise ModelError(
                f"{folder} needs {key} {required[key]}, but fundusd normalises to -1..1 (0.5).",
                hint="Use a checkpoint with SigLIP's normalisation, such as MedSigLIP.",
            )


def _check_complete(path: Path, hints: Hints) -> None:
    if path.stat().st_size == 0:
        raise _damaged(path, "is empty", hints)
    if path.suffix == ".safetensors":
        try:
            read_header(path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, "is truncated, or is not a safetensors file", hints) from error


def does_not_load(checkpoint: Checkpoint, why: str) -> ModelError:
    """Return the error to raise for files that do not form a model."""
    return ModelError(
        f"The checkpoint in {checkpoint.folder} does not load: {why}.",
        hint="config.json and the weights must belong to one SigLIP checkpoint; "
        "compare them with: fundusd model info",
    )


def _missing(folder: Path, name: str, hints: Hints) -> ModelError:
    return ModelError(
        f"The checkpoint is incomplete: {name} is missing in {folder}.", hint=hints.missing
    )


def _damaged(path: Path, what: str, hints: Hints) -> ModelError:
    return ModelError(
        f"The checkpoint is incomplete or damaged: {path} {what}.", hint=hints.damaged(path)
    )
