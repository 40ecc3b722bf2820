"""What stands for a patient: keys in logs and audit, and, where the site keeps pseudonyms only, in all tables; pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass

_SHORTEST_KEY = 16  # bytes
_FEWEST_LETTERS = 5  # different ones; 16 random hexadecimal digits have fewer once in a million
_OF_EXAMPLES = (
    b"changeme",
    b"default",
    b"example",
    b"password",
    b"secret",
    b"sitekey",
    b"123456789",
    b"abcdefgh",
)
_NOBODY = {
    *(
        "ANON",
        "ANONYM",
        "ANONYMISED",
        "ANONYMIZED",
        "ANONYMOUS",
        "NA",
        "NIL",
        "NOID",
        "NONE",
        "NOTGIVEN",
    ),
    *("NULL", "UNDEFINED", "UNKNOWN"),
}
_PART = 16  # hexadecimal digits of a digest that stands for a part of a path
_SUFFIXES = frozenset({"jpg", "jpeg", "jpe", "png", "tif", "tiff", "dcm", "dicom"})


def patient_key(site_key: bytes, issuer: str | None, patient_id: str | None) -> str | None:
    """Return HMAC-SHA256(site key, issuer|PatientID) in hex, None where there is no PatientID.

    >>> patient_key(b"k" * 32, None, "P1") == patient_key(b"k" * 32, "", "P1")
    True
    >>> patient_key(b"k" * 32, "clinic", None) is None
    True
    """
    if not patient_id:
        return None
    # bytes that were no UTF-8 come as lone surrogates
    identity = f"{issuer or ''}|{patient_id}".encode("utf-8", "surrogatepass")
    return hmac.new(site_key, identity, hashlib.sha256).hexdigest()


def is_nobody(patient_id: str) -> bool:
    """Tell whether an identifier is what software writes where there is none: strangers must not share it.

    >>> [is_nobody(one) for one in ("", "0000", "-", "Anonymous", "n/a", "P0", "17")]
    [True, True, True, True, True, False, False]
    """
    letters = "".join(filter(str.isalnum, patient_id)).upper()
    return not letters.strip("0") or letters in _NOBODY


def weakness(site_key: bytes) -> str | None:
    """Tell why a site key protects nobody, None where it may.

    >>> weakness(b"0123"), weakness(b"k" * 32)
    ('holds fewer than 16 bytes', 'repeats a few characters only')
    """
    if len(site_key) < _SHORTEST_KEY:
        return f"holds fewer than {_SHORTEST_KEY} bytes"
    if len(set(site_key)) < _FEWEST_LETTERS:
        return "repeats a few characters only"
    letters = re.sub(rb"[^a-z0-9]", b"", site_key.lower())
    return (
        "is that of an example, which anybody can guess"
        if any(one in letters for one in _OF_EXAMPLES)
        else None
    )


@dataclass(frozen=True, slots=True)
class Identifiers:
    """How a site writes patients down: by identifier and key, or where it keeps pseudonyms by key alone."""

    site_key: bytes = b""
    are_clear: bool = True
    issuer: str = ""  # of identifiers that come without: those of paths, and of most DICOM

    def key(self, issuer: str | None, patient_id: str | None) -> str | None:
        """Return the key of a patient."""
        return patient_key(self.site_key, issuer or self.issuer, patient_id)

    def kept(self, patient_id: str | None) -> str | None:
        """Return of an identifier what may be stored."""
        return patient_id if self.are_clear else None

    def path(self, text: str) -> str:
        """Return a path as people may read it: where the site keeps pseudonyms, each part of it is a digest.

        The same folder has the same digest, and files of one shot still share all but their suffix.

        >>> Identifiers().path("P1/12_OD.jpg")
        'P1/12_OD.jpg'
        >>> Identifiers(b"k" * 32, are_clear=False).path("P1/12_OD.jpg").endswith(".jpg")
        True
        """
        if self.are_clear:
            return text
        *folders, name = text.split("/")
        stem, dot, suffix = name.rpartition(".")
        if suffix.lower() not in _SUFFIXES:
            stem, dot, suffix = name, "", ""
        return "/".join([*map(self._part, folders), self._part(stem) + dot + suffix])

    def _part(self, text: str) -> str:
        return hmac.new(self.site_key, b"path|" + text.encode(), hashlib.sha256).hexdigest()[:_PART]
