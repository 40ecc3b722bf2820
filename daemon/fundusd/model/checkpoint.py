"""Look at a checkpoint's folder before anything loads it: whole, SigLIP, safetensors, and which bytes."""

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

    Progress = Callable[[int, int], object]  # bytes done, bytes in all

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
    """A checkpoint that was found whole: where it is, what it is called, and the sha256 of each file."""

    folder: Path
    name: str
    revision: str
    notice: str
    files: Mapping[str, str]

    @property
    def label(self) -> str:
        """Name the model as results carry it, notice included."""
        return f"{self.name} ({self.notice})" if self.notice else self.name

    @property
    def config(self) -> dict[str, Any]:
        """Read config.json, which was seen to be an object."""
        return dict(json.loads((self.folder / CONFIG).read_bytes()))

    @property
    def digest(self) -> str:
        """Digest all its files."""
        return _list_digest(self.files)

    @property
    def weights_digest(self) -> str:
        """Digest the weights: the file's own sha256, or that of the sorted list of shards."""
        return weights_digest(self.files)

    @property
    def tokenizer_digest(self) -> str:
        """Digest the sorted list of tokenizer files."""
        return _list_digest({name: self.files[name] for name in TOKENIZER if name in self.files})


@dataclass(frozen=True, slots=True)
class Advice:
    """What to tell the operator to do about a checkpoint; `damaged` says it of one file."""

    missing: str
    damaged: Callable[[Path], str]


def weights_digest(files: Mapping[str, str]) -> str:
    """Digest the weights among `files` (name to sha256)."""
    weights = {name: digest for name, digest in files.items() if name.endswith(".safetensors")}
    return next(iter(weights.values())) if len(weights) == 1 else _list_digest(weights)


def _list_digest(files: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def list_files(folder: Path, advice: Advice) -> tuple[str, ...]:
    """Name the files that a loaded model is made of, once they are seen to be whole; raises ModelError."""
    _check_config(folder, advice)
    names = (CONFIG, *_weights(folder, advice), *_tokenizer(folder, advice))
    if (folder / PREPROCESSOR).is_file():
        names += (PREPROCESSOR,)
        _check_normalisation(folder, advice)
    for name in names:
        _check_whole(folder / name, advice)
    return names


def read_json(path: Path, advice: Advice) -> dict[str, Any]:
    """Read a JSON object; raises ModelError."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, "is not valid JSON", advice) from error
    if not isinstance(content, dict):
        raise _damaged(path, "is not a JSON object", advice)
    return content


def read_header(path: Path) -> dict[str, Any]:
    """Read the tensors' table of a safetensors file (name to dtype, shape, data_offsets).

    Raises ValueError if the file is cut short or is no safetensors file.
    https://huggingface.co/docs/safetensors/index#format
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_HEADER_LIMIT, size - 8):
            raise ValueError("is cut short")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    if (
        8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        != size
    ):
        raise ValueError("is cut short")
    return dict(header)


def hash_files(
    folder: Path, names: Iterable[str], on_progress: Progress | None = None
) -> dict[str, str]:
    """Hash files with sha256 in chunks of 1 MiB; report bytes done and bytes in all after each chunk."""
    sizes = {name: (folder / name).stat().st_size for name in names}
    total, done, digests = sum(sizes.values()), 0, {}
    buffer = memoryview(bytearray(_CHUNK))
    for name in sizes:
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
    """Tell the facts of a checkpoint from its config and headers alone; sizes in pixels, tokens, bytes."""
    config = checkpoint.config
    vision, text = config.get("vision_config", {}), config.get("text_config", {})
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
        "files": [
            {"name": name, "bytes": (checkpoint.folder / name).stat().st_size, "sha256": digest}
            for name, digest in sorted(checkpoint.files.items())
        ],
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
                counts[tower] += count if key.startswith(f"{tower}_model.") else 0
    return counts


def _check_config(folder: Path, advice: Advice) -> None:
    if not (folder / CONFIG).is_file():
        raise _missing(folder, CONFIG, advice)
    kind = read_json(folder / CONFIG, advice).get("model_type")
    if kind != "siglip":
        raise ModelError(
            f"{folder} is not a SigLIP checkpoint: its config.json says model_type {kind!r}",
            hint="fundusd loads MedSigLIP and models of the same architecture (model_type 'siglip')",
        )
    if (
        folder / "adapter_config.json"
    ).is_file():  # transformers would apply it unasked, where peft is installed
        raise ModelError(
            f"{folder} holds an adapter (adapter_config.json), which would change the scores",
            hint="merge the adapter into the weights, or remove adapter_config.json",
        )


def _weights(folder: Path, advice: Advice) -> tuple[str, ...]:
    if (folder / WEIGHTS).is_file():
        return (WEIGHTS,)
    if (folder / INDEX).is_file():
        return (INDEX, *_shards(folder, advice))
    if any(folder.glob("*.bin")):
        raise ModelError(
            f"{folder} holds its weights only as .bin files, which can run code when they are opened",
            hint="get the checkpoint with model.safetensors; fundusd loads safetensors only",
        )
    raise _missing(folder, WEIGHTS, advice)


def _shards(folder: Path, advice: Advice) -> list[str]:
    index = read_json(folder / INDEX, advice).get("weight_map")
    if not isinstance(index, dict) or not all(_is_shard(name) for name in index.values()):
        raise _damaged(folder / INDEX, "does not list safetensors files", advice)
    shards = sorted(set(index.values()))
    for shard in shards:
        if not (folder / shard).is_file():
            raise _missing(folder, shard, advice)
    return shards


def _is_shard(name: Any) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name


def _tokenizer(folder: Path, advice: Advice) -> list[str]:
    names = [name for name in TOKENIZER if (folder / name).is_file()]
    if "spiece.model" not in names:
        raise _missing(folder, "spiece.model", advice)
    return names


def _check_normalisation(folder: Path, advice: Advice) -> None:
    """Refuse a checkpoint that wants another normalisation than /127.5 - 1."""
    wanted = read_json(folder / PREPROCESSOR, advice)
    for key in ("image_mean", "image_std"):
        if wanted.get(key, [0.5]) not in ([0.5], [0.5] * 3):
            raise ModelError(
                f"{folder} wants {key} {wanted[key]}; fundusd normalises every capture to -1..1 (0.5)",
                hint="use a checkpoint with SigLIP's normalisation, as MedSigLIP has",
            )


def _check_whole(path: Path, advice: Advice) -> None:
    if path.stat().st_size == 0:
        raise _damaged(path, "is empty", advice)
    if path.suffix == ".safetensors":
        try:
            read_header(path)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, "is cut short, or is no safetensors file", advice) from error


def _missing(folder: Path, name: str, advice: Advice) -> ModelError:
    return ModelError(
        f"the checkpoint is incomplete: {name} is missing in {folder}", hint=advice.missing
    )


def _damaged(path: Path, what: str, advice: Advice) -> ModelError:
    return ModelError(
        f"the checkpoint is incomplete or damaged: {path} {what}", hint=advice.damaged(path)
    )
