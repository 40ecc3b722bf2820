"""The audit chain's bytes: no two rows share theirs, and the hash of a row is fixed for ever."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fundusd.ledger import hash_chain

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
    first: list[str | bytes | int | None], other: list[str | bytes | int | None]
) -> None:
    same_row = [(type(field), field) for field in first] == [
        (type(field), field) for field in other
    ]
    assert (hash_chain.canonical(first) == hash_chain.canonical(other)) is same_row


@given(ROWS)
def test_a_link_depends_on_the_row_before_it(fields: list[str | bytes | int | None]) -> None:
    after_genesis = hash_chain.link(hash_chain.GENESIS, fields)
    assert len(after_genesis) == 32
    assert hash_chain.link(after_genesis, fields) != after_genesis
    assert hash_chain.link(hash_chain.GENESIS, [*fields, None]) != after_genesis


def test_the_bytes_of_a_row_are_fixed_for_ever() -> None:
    """Chains already written would break: change the domain tag with the encoding."""
    encoded = b"t\x00\x00\x00\x02abn\x00\x00\x00\x00i\x00\x00\x00\x02-7b\x00\x00\x00\x01\xff"
    fields = ["ab", None, -7, b"\xff"]
    assert hash_chain.canonical(fields) == encoded
    assert hash_chain.digest(fields) == hashlib.sha256(encoded).hexdigest()
    assert (
        hash_chain.link(hash_chain.GENESIS, fields)
        == hashlib.sha256(b"fundusd-audit-v1" + bytes(32) + encoded).digest()
    )


@pytest.mark.parametrize("text", ["\udc80", "\0", "\U0001f440"])
def test_any_text_can_be_chained(text: str) -> None:
    assert hash_chain.canonical([text]).startswith(b"t")
