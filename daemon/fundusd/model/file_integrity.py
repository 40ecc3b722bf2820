"""See that the files a running service was made of are still what they were."""

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

_EVERY_SECONDS = 10.0  # files that are only named; those that are mapped are looked at each time
_CHUNK = 1 << 20  # bytes

StatSignature = tuple[int, int, int, int]
StatSignatures = dict[str, StatSignature]


@dataclass(slots=True)
class _File:
    """A file by its path, or by a descriptor: the very bytes that are mapped, whatever its name means by now."""

    name: str
    where: Path | int
    digest: str
    hint: str
    sign: StatSignature | None  # None: it was not there


class WatchedFiles:
    """The checkpoint's files and the mapped ones of the prepared model; give it the parts once they are mapped."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        before: StatSignatures,
        mapped: Sequence[Part],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = checkpoint.folder
        self._mapped = [self._opened(part, name) for part in mapped for name in part.files]
        self._named = [
            _File(
                name,
                checkpoint.folder / name,
                digest,
                "put the old files back, or let the service start again with the new ones as a release of their own",
                before.get(
                    name
                ),  # from when it was hashed: what came since shows at the first look
            )
            for name, digest in checkpoint.files.items()
        ]
        self._monotonic = monotonic
        self._looked = monotonic()

    def require_unchanged(self, beat: Callable[[], None]) -> list[str]:
        """Return the files that were touched and hold what they held; raises ModelError for one that does not.

        Such files are hashed, which takes seconds: `beat` is called meanwhile.
        """
        files = self._mapped
        if self._monotonic() - self._looked >= _EVERY_SECONDS:
            self._looked = self._monotonic()
            files = [*self._mapped, *self._named]
        return [file.name for file in files if self._was_touched(file, beat)]

    def _opened(self, part: Part, name: str) -> _File:
        descriptor = os.open(part.path(name), os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, descriptor)
        hint = "nothing may write into prepared parts; at the next start this one is made again"
        return _File(name, descriptor, part.files[name], hint, _sign(descriptor))

    def _was_touched(self, file: _File, beat: Callable[[], None]) -> bool:
        try:
            sign = _sign(file.where)
            if sign == file.sign:
                return False
            same = _digest(file.where, beat) == file.digest
        except OSError as error:
            if isinstance(file.where, int) or self._others_are_there():
                raise self._changed(file, f"is gone ({error.strerror})") from error
            return True  # the share it lies on is away; what serves is mapped from elsewhere
        if not same:
            raise self._changed(file, "holds other bytes")
        file.sign = (
            sign  # as it was before it was hashed: what came meanwhile is seen at the next look
        )
        return True

    def _others_are_there(self) -> bool:
        return any(os.path.exists(one.where) for one in self._named)  # noqa: PTH110  no descriptor is among these

    def _changed(self, file: _File, what: str) -> ModelError:
        return ModelError(
            f"the model in {self._folder} changed under the running service: {file.name} {what}",
            hint=file.hint,
        )


def stat_signatures(folder: Path, names: Iterable[str]) -> StatSignatures:
    """Return what files look like now, those that are there."""
    found = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = _sign(folder / name)
    return found


def part_signatures(part: Part) -> StatSignatures:
    """Return what a part's files look like now."""
    return stat_signatures(part.folder, part.files)


def _sign(where: Path | int) -> StatSignature:
    status = os.stat(where)  # noqa: PTH116  a descriptor has no Path
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(where: Path | int, beat: Callable[[], None]) -> str:
    descriptor = where if isinstance(where, int) else os.open(where, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest, offset = hashlib.sha256(), 0
        while chunk := os.pread(descriptor, _CHUNK, offset):
            digest.update(chunk)
            offset += len(chunk)
            beat()
        return digest.hexdigest()
    finally:
        if descriptor != where:
            os.close(descriptor)
