"""Warn about rows whose release is not MedSigLIP's or has an unsafe referral rule."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fundusd.cli.output import Row
    from fundusd.ledger import Ledger


def release_ids(rows: Iterable[Row]) -> set[int]:
    """Return the ids of the releases that the rows name."""
    return {row["release_id"] for row in rows if row.get("release_id") is not None}


def noting_releases(rows: Iterable[Row], ids: set[int]) -> Iterator[Row]:
    """Yield the rows, and add the ids of their releases to `ids`."""
    for row in rows:
        ids.add(row["release_id"])
        yield row


def release_warning(ledger: Ledger, ids: Iterable[int]) -> str | None:
    """Return a warning if a release has another model or an unsafe rule, otherwise None."""
    from fundusd.reports import wording

    return wording.warning(list(ledger.releases(sorted(ids)).values()))


def print_warning(warning: str | None, *, beside_data: bool) -> None:
    """Print a warning, to standard error if standard output carries JSON or CSV."""
    if warning is not None:
        print(warning, file=sys.stderr if beside_data else sys.stdout)
