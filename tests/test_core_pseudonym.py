"""The key that stands for a patient."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.pseudonym import patient_key


def test_the_key_is_the_hmac_that_the_documents_name() -> None:
    expected = hmac.new(b"site", b"clinic|P1", hashlib.sha256).hexdigest()
    assert patient_key(b"site", "clinic", "P1") == expected


def test_another_site_issuer_or_patient_has_another_key() -> None:
    keys = {
        patient_key(b"site", "clinic", "P1"),
        patient_key(b"other", "clinic", "P1"),
        patient_key(b"site", "ward", "P1"),
        patient_key(b"site", "clinic", "P2"),
        patient_key(b"site", None, "P1"),
    }
    assert len(keys) == 5


@pytest.mark.parametrize("patient_id", [None, ""])
def test_without_an_identifier_there_is_no_key(patient_id: str | None) -> None:
    assert patient_key(b"site", "clinic", patient_id) is None


@given(st.text(st.characters(codec=None), min_size=1))
def test_any_text_has_a_key_that_shows_nothing_of_it(patient_id: str) -> None:
    key = patient_key(b"site", None, patient_id)
    assert key is not None
    assert len(bytes.fromhex(key)) == 32
