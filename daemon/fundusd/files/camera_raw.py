"""Recognise the raw files of digital cameras, which hold sensor data and small previews."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fundusd.files.tiff_directories import COMPRESSION, DNG_VERSION, PHOTOMETRIC, TiffReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fundusd.files.tiff_directories import Directory, ReadAt

_CANON = b"CR"  # behind the header of a CR2 file
_PHASE_ONE = {b"IIII", b"MMMM"}  # behind the header of an IIQ file
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
# compressions that only makers of cameras use: Sony, Nikon, Samsung, Kodak, Pentax
_MAKERS_COMPRESSIONS = {32767, 32769, 32770, 34713, 65000, 65535}
_MAX_DIRECTORIES = 100  # raw files have about ten; the watcher must not be kept busy


def is_camera_raw(read: ReadAt) -> bool:
    """Return whether a TIFF file is a camera's raw file.

    Raw files are recognised by the magic numbers of CR2 and IIQ, the version number of DNG, and
    sensor data in any directory.
    """
    head = read(12, 0)
    if head[8:10] == _CANON or head[8:12] in _PHASE_ONE:
        return True
    directories = islice(_all_directories(read), _MAX_DIRECTORIES)
    return any(_is_sensor_data(directory) for directory in directories)


def _all_directories(read: ReadAt) -> Iterator[Directory]:
    """Yield the directories and sub-directories of a TIFF, up to the first that is cut off."""
    try:
        reader = TiffReader(read)
        for directory in reader.directories():
            yield directory
            yield from reader.sub_directories(directory)
    except EOFError:
        return


def _is_sensor_data(directory: Directory) -> bool:
    return (
        DNG_VERSION in directory.values
        or directory.value(PHOTOMETRIC) in {_COLOUR_FILTER_ARRAY, _LINEAR_RAW}
        or directory.value(COMPRESSION) in _MAKERS_COMPRESSIONS
    )
