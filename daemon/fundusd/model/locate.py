"""Find the configured checkpoint on this machine, or say what to do if it is missing."""

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
    Checkpoint,
    Hints,
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
    """The model settings.

    `revision` pins a checkpoint from the hub, and `weights_digest` pins one from any source.
    """

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
    """Return the configured checkpoint after checking the digests of its files.

    The network is never used. Raises ModelError if the checkpoint is missing or not the expected
    one. The error's hint names the next step.
    """
    if is_hub_id(choice.source):
        checkpoint = _find_in_cache(choice, on_progress, digest)
    else:
        checkpoint = _find_in_folder(choice, on_progress, digest)
    if choice.weights_digest and choice.weights_digest != checkpoint.weights_digest:
        raise ModelError(
            f"Wrong digest: the settings pin weights {choice.weights_digest[:12]}, "
            f"but these are {checkpoint.weights_digest[:12]}.",
            hint="Restore the pinned weights, "
            f"or set model.weights_digest to {checkpoint.weights_digest}.",
        )
    return checkpoint


def is_hub_id(source: str) -> bool:
    """Return whether `source` is a hub id rather than a folder or the phantom model.

    Raises ModelError if `source` is none of these.
    """
    if (
        source == PHANTOM
        or source.startswith(("/", ".", "~"))
        or (source and Path(source).is_dir())
    ):
        return False
    if _HUB_ID.fullmatch(source):
        return True
    raise ModelError(
        f"model.source {source!r} is not a hub id, not a folder and not {PHANTOM!r}.",
        hint="Set model.source to a hub id such as google/medsiglip-448, "
        "or to a folder's absolute path.",
    )


def require_revision(choice: ModelChoice) -> None:
    """Raise ModelError unless the hub id is pinned to a revision of 40 hex digits."""
    if _REVISION.fullmatch(choice.revision):
        return
    what = "model.revision is missing"
    if choice.revision:
        what = f"revision {choice.revision!r} is not a commit, and a branch or tag can move"
    cached = cached_revisions(choice.source)
    on_disk = f" This machine has: {', '.join(cached)}." if cached else ""
    page = f"{constants.ENDPOINT}/{choice.source}/commits/main"
    raise ModelError(
        f"The exact version of {choice.source} must be given: {what}.",
        hint=f"Set model.revision to the 40 hex digits of a commit.{on_disk} All commits are listed"
        f" at {page} (for a folder, give its absolute path as model.source instead).",
    )


def cached_revisions(source: str) -> list[str]:
    """Return the cached revisions of a hub id, including incomplete ones."""
    revisions = []
    for path in (_repository(source) / "snapshots").glob("*"):
        if path.is_dir():
            revisions.append(path.name)
    return sorted(revisions)


def _repository(source: str) -> Path:
    return Path(constants.HF_HUB_CACHE).expanduser() / f"models--{source.replace('/', '--')}"


def _find_in_cache(choice: ModelChoice, on_progress: Progress | None, digest: Hasher) -> Checkpoint:
    require_revision(choice)
    folder = _repository(choice.source) / "snapshots" / choice.revision
    if not folder.is_dir():
        raise _not_downloaded(choice)
    hints = Hints(
        missing=f"Finish the download: {DOWNLOAD}",
        # the downloader considers any existing blob complete, so it must be removed first
        damaged=lambda path: f"Fetch it again: rm {shlex.quote(str(path.resolve()))} && {DOWNLOAD}",
    )
    names = list_files(folder, hints)
    files = digest(folder, names, on_progress)
    for name in names:
        _compare_blob(folder / name, files[name], hints)
    return Checkpoint(folder, choice.source, choice.revision, "", files)


def _not_downloaded(choice: ModelChoice) -> ModelError:
    cached = cached_revisions(choice.source)
    if cached:
        return ModelError(
            f"{choice.source} is here in another revision: "
            f"wanted {choice.revision}, found {', '.join(cached)}.",
            hint=f"Run: {DOWNLOAD}; or set model.revision to the one that is here, "
            "if it is the one you validated.",
        )
    if any((_repository(choice.source) / "blobs").glob("*.incomplete")):
        return ModelError(
            f"The download of {choice.source} is incomplete.",
            hint=f"Finish the download: {DOWNLOAD}",
        )
    return ModelError(
        f"{choice.source} is not downloaded: {constants.HF_HUB_CACHE} contains none of it.",
        hint=f"Run: {DOWNLOAD} (as the user that runs the service, or with the same HF_HOME)",
    )


def _compare_blob(path: Path, digest: str, hints: Hints) -> None:
    """Check a file against its name in the hub's cache, which is a digest of its content.

    The digest is a sha256 or, for a small file, a git blob id.
    """
    blob = path.resolve()
    if _SHA256.fullmatch(blob.name):
        actual = digest
    elif _REVISION.fullmatch(blob.name):
        content = blob.read_bytes()
        header = b"blob %d\0" % len(content)
        actual = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    else:
        return  # in a cache without symbolic links, files are not named by digest
    if blob.name != actual:
        raise _wrong_digest(path.name, hints.damaged(path))


def _find_in_folder(
    choice: ModelChoice, on_progress: Progress | None, digest: Hasher
) -> Checkpoint:
    shipped = choice.source == PHANTOM
    restore = _restore_hint(shipped=shipped)
    if shipped:
        folder = package_data.folder("model/phantom")
    else:
        folder = Path(choice.source).expanduser().absolute()
    if not folder.is_dir():
        raise ModelError(f"There is no folder {folder}.", hint=restore)
    hints = Hints(missing=restore, damaged=lambda _: restore)
    name, notice, expected = _read_manifest(folder, hints)
    files = digest(folder, list_files(folder, hints), on_progress)
    if expected is not None:
        _compare_manifest(folder, files, expected, hints)
    revision = weights_digest(files)[:40]
    if choice.revision not in {"", revision}:
        raise ModelError(
            f"model.revision {choice.revision} cannot pin a folder, which has no revision.",
            hint="Remove model.revision; to pin the folder, set model.weights_digest to "
            + weights_digest(files),
        )
    return Checkpoint(folder, name, revision, notice, files)


def _compare_manifest(
    folder: Path, files: Mapping[str, str], expected: Mapping[str, str], hints: Hints
) -> None:
    for name in sorted(files.keys() | expected.keys()):
        if name in files and files[name] != expected.get(name):
            raise _wrong_digest(name, hints.damaged(folder / name))
        if not (folder / name).is_file():
            raise ModelError(
                f"The checkpoint is incomplete: {name} is missing in {folder}.", hint=hints.missing
            )


def _restore_hint(*, shipped: bool) -> str:
    if shipped:
        return "The test model ships with fundusd; install fundusd again."
    return "Copy the whole checkpoint folder there again, or correct model.source."


def _read_manifest(folder: Path, hints: Hints) -> tuple[str, str, Mapping[str, str] | None]:
    """Return the name, the notice and the expected digests that a folder's manifest contains.

    Without a manifest, the notice says that the weights are unidentified, and the digests are None.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return f"folder {folder.name}", _UNIDENTIFIED, None
    manifest = read_json(path, hints)
    name, notice, files = manifest.get("name"), manifest.get("notice"), manifest.get("files")
    if not (_is_text(name) and _is_text(notice) and isinstance(files, dict)):
        raise ModelError(
            f"{path} must contain a name, a notice and the sha256 of the files.",
            hint=hints.damaged(path),
        )
    return str(name), str(notice), files


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _wrong_digest(name: str, hint: str) -> ModelError:
    return ModelError(f"Wrong digest: {name} is not the file that was published.", hint=hint)
