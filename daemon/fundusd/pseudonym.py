"""The key that stands for a patient in logs and audit; pure."""

from __future__ import annotations

import hashlib
import hmac


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
