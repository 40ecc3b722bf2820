"""The ledger's calls: each is one transaction of a function that is documented once."""

from __future__ import annotations

import inspect

import pytest

from fundusd.ledger import Ledger, cameras, reviews
from fundusd.ledger.operator import Operator

CALLS = [name for name in dir(Ledger) if not name.startswith("_")]


@pytest.mark.parametrize("name", CALLS)
def test_every_call_of_the_ledger_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(Ledger, name))


def test_a_declared_call_has_the_docstring_and_the_arguments_of_its_function() -> None:
    assert Ledger.swept_before.__doc__ == cameras.swept_before.__doc__
    assert Operator.review.__doc__ == reviews.review.__doc__
    assert list(inspect.signature(Ledger.offline).parameters)[1:] == ["camera_id", "reason"]


def test_a_declared_call_takes_its_arguments_by_name(ledger: Ledger) -> None:
    assert not ledger.swept_before(camera_id="cam")
    assert ledger.remembered("cam", below=b"") == {}
