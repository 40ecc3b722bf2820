"""Derive the pseudonyms of patients, and decide how a site stores its patients; pure."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass

_MIN_KEY_BYTES = 16
_MIN_DIFFERENT_BYTES = 5  # 16 random hexadecimal digits have fewer in one of a million keys
_EXAMPLE_KEYS = (
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
    "ANON", "ANONYM", "ANONYMISED", "ANONYMIZED", "ANONYMOUS", "NA", "NIL", "NOID", "NONE",
    "NOTGIVEN", "NULL", "UNDEFINED", "UNKNOWN",
}  # fmt: skip
_PART = 16  # hexadecimal digits of a digest that stands for a part of a path
_SUFFIXES = frozenset({"jpg", "jpeg", "jpe", "png", "tif", "tiff", "dcm", "dicom"})


def patient_key(site_key: bytes, issuer: str | None, patient_id: str | None) -> str | None:
    """Return HMAC-SHA256(site key, issuer|PatientID) in hex, or None without a PatientID.

    >>> patient_key(b"k" * 32, None, "P1") == patient_key(b"k" * 32, "", "P1")
    True
    >>> patient_key(b"k" * 32, "clinic", None) is None
    True
    """
    if not patient_id:
        return None
    # bytes that are not UTF-8 arrive as lone surrogates
    identity = f"{issuer or ''}|{patient_id}".encode("utf-8", "surrogatepass")
    return hmac.new(site_key, identity, hashlib.sha256).hexdigest()


def is_nobody(patient_id: str) -> bool:
    """Return whether an identifier is a placeholder, which does not identify a patient.

    >>> is_nobody(""), is_nobody("0000"), is_nobody("-"), is_nobody("Anonymous"), is_nobody("n/a")
    (True, True, True, True, True)
    >>> is_nobody("P0"), is_nobody("17")
    (False, False)
    """
    letters = "".join(filter(str.isalnum, patient_id)).upper()
    return not letters.strip("0") or letters in _NOBODY


def weakness(site_key: bytes) -> str | None:
    """Return why a site key is too weak, or None if it is strong enough.

    >>> weakness(b"0123"), weakness(b"k" * 32)
    ('holds fewer than 16 bytes', 'only repeats a few characters')
    """
    if len(site_key) < _MIN_KEY_BYTES:
        return f"holds fewer than {_MIN_KEY_BYTES} bytes"
    if len(set(site_key)) < _MIN_DIFFERENT_BYTES:
        return "only repeats a few characters"
    letters = re.sub(rb"[^a-z0-9]", b"", site_key.lower())
    if any(example in letters for example in _EXAMPLE_KEYS):
        return "is based on an example, so that anybody can guess it"
    return None


@dataclass(frozen=True, slots=True)
class Identifiers:
    """How a site stores patients: by identifier and key or, at a pseudonymous site, by key only."""

    site_key: bytes = b""
    are_clear: bool = True
    issuer: str = ""  # assumed where none is given: in paths, and in most DICOM files

    @property
    def key_id(self) -> str | None:
        """A digest that tells one site key from another without disclosing it; None without a key.

        >>> Identifiers(b"k" * 32).key_id == Identifiers(b"l" * 32).key_id
        False
        """
        if not self.site_key:
            return None
        return hmac.new(self.site_key, b"key id", hashlib.sha256).hexdigest()[:_PART]

    def key(self, issuer: str | None, patient_id: str | None) -> str | None:
        """Return the key of a patient, or None if the patient has no identifier."""
        return patient_key(self.site_key, issuer or self.issuer, patient_id)

    def kept(self, patient_id: str | None) -> str | None:
        """Return an identifier if it may be stored, otherwise None."""
        if not self.are_clear:
            return None
        return patient_id

    def uid(self, uid: str) -> str:
        """Return a DICOM UID in a form that may be sent.

        At a pseudonymous site, it is replaced by another UID (PS3.5 B.2), always by the same.

        >>> Identifiers().uid("1.2.3")
        '1.2.3'
        >>> Identifiers(b"k" * 32, are_clear=False).uid("1.2.3")[:5]
        '2.25.'
        """
        if self.are_clear:
            return uid
        digest = hmac.new(self.site_key, b"uid|" + uid.encode(), hashlib.sha256).digest()
        return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"

    def path(self, text: str) -> str:
        """Return a path in a form that may be shown to people.

        At a pseudonymous site, each part of the path is replaced by a digest. A folder always has
        the same digest, and the files of one shot differ only in the suffix.

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
