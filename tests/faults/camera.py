"""A camera that remembers what it wrote, and so what the ledger should hold."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.daemon_cases import dicom, jpeg

from fundusd.domain.clinical_terms import Eye, Grade

if TYPE_CHECKING:
    from pathlib import Path

Look = tuple[int, int, int, int]  # size, mtime_ns, inode, mode
SIDECAR = b"<html>report</html>"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def photograph(number: int) -> bytes:
    """Render a capture of unique bytes: every fifth is a DICOM, the others are JPEGs."""
    grade, eye = tuple(Grade)[number % 5], (Eye.RIGHT, Eye.LEFT)[number % 2]
    if number % 5 == 4:
        return dicom(grade, eye, seed=number % 40, patient=f"phantom-{number}")
    return jpeg(grade, eye, seed=number % 8) + number.to_bytes(4)


@dataclass
class Camera:
    """Writes files below `inbox` and records what they should become."""

    inbox: Path
    # digests by path, in the order in which they were complete
    complete: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sidecars: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)  # digests of bytes that can only fail
    renamed: set[str] = field(default_factory=set)  # former and new names
    left: dict[str, Look] = field(default_factory=dict)  # how each file was left

    def at(self, name: str) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, name: str, data: bytes) -> None:
        """Write a capture in one go."""
        self.at(name).write_bytes(data)
        self.finished(name, data)

    def put_sidecar(self, name: str, data: bytes = SIDECAR) -> None:
        """Write a file that is not a capture."""
        self.at(name).write_bytes(data)
        self.sidecars.add(name)
        self._leave(name)

    def put_truncated(self, name: str, data: bytes) -> None:
        """Write a capture without its end."""
        cut = data[: len(data) * 2 // 3]
        self.broken.add(digest(cut))
        self.put(name, cut)

    def rename(self, name: str, new: str) -> None:
        """Rename a capture."""
        self.at(name).rename(self.at(new))
        self.renamed |= {name, new}
        self.left[new] = self.left.pop(name)
        self.complete[new].append(self.complete[name][-1])

    def delete(self, name: str) -> None:
        """Delete a capture."""
        self.at(name).unlink()
        del self.left[name]

    def finished(self, name: str, data: bytes) -> None:
        """Note that a file is complete, however it was written."""
        if not self.complete[name] or self.complete[name][-1] != digest(data):
            self.complete[name].append(digest(data))
        self._leave(name)

    def finished_before(self, name: str, data: bytes) -> None:
        """Note that the file is complete with these bytes at times, but will not stay so."""
        self.complete[name].append(digest(data))

    def _leave(self, name: str) -> None:
        self.left[name] = look(self.inbox / name)

    @property
    def captures(self) -> dict[str, str]:
        """Return the digest of each capture that is there now."""
        return {name: self.complete[name][-1] for name in self.left if name not in self.sidecars}

    @property
    def ever(self) -> set[str]:
        """Return the digests of all that was ever complete."""
        return set().union(*self.complete.values())


def look(path: Path) -> Look:
    """Return the properties of a file that only the camera may change."""
    status = os.lstat(path)
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode
