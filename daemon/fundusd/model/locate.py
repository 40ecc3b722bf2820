"""Find the checkpoint that the settings choose, on this machine only, and say what to do when it is not there."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants

from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import ModelError
from fundusd.files import package_data
from fundusd.model.checkpoint import (
    Advice,
    Checkpoint,
    hash_files,
    list_files,
    read_json,
    weights_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fundusd.model.checkpoint import Progress

    Hasher = Callable[[Path, Iterable[str], Progress | None], dict[str, str]]

PHANTOM = "phantom"
MANIFEST = "fundusd.json"
DOWNLOAD = "fundusd model download"
_UNIDENTIFIED = "unidentified weights; not verified as google/medsiglip-448"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_REVISION = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What the settings say of the model; `revision` pins a hub id, `weights_digest` pins anything."""

    source: str
    revision: str = ""
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "torch"
    exact: bool = False
    prompts: str = "icdr-descriptive"
    preprocessing: Preprocessing = Preprocessing.PAD_SQUARE
    weights_digest: str = ""


def find(
    choice: ModelChoice, on_progress: Progress | None = None, digest: Hasher = hash_files
) -> Checkpoint:
    """Find the chosen checkpoint, digest every file of it and compare; never uses the network.

    Raises ModelError, with the next command to type, for everything that is wrong with it.
    """
    look = _find_in_cache if is_hub_id(choice.source) else _find_in_folder
    checkpoint = look(choice, on_progress, digest)
    if choice.weights_digest and choice.weights_digest != checkpoint.weights_digest:
        raise ModelError(
            f"wrong digest: the settings pin weights {choice.weights_digest[:12]}, these are "
            f"{checkpoint.weights_digest[:12]}",
            hint=f"get the pinned weights back, or set model.weights_digest to {checkpoint.weights_digest}",
        )
    return checkpoint


def is_hub_id(source: str) -> bool:
    """Tell a hub id from a folder and from the phantom; raises ModelError if it is none of them."""
    if (
        source == PHANTOM
        or source.startswith(("/", ".", "~"))
        or (source and Path(source).is_dir())
    ):
        return False
    if _HUB_ID.fullmatch(source):
        return True
    raise ModelError(
        f"model.source {source!r} is not a hub id, not a folder and not {PHANTOM!r}",
        hint="set model.source to a hub id such as google/medsiglip-448, or to a folder's absolute path",
    )


def require_revision(choice: ModelChoice) -> None:
    """Refuse a hub id without the 40-hex revision that pins it; raises ModelError."""
    if _REVISION.fullmatch(choice.revision):
        return
    here = revisions_here(choice.source)
    what = (
        f"revision {choice.revision!r} is not a commit: a branch or tag can move"
        if choice.revision
        else ("model.revision is missing")
    )
    raise ModelError(
        f"{choice.source} must be pinned: {what}",
        hint="set model.revision to the 40 hex digits of a commit: "
        + (f"on this machine: {', '.join(here)}; " if here else "")
        + f"all of them: {constants.ENDPOINT}/{choice.source}/commits/main "
        "(for a folder, give its absolute path as model.source)",
    )


def revisions_here(source: str) -> list[str]:
    """Name the revisions of a hub id that the cache on this machine holds, whole or not."""
    return sorted(
        path.name for path in (_repository(source) / "snapshots").glob("*") if path.is_dir()
    )


def _repository(source: str) -> Path:
    return Path(constants.HF_HUB_CACHE).expanduser() / f"models--{source.replace('/', '--')}"


def _find_in_cache(choice: ModelChoice, on_progress: Progress | None, digest: Hasher) -> Checkpoint:
    require_revision(choice)
    folder = _repository(choice.source) / "snapshots" / choice.revision
    if not folder.is_dir():
        raise _not_downloaded(choice)
    advice = Advice(
        missing=f"finish the download: {DOWNLOAD}",
        # the downloader takes a blob that exists for whole, so it has to go first
        damaged=lambda path: f"fetch it again: rm {shlex.quote(str(path.resolve()))} && {DOWNLOAD}",
    )
    names = list_files(folder, advice)
    files = digest(folder, names, on_progress)
    for name in names:
        _compare_blob(folder / name, files[name], advice)
    return Checkpoint(folder, choice.source, choice.revision, "", files)


