"""What the pages say of the program as a whole; tests of a package compare its own page."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# what a reader of the repository cannot open
ELSEWHERE = ('issue "', "notes of ours", "the design says", "where the goal was set", "shared/")


def project() -> dict[str, dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def section(page: str, heading: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_packages_stand_in_the_rows_that_the_import_contract_has() -> None:
    rows: dict[int, set[str]] = {}
    for row, package in re.findall(
        r"^\| (\d) \| `(\w+)` \|", section("architecture.md", "Packages"), re.MULTILINE
    ):
        rows.setdefault(int(row), set()).add(package)

    contracts = project()["tool"]["importlinter"]["contracts"]  # type: ignore[index]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = [set(layer.split(" | ")) for layer in layers if layer != "__main__"]

    assert [rows[row] for row in sorted(rows)] == expected
    folders = {path.parent.name for path in (ROOT / "daemon" / "fundusd").glob("*/__init__.py")}
    assert folders == set.union(*expected)


def test_the_package_holds_packages_only() -> None:
    files = {path.name for path in (ROOT / "daemon" / "fundusd").glob("*.py")}
    assert files == {"__init__.py", "__main__.py"}


def test_what_is_not_built_yet_is_not_there() -> None:
    listed = section("architecture.md", "Not built yet")
    help_text = subprocess.run(
        [sys.executable, "-m", "fundusd", "--help"], check=True, capture_output=True, text=True
    ).stdout
    commands = re.findall(r"^  ([a-z]+)  ", help_text.split("Commands:")[1], re.MULTILINE)
    dependencies = str(project()["project"]["dependencies"])

    absent_commands = re.findall(r"the command `(\w+)`", listed)
    absent_libraries = re.findall(r"\(`(\w+)`\)", listed)
    assert absent_commands
    assert absent_libraries
    assert not set(absent_commands) & set(commands)
    assert not [name for name in absent_libraries if name in dependencies]


def test_no_page_points_to_a_paper_that_is_not_in_the_repository() -> None:
    pointers = [
        f"{page.name}: {words}"
        for page in PAGES
        for words in ELSEWHERE
        if words in page.read_text().lower()
    ]
    assert not pointers
