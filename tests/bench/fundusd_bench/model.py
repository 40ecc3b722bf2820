"""The model alone: JPEG to scores beside the reference, what narrower numbers move, operations of a forward."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fundusd.app import factory
from fundusd.app.settings import ModelSettings, Settings
from fundusd.clinical import grading
from fundusd.domain.errors import FundusdError
from fundusd.imaging.decode import decode
from fundusd_bench import captures, drift, places
from fundusd_bench.figures import Figure, Goal, interleave, of_rounds, ratios

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fundusd.domain.decoding import Pixels
    from fundusd.model.classifier import ZeroShotClassifier
    from fundusd_bench.drift import Embeddings
    from fundusd_bench.machine import Machine
    from fundusd_bench.reference import Reference
    from fundusd_bench.work import Work

_FULL_GFLOP = 979.2  # one forward of the vision tower at 448 pixels
_FULL_WIDTH = 1152
_FEW = 8  # captures, where each takes a minute


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the vision tower, and how much faster than the reference it must be."""

    backend: str
    dtype: str
    goal: Goal | None = None

    def __str__(self) -> str:
        """Name the variant in a table."""
        return f"{self.backend} {self.dtype}"


EXACT = Variant("torch", "float32")
VARIANTS = (
    EXACT,
    Variant("torch", "bfloat16", Goal(3.1, at_least=True)),
    Variant("openvino", "float32", Goal(2.8, at_least=True)),
    Variant("openvino", "bfloat16", Goal(5.1, at_least=True)),
)


def is_served(backend: str) -> bool:
    """Tell whether a backend is part of this program and installed."""
    return importlib.util.find_spec(backend) is not None


def variants(machine: Machine) -> list[Variant]:
    """Return what can be measured here."""
    narrow = machine.has_fast_bfloat16  # without, OpenVINO computes in float32
    here = [one for one in VARIANTS if is_served(one.backend)]
    return [one for one in here if narrow or (one.backend, one.dtype) != ("openvino", "bfloat16")]


def left_out(machine: Machine) -> list[str]:
    """Say which rows will be missing, and how to get them."""
    if not is_served("openvino"):
        return [
            "openvino is not installed: pip install 'fundusd[openvino]'; its rows are left out."
        ]
    if not machine.has_fast_bfloat16:
        return [
            "This CPU has no avx512_bf16 or AMX, so the daemon serves float32, and OpenVINO would in any case.",
            f"torch takes ten times as long in bfloat16: its speed is left out, its drift of {_FEW} captures at most.",
        ]
    return []


def settings_for(checkpoint: Path, variant: Variant) -> Settings:
    """Choose a variant as settings do."""
    chosen: dict[str, Any] = {"backend": variant.backend, "device": "cpu", "dtype": variant.dtype}
    return Settings(model=ModelSettings(source=str(checkpoint.absolute()), **chosen))


def measure(work: Work, on_step: Callable[[str], None]) -> list[Figure]:
    """Measure variant by variant, each in turns with the reference, so that two models are in memory at once."""
    on_step("model: loading the reference")
    from fundusd_bench.reference import Reference  # torch

    reference = Reference(work.checkpoint)
    photograph = captures.large(places.cache() / "captures", 1, on_step)[0].read_bytes()
    squares = drift.squares(work.options.captures, on_step)
    figures: list[Figure] = []
    embedded: dict[str, Embeddings] = {}
    for variant in variants(work.machine):
        on_step(f"model: loading {variant}")
        classifier = factory.load_classifier(settings_for(work.checkpoint, variant))
        slow = variant.dtype == "bfloat16" and not work.machine.has_fast_bfloat16
        if not slow:
            figures += _speed(work, variant, classifier, photograph, reference, on_step)
        if variant == EXACT:
            figures.append(_operations(work.checkpoint, classifier))
        if variant == EXACT or variant.dtype == "bfloat16":
            some = squares[:_FEW] if slow else squares
            embedded[str(variant)] = _embed(classifier, some, str(variant), on_step)
        del classifier  # before the next is loaded
    exact = embedded.pop(str(EXACT))
    kind = "captures" if work.options.captures else "phantoms"
    return figures + [
        figure
        for name, embeddings in embedded.items()
        for figure in drift.figures(
            reference, name, exact[: len(embeddings)], embeddings, f"{len(embeddings)} {kind}"
        )
    ]  # fmt: skip


def _speed(
    work: Work,
    variant: Variant,
    classifier: ZeroShotClassifier,
    photograph: bytes,
    reference: Reference,
    on_step: Callable[[str], None],
) -> list[Figure]:
    settings = settings_for(work.checkpoint, variant)
    limits, how = factory.limits(settings), settings.model.preprocessing

    def ours() -> None:
        on_step(f"model: JPEG to scores, {variant}")
        pixels = decode(photograph, how, classifier.side, limits).pixels
        assert pixels is not None
        grading.grade(classifier.logits(pixels[None])[0].tolist())

    def theirs() -> None:
        on_step(f"model: JPEG to scores, the reference beside {variant}")
        reference.classify(photograph)

    cases: dict[str, Callable[[], None]] = {"ours": ours} | (
        {"theirs": theirs} if work.options.reference else {}
    )
    for case in cases.values():
        case()
    seconds = interleave(cases, work.options.rounds)
    name = f"JPEG to scores, {variant}"
    figures = [of_rounds("model", name, "s", seconds["ours"])]
    if work.options.reference:
        times = ratios(seconds["theirs"], seconds["ours"])
        figures += [
            of_rounds("model", f"the reference, beside {variant}", "s", seconds["theirs"]),
            of_rounds("model", f"{name}: times the reference", "x", times, goal=variant.goal),
        ]
    return figures


def _operations(checkpoint: Path, classifier: ZeroShotClassifier) -> Figure:
    """Count a forward's operations: more than the vision tower's means that the text tower runs with it."""
    from fundusd_bench import flops

    square = np.zeros((1, classifier.side, classifier.side, 3), np.uint8)
    counted = flops.count(classifier, square) / 1e9
    width = (
        json.loads((checkpoint / "config.json").read_bytes())
        .get("vision_config", {})
        .get("hidden_size")
    )
    if width != _FULL_WIDTH:
        return of_rounds(
            "model", "operations of a forward", "GFLOP", [counted], note="not of MedSigLIP's size"
        )
    share = counted / _FULL_GFLOP
    name = f"operations of a forward over {_FULL_GFLOP:g} GFLOP"
    return of_rounds("model", name, "x", [share], goal=Goal(1.01, at_least=False))


def _embed(
    classifier: Any, squares: list[Pixels], name: str, on_step: Callable[[str], None]
) -> Embeddings:
    embeddings = []
    for number, pixels in enumerate(squares, 1):
        on_step(f"model: drift, {name}, capture {number} of {len(squares)}")
        embeddings.append(classifier.embed(pixels[None])[0])
    found: Embeddings = np.stack(embeddings)
    if not np.isfinite(found).all():
        raise FundusdError(
            f"{name} answers with numbers that are none.", hint="Run: fundusd model verify"
        )
    return found