def _not_downloaded(choice: ModelChoice) -> ModelError:
    here = revisions_here(choice.source)
    if here:
        return ModelError(
            f"{choice.source} is here in another revision: wanted {choice.revision}, found {', '.join(here)}",
            hint=f"{DOWNLOAD}; or set model.revision to the one that is here, if it is the one you validated",
        )
    if any((_repository(choice.source) / "blobs").glob("*.incomplete")):
        return ModelError(
            f"the download of {choice.source} is incomplete",
            hint=f"finish the download: {DOWNLOAD}",
        )
    return ModelError(
        f"{choice.source} is not downloaded: nothing of it in {constants.HF_HUB_CACHE}",
        hint=f"{DOWNLOAD} (as the user that runs the service, or with the same HF_HOME)",
    )


def _compare_blob(path: Path, digest: str, advice: Advice) -> None:
    """Compare a file with its name in the cache: the sha256 of a large one, the git blob id of a small one."""
    blob = path.resolve()
    if _SHA256.fullmatch(blob.name):
        found = digest
    elif _REVISION.fullmatch(blob.name):
        content = blob.read_bytes()
        found = hashlib.sha1(
            b"blob %d\0" % len(content) + content, usedforsecurity=False
        ).hexdigest()
    else:
        return  # a cache without symbolic links keeps no such names
    if blob.name != found:
        raise _wrong_digest(path.name, advice.damaged(path))


def _find_in_folder(
    choice: ModelChoice, on_progress: Progress | None, digest: Hasher
) -> Checkpoint:
    shipped = choice.source == PHANTOM
    folder = (
        package_data.folder("model/phantom")
        if shipped
        else Path(choice.source).expanduser().absolute()
    )
    if not folder.is_dir():
        raise ModelError(f"there is no folder {folder}", hint=_restore(shipped=shipped))
    advice = Advice(missing=_restore(shipped=shipped), damaged=lambda _: _restore(shipped=shipped))
    name, notice, expected = _read_manifest(folder, advice)
    files = digest(folder, list_files(folder, advice), on_progress)
    if expected is not None:
        _compare_manifest(folder, files, expected, advice)
    revision = weights_digest(files)[:40]
    if choice.revision not in {"", revision}:
        raise ModelError(
            f"model.revision {choice.revision} cannot pin a folder, which has no revision",
            hint="remove model.revision; to pin the folder, set model.weights_digest to "
            + weights_digest(files),
        )
    return Checkpoint(folder, name, revision, notice, files)


def _compare_manifest(
    folder: Path, files: Mapping[str, str], expected: Mapping[str, str], advice: Advice
) -> None:
    for name in sorted(files.keys() | expected.keys()):
        if name in files and files[name] != expected.get(name):
            raise _wrong_digest(name, advice.damaged(folder / name))
        if not (folder / name).is_file():
            raise ModelError(
                f"the checkpoint is incomplete: {name} is missing in {folder}", hint=advice.missing
            )


def _restore(*, shipped: bool) -> str:
    if shipped:
        return "the test model ships with fundusd: install fundusd again"
    return "copy the whole checkpoint folder there again, or correct model.source"


def _read_manifest(folder: Path, advice: Advice) -> tuple[str, str, Mapping[str, str] | None]:
    """Read name, notice and expected digests; a folder without a manifest is unidentified."""
    path = folder / MANIFEST
    if not path.is_file():
        return f"folder {folder.name}", _UNIDENTIFIED, None
    manifest = read_json(path, advice)
    name, notice, files = (manifest.get(key) for key in ("name", "notice", "files"))
    if not (
        isinstance(name, str)
        and name
        and isinstance(notice, str)
        and notice
        and isinstance(files, dict)
    ):
        raise ModelError(
            f"{path} must give a name, a notice and the sha256 of the files",
            hint=advice.damaged(path),
        )
    return name, notice, files


def _wrong_digest(name: str, hint: str) -> ModelError:
    return ModelError(f"wrong digest: {name} is not the file that was published", hint=hint)
