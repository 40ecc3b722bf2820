"""The audit chain's bytes: no two rows share theirs, and the hash of a row is fixed for ever."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fundusd import chaining

FIELD = st.none() | st.text(st.characters()) | st.binary() | st.integers()
SURROGATES = st.text(st.characters(codec=None, categories=["Cs", "Ll"]))
ROWS = st.lists(FIELD | SURROGATES, max_size=4)


@given(ROWS, ROWS)
@example(["é"], ["\udcc3\udca9"])
@example(["ab", None], ["a", "b"])
@example(["1"], [1])
@example([b"1"], ["1"])
@example([None], [""])
@example(["a", "b"], ["ab"])
@example([], [None])
def test_no_two_rows_share_their_bytes(
    one: list[str | bytes | int | None], other: list[str | bytes | int | None]
) -> None:
    same_row = [(type(field), field) for field in one] == [(type(field), field) for field in other]
    assert (chaining.canonical(one) == chaining.canonical(other)) is same_row


@given(ROWS)
def test_a_link_depends_on_the_row_before_it(fields: list[str | bytes | int | None]) -> None:
    after_genesis = chaining.link(chaining.GENESIS, fields)
    assert len(after_genesis) == 32
    assert chaining.link(after_genesis, fields) != after_genesis
    assert chaining.link(chaining.GENESIS, [*fields, None]) != after_genesis


def test_the_bytes_of_a_row_are_fixed_for_ever() -> None:
    """Chains already written would break: change the domain tag with the encoding."""
    encoded = b"t\x00\x00\x00\x02ab" + b"n\x00\x00\x00\x00" + b"i\x00\x00\x00\x02-7" + b"b\x00\x00\x00\x01\xff"
    fields = ["ab", None, -7, b"\xff"]
    assert chaining.canonical(fields) == encoded
    assert chaining.digest(fields) == hashlib.sha256(encoded).hexdigest()
    assert chaining.link(chaining.GENESIS, fields) == hashlib.sha256(b"fundusd-audit-v1" + bytes(32) + encoded).digest()


@pytest.mark.parametrize("text", ["\udc80", "\0", "\U0001f440"])
def test_any_text_can_be_chained(text: str) -> None:
    assert chaining.canonical([text]).startswith(b"t")
