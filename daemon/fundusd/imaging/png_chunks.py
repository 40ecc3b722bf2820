"""Separate a PNG's pixels from its metadata, so that no metadata can make the file unreadable."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError

_SIGNATURE_BYTES = 8
_LENGTH_AND_KIND, _CHECKSUM = 8, 4  # bytes around a chunk's content
_END = b"IEND"
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", _END}
_ANIMATION, _ANIMATION_FRAME = b"acTL", b"fdAT"
_PROFILE, _EXIF = b"iCCP", b"eXIf"
_ANCILLARY = 0x20  # the bit of the first letter that marks a chunk that decoders may skip
_MAX_PROFILE_BYTES = 16 * 1024 * 1024  # profiles with large tables have 1 to 4 MiB
_BROKEN_PROFILE = b"\0"  # no valid profile


@dataclass(frozen=True, slots=True)
class PngChunks:
    """A PNG without its metadata, and the metadata that affects how it is shown."""

    image: bytes  # the PNG reduced to the chunks of its pixels
    icc: bytes  # the colour profile; b"" if there is none
    exif: bytes
    is_animated: bool
    end: int | None  # the offset just after the last chunk; None if the file is truncated


def read_chunks(data: bytes) -> PngChunks:
    """Return the chunks of a PNG (ISO/IEC 15948).

    Raises CaptureError (DECODE_ERROR) if a chunk of the pixels is damaged or unknown. Damaged
    metadata is left out.
    """
    parts: list[bytes | memoryview] = [data[:_SIGNATURE_BYTES]]
    metadata: dict[bytes, bytes] = {}
    view = memoryview(data)
    position, end = _SIGNATURE_BYTES, None
    while position + _LENGTH_AND_KIND + _CHECKSUM <= len(data) and end is None:
        start = position + _LENGTH_AND_KIND
        kind = data[position + 4 : start]
        stop = start + int.from_bytes(data[position : position + 4])
        after = stop + _CHECKSUM
        is_whole = after <= len(data)
        is_intact = is_whole and zlib.crc32(view[position + 4 : stop]) == int.from_bytes(
            view[stop:after]
        )
        if kind in _PIXELS or not (kind.isalpha() and kind[0] & _ANCILLARY):
            if is_whole and not (is_intact and kind in _PIXELS):
                raise CaptureError(Reason.DECODE_ERROR)
            parts.append(view[position:after])
        elif is_intact:
            metadata.setdefault(kind, data[start:stop])
        elif kind == _PROFILE:
            metadata.setdefault(kind, b"")
        if kind == _END and is_whole:
            end = after
        position = after
    return PngChunks(
        image=b"".join(parts),
        icc=_profile(metadata[_PROFILE]) if _PROFILE in metadata else b"",
        exif=metadata.get(_EXIF, b""),
        is_animated=_ANIMATION in metadata and _ANIMATION_FRAME in metadata,
        end=end,
    )


def _profile(chunk: bytes) -> bytes:
    """Return the profile in an iCCP chunk, or an invalid one if it is damaged or too large."""
    _, _, rest = chunk.partition(b"\0")  # the name, then the compression method
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(rest[1:], _MAX_PROFILE_BYTES)
    except zlib.error:
        return _BROKEN_PROFILE
    if not inflater.eof:
        return _BROKEN_PROFILE
    return profile or _BROKEN_PROFILE
