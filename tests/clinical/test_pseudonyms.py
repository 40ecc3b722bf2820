"""The key that stands for a patient."""

from __future__ import annotations

import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundusd.clinical.pseudonyms import Identifiers, patient_key, weakness


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


@given(st.binary(max_size=80))
def test_any_key_is_weighed_without_showing_it(site_key: bytes) -> None:
    reason = weakness(site_key)
    assert reason is None or reason.startswith(("holds fewer", "repeats", "is that"))
    assert reason is not None or (len(site_key) >= 16 and len(set(site_key)) >= 5)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_path_is_shown_as_it_is_or_as_digests(text: str) -> None:
    assert Identifiers(b"site").path(text) == text
    shown = Identifiers(b"site", are_clear=False).path(text)
    assert shown.count("/") == text.count("/")
    assert re.fullmatch(r"(?:[0-9a-f]{16}/)*[0-9a-f]{16}(?:\.[A-Za-z]{3,5})?", shown)
    assert shown == Identifiers(b"site", are_clear=False).path(text)
    assert shown != Identifiers(b"other", are_clear=False).path(text)


@given(st.text(st.characters(codec=None), min_size=1))
def test_any_text_has_a_key_that_shows_nothing_of_it(patient_id: str) -> None:
    key = patient_key(b"site", None, patient_id)
    assert key is not None
    assert len(bytes.fromhex(key)) == 32


def test_a_number_without_an_issuer_is_the_sites_own() -> None:
    site = Identifiers(b"k" * 32, issuer="clinic")
    assert (
        site.key(None, "P1") == site.key("clinic", "P1") == patient_key(b"k" * 32, "clinic", "P1")
    )
    assert site.key("other", "P1") == patient_key(b"k" * 32, "other", "P1")
