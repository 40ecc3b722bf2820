"""The marker segments of a JPEG or JPEG-LS codestream, read without decoding it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A marker is FF and a code; FF00, restarts and JPEG-LS's stuffed bits belong to the coded pixels.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD}  # DHT, DAC, DQT, DRI
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP14 = 0xE0, 0xEE
_DHT, _AC, _END_OF_BLOCK = 0xC4, 0x10, 0
_SEQUENTIAL = {0xC0, 0xC1}  # with Huffman codes
_HOLE = bytes(64)
_RGB_IDS = {b"RGB", b"rgb"}
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0"  # and the colour transform


@dataclass(frozen=True, slots=True)
class Codestream:
    """What the markers say of a JPEG, up to its own end."""

    process: int | None = None  # the low byte of its SOF marker
    precision: int = 0  # bits
    width: int = 0
    height: int = 0
    components: bytes = b""  # their ids
    sampling: bytes = b""  # for each of them horizontal and vertical factor, 4 bits each
    jfif: bool = False
    adobe: int | None = None  # APP14's colour transform
    tables: bytes = b""  # the segments before the first scan that decoding needs
    scan: int | None = None  # the offset of the first scan
    end: int | None = None  # the offset behind EOI; None: the stream is cut short

    @property
    def is_ycc(self) -> bool | None:
        """Tell whether three components are YCbCr by the stream's own word; None: it says nothing."""
        if self.components in _RGB_IDS:
            return False
        if self.jfif:
            return True
        return None if self.adobe is None else self.adobe != 0


def read_markers(data: bytes) -> Codestream:
    """Walk the markers from SOI to the first image's EOI; junk between them is stepped over."""
    seen: dict[str, Any] = {"tables": b""}
    position = 2
    while match := _MARKER.search(data, position):
        code, position = match[1][0], match.end()
        if code == _EOI:
            seen["end"] = position
            break
        if code == _SOI:
            continue
        end = position + max(int.from_bytes(data[position : position + 2]), 2)
        if code == _SOS:
            seen.setdefault("scan", position - 2)
        elif (
            "scan" not in seen
        ):  # decoders, too, have read size and colours when the first scan begins
            seen |= _segment(code, data[position + 2 : end])
            if code in _SOF | _TABLES:
                seen["tables"] += data[position - 2 : end]
        position = end
    return Codestream(**seen)


def _segment(code: int, body: bytes) -> dict[str, Any]:
    if code in _SOF:
        return {
            "process": code,
            "precision": body[0] if body else 0,
            "height": int.from_bytes(body[1:3]),
            "width": int.from_bytes(body[3:5]),
            "components": body[6::3],
            "sampling": body[7::3],
        }
    if code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:  # noqa: PLR2004  its full length
        return {"jfif": True}
    if code == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:  # noqa: PLR2004  its full length
        return {"adobe": body[11]}
    return {}


def bare(data: bytes, stream: Codestream, *, untransformed: bool = False) -> bytes:
    """Return the codestream with what decoding needs and no more; `untransformed` calls its components RGB.

    Exif, profiles, thumbnails, vendors' segments, junk between segments and bytes behind the end are left out:
    damage there is no damage to the pixels.
    """
    jfif = _JFIF if stream.jfif and not untransformed else b""
    transform = 0 if untransformed else stream.adobe
    adobe = (
        b"" if transform is None else _ADOBE + bytes([_known(transform, len(stream.components))])
    )
    scans = memoryview(data)[stream.scan : stream.end]
    return b"".join([b"\xff\xd8", jfif, adobe, stream.tables, scans])


def _known(transform: int, components: int) -> int:
    """Map colour transforms that nobody defined to the one that decoders assume then, with a warning."""
    return 0 if transform == 0 else 1 if components == 3 else 2  # noqa: PLR2004  YCbCr, YCCK


def has_hole(data: bytes, stream: Codestream) -> bool:
    """Tell whether a stretch of the coded pixels was zeroed, as lost sectors and broken copies leave it.

    Decoders fall into step again behind a hole, and often notice nothing. Where zeros are no code for the end of
    a block, as in the tables nearly all cameras use, they code blocks full of equal waves, two of which no
    photograph has in a row. Other streams may have that many zeros for a black surround, and are not judged.
    """
    if stream.process not in _SEQUENTIAL or stream.scan is None:
        return False
    interleaved = data[stream.scan + 4 : stream.scan + 5] == bytes([len(stream.components)])
    if not interleaved or all(
        symbol == _END_OF_BLOCK for symbol in _first_ac_symbols(stream.tables)
    ):
        return False
    return data.find(_HOLE, stream.scan, stream.end) >= 0


def _first_ac_symbols(tables: bytes) -> Iterator[int]:
    """Yield what the code of nothing but zeros stands for in each Huffman table for AC coefficients."""
    position = 0
    while position + 4 <= len(tables):
        length = int.from_bytes(tables[position + 2 : position + 4])
        body = tables[position + 4 : position + 2 + length] if tables[position + 1] == _DHT else b""
        while len(body) > 17:  # noqa: PLR2004  class and id, 16 counts, then the symbols
            if body[0] & 0xF0 == _AC:
                yield body[17]
            body = body[17 + sum(body[1:17]) :]
        position += 2 + max(length, 2)
