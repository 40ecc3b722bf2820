"""Compare the scores of a narrower number format with those of fp32, on the same captures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fundusd.domain.decoding import Preprocessing
from fundusd.domain.errors import RequestError
from fundusd.imaging.decode import decode
from fundusd.imaging.limits import Limits
from fundusd.model.prompts import load_prompt_set, shipped
from fundusd_bench import captures
from fundusd_bench.figures import Figure, Goal, of_rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy.typing as npt

    from fundusd.domain.decoding import Pixels
    from fundusd_bench.reference import Reference

    Embeddings = npt.NDArray[np.float32]  # [captures, d]
    Scores = npt.NDArray[np.float64]  # [captures, 5]

_COUNT = 40  # captures
_SIDE = 448
_CLEAR = 0.02  # between the two highest scores: a grade that must not flip
_PHOTOGRAPHS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dcm"}


def squares(folder: Path | None, on_step: Callable[[str], None]) -> list[Pixels]:
    """Return at most 40 decoded captures that can be graded: from a folder, or phantoms."""
    decoded_pixels: list[Pixels] = []
    photographs = captures.eyes(_COUNT) if folder is None else _photographs(folder)
    for data in photographs:
        on_step(f"model: drift, decoding capture {len(decoded_pixels) + 1}")
        decoded = decode(data, Preprocessing.PAD_SQUARE, _SIDE, Limits())
        if decoded.pixels is not None:
            decoded_pixels.append(decoded.pixels)
        if len(decoded_pixels) == _COUNT:
            break
    if not decoded_pixels:
        raise RequestError(
            f"No photograph in {folder} can be graded.",
            hint="Name a folder of fundus photographs with --captures DIR.",
        )
    return decoded_pixels


def _photographs(folder: Path) -> Iterable[bytes]:
    """Yield a folder's photographs: a sample spread over all of them, then the rest."""
    paths = []
    for path in folder.rglob("*"):
        if path.suffix.lower() in _PHOTOGRAPHS and path.is_file():
            paths.append(path)
    paths.sort()
    step = max(1, len(paths) // _COUNT)
    for path in paths[::step]:
        yield path.read_bytes()
    for index, path in enumerate(paths):
        if index % step:
            yield path.read_bytes()


def figures(
    reference: Reference, name: str, exact: Embeddings, narrow: Embeddings, source: str
) -> list[Figure]:
    """Compare scores under every shipped prompt set."""
    compared = []
    for prompts in shipped():
        texts = reference.embed_texts(load_prompt_set(prompts))
        expected, scores = texts.scores(exact), texts.scores(narrow)
        what = f"{name} against fp32, {prompts}"
        moved = np.abs(scores - expected).max(axis=1).tolist()
        compared += [
            _largest(f"score moved at most, {what}", moved, source),
            of_rounds(
                "model",
                f"grades flipped, {what}",
                "captures",
                [flips(expected, scores)],
                goal=Goal(0, at_least=False),
                note=f"{source}; where fp32's two highest scores differ by more than {_CLEAR}",
            ),
        ]
    return compared


def _largest(name: str, moved: list[float], source: str) -> Figure:
    goal = Goal(0.005, at_least=False)
    return Figure(
        "model", name, "score", max(moved), min(moved), max(moved), len(moved), goal, source
    )


def flips(expected: Scores, scores: Scores) -> int:
    """Count captures whose grade changes although the two highest scores were clearly apart.

    >>> flips(np.array([[0.6, 0.4], [0.505, 0.495]]), np.array([[0.4, 0.6], [0.495, 0.505]]))
    1
    """
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > _CLEAR
    return int((clear & (expected.argmax(axis=1) != scores.argmax(axis=1))).sum())
