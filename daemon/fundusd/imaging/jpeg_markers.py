"""Read the marker segments of a JPEG or JPEG-LS codestream without decoding its pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# A marker is FF and a code; FF00, restart markers and JPEG-LS's stuffed bits belong to the
# entropy-coded data
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD}  # DHT, DAC, DQT, DRI
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_EXIF, _INDEX, _PROFILE = b"Exif\0\0", b"MPF\0", b"ICC_PROFILE\0"
_DHT, _AC, _END_OF_BLOCK = 0xC4, 0x10, 0
_HUFFMAN_SEQUENTIAL = {0xC0, 0xC1}
_PART_NUMBERS = 2  # bytes: the number of a part of the profile, and the number of parts
_ZEROED_RUN = bytes(64)
_RGB_IDS = {b"RGB", b"rgb"}
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
_ADOBE = b"\xff\xee\0\x0eAdobe\0d\0\0\0\0"  # the colour transform follows
_JFIF_LENGTH, _ADOBE_LENGTH = 14, 12  # of complete APP0 and APP14 bodies
# The transforms that decoders assume, with a warning, in place of undefined ones
_TRANSFORM_YCBCR, _TRANSFORM_YCCK = 1, 2


@dataclass(frozen=True, slots=True)
class Codestream:
    """The properties of a JPEG that the markers up to the end of its first image declare."""

    process: int | None = None  # the low byte of its SOF marker
    precision: int = 0  # bits
    width: int = 0
    height: int = 0
    components: bytes = b""  # the ids of the components
    sampling: bytes = b""  # per component the horizontal and vertical factor, 4 bits each
    jfif: bool = False
    adobe: int | None = None  # APP14's colour transform
    tables: bytes = b""  # the segments before the first scan that decoding needs
    exif: bytes = b""
    index: int | None = None  # the offset of the Multi-Picture index
    profile: tuple[bytes, ...] = ()  # the parts of the ICC profile, each with its number in front
    scan: int | None = None  # the offset of the first scan
    end: int | None = None  # the offset just after EOI; None if the stream is truncated

    @property
    def is_ycc(self) -> bool | None:
        """Return whether the markers declare YCbCr rather than RGB, or None for neither."""
        if self.components in _RGB_IDS:
            return False
        if self.jfif:
            return True
        if self.adobe is None:
            return None
        return self.adobe != 0

    @property
    def icc(self) -> bytes:
        """Return the ICC profile, or b"" if there is none."""
        return b"".join(part[_PART_NUMBERS:] for part in sorted(self.profile))


def read_markers(data: bytes) -> Codestream:
    """Return the properties of the JPEG that the markers up to the first EOI declare.

    Junk between segments is skipped.
    """
    fields: dict[str, Any] = {"tables": b""}
    position = 2
    while match := _MARKER.search(data, position):
        code, position = match[1][0], match.end()
        if code == _EOI:
            fields["end"] = position
            break
        if code == _SOI:
            continue
        end = position + max(int.from_bytes(data[position : position + 2]), 2)
        if code == _SOS:
            fields.setdefault("scan", position - 2)
        elif "scan" not in fields:  # as decoders do, fix size and colours at the first scan
            body = data[position + 2 : end]
            fields |= _read_segment(code, body)
            _add_metadata(fields, code, body, position + 2)
            if code in _SOF | _TABLES:
                fields["tables"] += data[position - 2 : end]
        position = end
    return Codestream(**fields)


def _read_segment(code: int, body: bytes) -> dict[str, Any]:
    """Return the Codestream fields that a marker segment sets."""
    if code in _SOF:
        return {
            "process": code,
            "precision": int.from_bytes(body[:1]),
            "height": int.from_bytes(body[1:3]),
            "width": int.from_bytes(body[3:5]),
            "components": body[6::3],
            "sampling": body[7::3],
        }
    if code == _APP0 and body.startswith(b"JFIF\0") and len(body) >= _JFIF_LENGTH:
        return {"jfif": True}
    if code == _APP14 and body.startswith(b"Adobe") and len(body) >= _ADOBE_LENGTH:
        return {"adobe": body[11]}
    return {}


def _add_metadata(fields: dict[str, Any], code: int, body: bytes, offset: int) -> None:
    """Add what an APP1 or APP2 segment holds, whose body begins at `offset`."""
    if code == _APP1 and body.startswith(_EXIF):
        fields.setdefault("exif", body)
    elif code == _APP2 and body.startswith(_INDEX):
        fields.setdefault("index", offset + len(_INDEX))
    elif code == _APP2 and body.startswith(_PROFILE):
        fields["profile"] = (*fields.get("profile", ()), body[len(_PROFILE) :])


def strip_metadata(data: bytes, stream: Codestream, *, untransformed: bool = False) -> bytes:
    """Return the codestream reduced to what decoding needs.

    Exif, profiles, thumbnails, vendors' segments, junk between segments and bytes after the end are
    left out, as damage in them does not affect the pixels. If `untransformed` is true, the
    components are declared as RGB.
    """
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    if stream.jfif and not untransformed:
        parts.append(_JFIF)
    transform = 0 if untransformed else stream.adobe
    if transform is not None:
        standard = _standard_transform(transform, len(stream.components))
        parts.append(_ADOBE + bytes([standard]))
    parts += [stream.tables, memoryview(data)[stream.scan : stream.end]]
    return b"".join(parts)


def _standard_transform(transform: int, components: int) -> int:
    """Return the Adobe colour transform, or the one that decoders assume if it is undefined."""
    if transform == 0:
        return 0
    return _TRANSFORM_YCBCR if components == 3 else _TRANSFORM_YCCK  # noqa: PLR2004


def has_zeroed_run(data: bytes, stream: Codestream) -> bool:
    """Return whether part of the entropy-coded data was zeroed, as by lost disk sectors.

    Decoders resynchronise after such a run and often report nothing. If the all-zeros code does not
    mean end of block, as in the tables that nearly all cameras use, such a run would decode to
    blocks of equal waves, and no photograph has two of those in a row. Other streams may contain
    that many zeros for a black surround, so they are not checked.
    """
    if stream.process not in _HUFFMAN_SEQUENTIAL or stream.scan is None:
        return False
    is_interleaved = data[stream.scan + 4 : stream.scan + 5] == bytes([len(stream.components)])
    if not is_interleaved or set(_first_ac_symbols(stream.tables)) <= {_END_OF_BLOCK}:
        return False
    return data.find(_ZEROED_RUN, stream.scan, stream.end) >= 0


def _first_ac_symbols(tables: bytes) -> Iterator[int]:
    """Yield the symbol of the all-zeros code in each Huffman table for AC coefficients."""
    position = 0
    while position + 4 <= len(tables):
        length = int.from_bytes(tables[position + 2 : position + 4])
        if tables[position + 1] == _DHT:
            yield from _first_ac_symbols_of(tables[position + 4 : position + 2 + length])
        position += 2 + max(length, 2)


def _first_ac_symbols_of(body: bytes) -> Iterator[int]:
    while len(body) > 17:  # noqa: PLR2004  class and id, 16 counts, then the symbols
        if body[0] & 0xF0 == _AC:
            yield body[17]
        body = body[17 + sum(body[1:17]) :]
