"""Verify that the model files have not changed since startup."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fundusd.domain.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from fundusd.model.checkpoint import Checkpoint
    from fundusd.model.prepared_parts import Part

_CHECK_SECONDS = 10.0  # between checks of files known by name; mapped files are always checked
_CHUNK = 1 << 20  # bytes
_RESTORE_HINT = (
    "Put the old files back, or let the service restart with the new files as a new release."
)

StatSignature = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
StatSignatures = dict[str, StatSignature]


@dataclass(slots=True)
class _File:
    """A file identified by its path or, if it is mapped, by a descriptor that survives renaming."""

    name: str
    location: Path | int
    digest: str
    hint: str
    signature: StatSignature | None  # None: the file did not exist


class WatchedFiles:
    """The files to check: those of the checkpoint and those of the parts already mapped."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        before: StatSignatures,
        mapped: Sequence[Part],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = checkpoint.folder
        self._mapped: list[_File] = []
        for part in mapped:
            self._mapped += [self._opened(part, name) for name in part.files]
        self._named: list[_File] = []
        for name, digest in checkpoint.files.items():
            # the signature is as old as the digest, so that the first check sees later changes
            file = _File(name, checkpoint.folder / name, digest, _RESTORE_HINT, before.get(name))
            self._named.append(file)
        self._monotonic = monotonic
        self._checked_at = monotonic()

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return the names of the files that were touched but still have the same content.

        Touched files are hashed, which takes seconds, and `beat` is called repeatedly meanwhile.
        While none of the checkpoint's files can be reached, as on a network share that is offline,
        their names are returned too. Raises ModelError if a file has changed or is gone.
        """
        files = self._mapped
        if self._monotonic() - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = self._monotonic()
            files = [*self._mapped, *self._named]
        return [file.name for file in files if self._was_touched(file, beat)]

    def _opened(self, part: Part, name: str) -> _File:
        descriptor = os.open(part.path(name), os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, descriptor)
        hint = "Nothing may write to prepared parts. fundusd recreates this part at the next start."
        return _File(name, descriptor, part.files[name], hint, _signature(descriptor))

    def _was_touched(self, file: _File, beat: Callable[[], None]) -> bool:
        try:
            signature = _signature(file.location)
            if signature == file.signature:
                return False
            is_same = _digest(file.location, beat) == file.digest
        except OSError as error:
            if isinstance(file.location, int) or self._checkpoint_is_reachable():
                raise self._changed(file, f"is gone ({error.strerror})") from error
            return True  # the network share is offline; the mapped parts are stored elsewhere
        if not is_same:
            raise self._changed(file, "has other content")
        # taken before hashing, so that the next check sees a later change
        file.signature = signature
        return True

    def _checkpoint_is_reachable(self) -> bool:
        return any(os.path.exists(file.location) for file in self._named)  # noqa: PTH110  paths

    def _changed(self, file: _File, what: str) -> ModelError:
        return ModelError(
            f"The model in {self._folder} changed while the service ran: {file.name} {what}.",
            hint=file.hint,
        )


def stat_signatures(folder: Path, names: Iterable[str]) -> StatSignatures:
    """Return the size, times and inode of each file that exists."""
    signatures = {}
    for name in names:
        with contextlib.suppress(OSError):
            signatures[name] = _signature(folder / name)
    return signatures


def part_signatures(part: Part) -> StatSignatures:
    """Return the size, times and inode of each of a part's files."""
    return stat_signatures(part.folder, part.files)


def _signature(location: Path | int) -> StatSignature:
    status = os.stat(location)  # noqa: PTH116  a descriptor has no Path
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(location: Path | int, beat: Callable[[], None]) -> str:
    if isinstance(location, int):
        return _descriptor_digest(location, beat)
    descriptor = os.open(location, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _descriptor_digest(descriptor, beat)
    finally:
        os.close(descriptor)


def _descriptor_digest(descriptor: int, beat: Callable[[], None]) -> str:
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
        beat()
    return digest.hexdigest()
