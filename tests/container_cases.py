"""Builders of files that contain more than one picture, written byte by byte."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.domain.decoding import Pixels

LARGE_THUMBNAIL_VGA, LARGE_THUMBNAIL_HD = 0x010001, 0x010002
PANORAMA, DISPARITY, MULTI_ANGLE = 0x020001, 0x020002, 0x020003
PRIMARY, ORIGINAL, GAIN_MAP, UNTYPED = 0x030000, 0x040000, 0x050000, 0


def multi_picture(first: bytes, *others: tuple[int, bytes], order: str = "<") -> bytes:
    """Join JPEGs by a Multi-Picture index (CIPA DC-007); each of the others has a type."""
    count = 1 + len(others)
    index_bytes = 8 + 2 + 3 * 12 + 4 + 16 * count
    total = len(first) + 4 + 4 + index_bytes
    entries = struct.pack(order + "IIIHH", 0x20000000 | PRIMARY, total, 0, 0, 0)
    offset = total - 2 - 2 - 2 - 4  # relative to the index, which follows SOI, marker, length, MPF
    for kind, picture in others:
        entries += struct.pack(order + "IIIHH", kind, len(picture), offset, 0, 0)
        offset += len(picture)
    fields = (
        struct.pack(order + "HHI4s", 0xB000, 7, 4, b"0100"),
        struct.pack(order + "HHII", 0xB001, 4, 1, count),
        struct.pack(order + "HHII", 0xB002, 7, 16 * count, 8 + 2 + 3 * 12 + 4),
    )
    byte_order = b"II*\0" if order == "<" else b"MM\0*"
    index = byte_order + struct.pack(order + "IH", 8, 3) + b"".join(fields) + bytes(4) + entries
    segment = b"\xff\xe2" + struct.pack(">H", len(index) + 6) + b"MPF\0" + index
    return first[:2] + segment + first[2:] + b"".join(picture for _, picture in others)


@dataclass
class Page:
    """A directory of a TIFF, with RGB pixels in one strip and further tags."""

    pixels: Pixels
    tags: Mapping[int, int] = field(default_factory=dict)
    subs: Sequence[Page] = ()


def tiff(*pages: Page, order: str = "<", big: bool = False, tail: bytes = b"") -> bytes:
    """Write a TIFF or BigTIFF whose main directories are `pages`."""
    magic = b"II" if order == "<" else b"MM"
    if big:
        head = magic + struct.pack(order + "HHH", 43, 8, 0)
    else:
        head = magic + struct.pack(order + "H", 42)
    pointer = "Q" if big else "I"
    body = bytearray(head + bytes(struct.calcsize("<" + pointer)) + tail)
    link = len(head)
    for page in pages:
        offset, next_link = _append(body, page, order, pointer)
        struct.pack_into(order + pointer, body, link, offset)
        link = next_link
    return bytes(body)


def _append(body: bytearray, page: Page, order: str, pointer: str) -> tuple[int, int]:
    """Append a page; return the offsets of its directory and of the pointer to the next one."""
    subs = [_append(body, sub, order, pointer)[0] for sub in page.subs]
    strip = len(body)
    body += page.pixels.tobytes()
    bits, sub_table = len(body), len(body) + 6
    body += struct.pack(order + "HHH", 8, 8, 8)
    body += struct.pack(f"{order}{len(subs)}{pointer}", *subs)
    height, width = page.pixels.shape[:2]
    tags = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 3, bits),
        259: (3, 1, 1),
        262: (3, 1, 2),
        273: (4, 1, strip),
        277: (3, 1, 3),
        278: (4, 1, height),
        279: (4, 1, page.pixels.nbytes),
    }
    for tag, value in page.tags.items():
        tags[tag] = (4, 1, value)
    if subs:
        tags[330] = (18 if pointer == "Q" else 13, len(subs), sub_table)
        if len(subs) == 1:
            tags[330] = (*tags[330][:2], subs[0])
    offset = len(body)
    body += struct.pack(order + ("Q" if pointer == "Q" else "H"), len(tags))
    for tag, (kind, count, value) in sorted(tags.items()):
        body += struct.pack(f"{order}HH{pointer}", tag, kind, count)
        body += _value(kind, count, value, order, pointer)
    body += bytes(struct.calcsize("<" + pointer))
    return offset, len(body) - struct.calcsize("<" + pointer)


def _value(kind: int, count: int, value: int, order: str, pointer: str) -> bytes:
    size = struct.calcsize("<" + pointer)
    if kind == 3 and pointer == "Q" and count == 3:
        return struct.pack(order + "HHH", 8, 8, 8).ljust(size, b"\0")  # fits into the entry
    if kind == 3 and count == 1:
        return struct.pack(order + "H", value).ljust(size, b"\0")
    if kind == 4:
        return struct.pack(order + "I", value).ljust(size, b"\0")
    return struct.pack(order + pointer, value)


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    """Return a chunk of a PNG."""
    if checksum is None:
        checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def with_chunks(png: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """Insert chunks into a PNG in front of the first chunk of another kind."""
    place = png.index(before) - 4
    return png[:place] + b"".join(chunks) + png[place:]
