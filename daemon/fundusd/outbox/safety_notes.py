"""What every document says about its results besides the safety words: an unsafe rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fundusd.clinical.grading import unsafe_rules
from fundusd.domain.clinical_terms import SAFETY_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fundusd.domain.inference import Release


def note(releases: Iterable[Release]) -> str:
    """Return the safety words, followed by a warning if a release has an unsafe rule."""
    warning = unsafe_rules(release.referable_rule for release in releases)
    if warning is None:
        return SAFETY_WORDS
    return f"{SAFETY_WORDS} {warning}"


def add_to_observations(
    observations: Iterable[dict[str, Any]], releases: Iterable[Release]
) -> None:
    """Add a note to FHIR Observations if a release has an unsafe rule."""
    warning = unsafe_rules(release.referable_rule for release in releases)
    if warning is None:
        return
    for observation in observations:
        observation["note"] = [*observation.get("note", []), {"text": warning}]
