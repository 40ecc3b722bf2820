"""Read the directories of a TIFF or BigTIFF file without decoding its pixels (TIFF 6.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    ReadAt = Callable[[int, int], bytes]  # returns up to this many bytes from this offset

NEW_SUBFILE_TYPE, SUBFILE_TYPE = 254, 255
WIDTH, HEIGHT = 256, 257
COMPRESSION, PHOTOMETRIC = 259, 262
SUB_DIRECTORIES = 330
DNG_VERSION = 50706
_TAGS = {
    *(NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC),
    *(SUB_DIRECTORIES, DNG_VERSION),
}
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # by the type of the field
_BIG = 43  # the magic number of BigTIFF; that of TIFF is 42
_MAX_ENTRIES = 4096  # real directories have some dozens
_MAX_VALUES = 64
_MAX_DIRECTORIES = 1000


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of a TIFF file, which describes one image."""

    offset: int
    next_offset: int  # 0: this is the last one
    values: Mapping[int, tuple[int, ...]]  # of the tags above, as far as they are numbers

    def value(self, tag: int) -> int:
        """Return the first value of a tag, or 0 if the tag is absent."""
        values = self.values.get(tag)
        return values[0] if values else 0


class TiffReader:
    """Reads the directories of a TIFF file.

    Its methods raise EOFError if the file ends before a directory does, or if a directory is
    impossibly large.
    """

    def __init__(self, read: ReadAt) -> None:
        self._read = read
        head = read(16, 0)
        self._order = "<" if head[:2] == b"II" else ">"
        self._is_big = _BIG in head[2:4]
        if self._is_big:
            self._first = self._unpack("Q", head[8:])
        else:
            self._first = self._unpack("I", head[4:])

    def directories(self) -> Iterator[Directory]:
        """Yield the main directories in their order; a chain that repeats ends there."""
        visited: set[int] = set()
        offset = self._first
        while offset and offset not in visited and len(visited) < _MAX_DIRECTORIES:
            visited.add(offset)
            directory = self._directory(offset)
            yield directory
            offset = directory.next_offset

    def sub_directories(self, directory: Directory) -> Iterator[Directory]:
        """Yield the directories that a directory refers to as its SubIFDs."""
        for offset in directory.values.get(SUB_DIRECTORIES, ()):
            yield self._directory(offset)

    def _unpack(self, code: str, content: bytes) -> int:
        size = struct.calcsize("<" + code)
        if len(content) < size:
            raise EOFError
        value: int = struct.unpack(self._order + code, content[:size])[0]
        return value

    def _directory(self, offset: int) -> Directory:
        count_code, pointer_code, entry_bytes = ("Q", "Q", 20) if self._is_big else ("H", "I", 12)
        count_bytes = struct.calcsize("<" + count_code)
        count = self._unpack(count_code, self._read(count_bytes, offset))
        if count > _MAX_ENTRIES:
            raise EOFError
        start = offset + count_bytes
        table = self._read(count * entry_bytes + 8, start)
        if len(table) < count * entry_bytes:
            raise EOFError
        values: dict[int, tuple[int, ...]] = {}
        for place in range(0, count * entry_bytes, entry_bytes):
            entry = table[place : place + entry_bytes]
            tag = self._unpack("H", entry)
            if tag in _TAGS:
                values[tag] = self._values(entry, pointer_code)
        next_offset = self._unpack(pointer_code, table[count * entry_bytes :])
        return Directory(offset, next_offset, values)

    def _values(self, entry: bytes, pointer_code: str) -> tuple[int, ...]:
        code = _FORMATS.get(self._unpack("H", entry[2:]))
        size = struct.calcsize("<" + pointer_code)
        count = min(self._unpack(pointer_code, entry[4:]), _MAX_VALUES)
        if code is None:
            return ()
        content = entry[4 + size :]
        length = count * struct.calcsize("<" + code)
        if length > size:
            content = self._read(length, self._unpack(pointer_code, content))
        if len(content) < length:
            raise EOFError
        return struct.unpack(f"{self._order}{count}{code}", content[:length])
