"""Import now what decoding would otherwise import at its first need: a confined process opens no more files."""

from __future__ import annotations

import codecs

import numpy.ma
import PIL.MpoImagePlugin
import PIL.TiffImagePlugin
from PIL import Image
from pydicom.charset import python_encoding

__all__ = ["warm_up"]

# numpy's unique asks for it, Pillow's formats load their own kin late: imported above for nothing but that
_LATE = (numpy.ma, PIL.MpoImagePlugin, PIL.TiffImagePlugin)


def warm_up() -> None:
    """Load Pillow's formats and the codecs of DICOM's character sets; a test proves that nothing is left out.

    Python's other codecs are then unknown: text in a character set DICOM has no term for is read as Latin 1.
    """
    Image.preinit()
    for name in set(python_encoding.values()):
        codecs.lookup(name)
