"""Import in advance what decoding would import later, as a confined process cannot open files."""

from __future__ import annotations

import codecs

import numpy.ma
import PIL.MpoImagePlugin
import PIL.TiffImagePlugin
from PIL import Image
from pydicom.charset import python_encoding

__all__ = ["warm_up"]

# numpy.unique imports numpy.ma, and Pillow's formats import each other, only when first used;
# they are imported above for that reason alone
_LAZILY_IMPORTED = (numpy.ma, PIL.MpoImagePlugin, PIL.TiffImagePlugin)


def warm_up() -> None:
    """Load Pillow's formats and the codecs of DICOM's character sets.

    A test checks that none of them is missing. Python's other codecs stay unavailable, so text in a
    character set that DICOM does not define is read as Latin 1.
    """
    Image.preinit()
    for name in set(python_encoding.values()):
        codecs.lookup(name)
