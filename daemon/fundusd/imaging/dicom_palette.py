"""Look up the colours of PALETTE COLOR pixels.

The tables are described in PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6. pydicom's function for them confuses
the entries of some tables: more than 256 of 8 bits, and odd numbers of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.domain.clinical_terms import Reason
from fundusd.domain.errors import CaptureError
from fundusd.imaging.dicom_values import BAD_VALUE

if TYPE_CHECKING:
    from pydicom import Dataset

    from fundusd.domain.decoding import Pixels

_COLOURS = ("Red", "Green", "Blue")
_MOST_ENTRIES = 1 << 16  # written as 0, as the descriptor has 16 bits
_ENTRY_BITS = {8, 16}
_BYTE_MAX = 255


def apply_palette(indices: np.ndarray, ds: Dataset, *, little_endian: bool) -> Pixels:
    """Return the colours [rows, columns, 3] of palette indices [rows, columns].

    Indices below and above the table get its first and last colour. Raises CaptureError if the
    header has no usable table.
    """
    try:
        entries, first, bits = map(int, _table_value(ds, "Red", "Descriptor"))
        tables = [_entries(ds, colour, entries, little_endian=little_endian) for colour in _COLOURS]
    except BAD_VALUE:
        raise CaptureError(Reason.DECODE_ERROR) from None
    if bits not in _ENTRY_BITS:
        raise CaptureError(Reason.DECODE_ERROR)
    table = np.stack(tables, axis=1)
    if table.max() > _BYTE_MAX:
        table >>= 8
    positions = np.clip(indices.astype(np.int32) - first, 0, len(table) - 1)
    colours: Pixels = table.astype(np.uint8)[positions]
    return colours


def _table_value(ds: Dataset, colour: str, part: str) -> Any:
    return ds[f"{colour}PaletteColorLookupTable{part}"].value


def _entries(ds: Dataset, colour: str, entries: int, *, little_endian: bool) -> np.ndarray:
    """Return one colour's table as numbers of 16 bits.

    Its length tells how wide its entries are, because some exporters store 8 bits in 16 and some
    declare 16 bits for bytes. Entries of 8 bits are packed in words, too.
    """
    entries = entries % _MOST_ENTRIES or _MOST_ENTRIES
    data = _table_value(ds, colour, "Data")
    words = np.frombuffer(data, "<u2" if little_endian else ">u2").astype("<u2")
    if len(words) < entries:
        words = words.view(np.uint8).astype("<u2")
    if len(words) < entries:
        raise ValueError
    return words[:entries]
