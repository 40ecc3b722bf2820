"""Print cards and read photographs, for `fundusd show` and `fundusd report exam`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fundusd.app.settings import Settings
    from fundusd.domain.inference import Release
    from fundusd.ledger import Source
    from fundusd.reports.panel import Panel, Photograph

_UNWRAPPED = 2000  # characters


def print_panels(
    panels: Sequence[Panel],
    facts: Mapping[str, str],
    releases: Mapping[int, Release],
    sections: Sequence[tuple[str, Sequence[str]]] = (),
) -> None:
    """Print the safety words, the facts, a card for each panel, and titled sections of sentences.

    Any warning, a line about each release and the safety words follow.
    """
    from rich.console import Console

    from fundusd.reports import terminal_card, wording
    from fundusd.reports.terminal_table import printable

    # in a pipe, each fact is one line
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _UNWRAPPED)
    console.begin_capture()
    console.print(SAFETY_WORDS, markup=False, soft_wrap=True)
    console.print(terminal_card.facts(facts))
    console.print()
    for panel in panels:
        console.print(terminal_card.card(panel))
        console.print()
    for title, sentences in sections:
        if sentences:
            console.print(title, style="bold", markup=False)
            for sentence in sentences:
                console.print(f"  {printable(sentence)}", markup=False)
            console.print()
    lines = [wording.warning(list(releases.values()))]
    for release_id, release in sorted(releases.items()):
        lines.append(wording.provenance(release_id, release))
    lines.append(SAFETY_WORDS)
    for line in lines:
        if line:
            console.print(line, markup=False, soft_wrap=True)
    _print_stripped(console.end_capture())


def _print_stripped(text: str) -> None:
    """Print text without the spaces with which rich fills up the last column."""
    for line in text.splitlines():
        print(line.rstrip())


def photographs_of(settings: Settings, sources: Sequence[Source]) -> dict[int, Photograph]:
    """Return the photographs of captures, keyed by capture id.

    The photographs are read again from the inboxes.
    """
    from fundusd.app import factory
    from fundusd.reports.photographs import photographs

    inboxes = {camera.id: camera.inbox for camera in settings.camera}
    return photographs(sources, inboxes, factory.limits(settings))
