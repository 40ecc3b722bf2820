"""The files of an exam as they stood at an earlier moment, and where its photographs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.oracle.events import OF_ANOTHER_EXAM, Correction, Exam, File
from tests.oracle.eyes import ModelResult, eye_of, model_results

Moment = tuple[int, int]  # so many files and so many corrections


def corrected(file: File, correction: Correction) -> File:
    """Return a file after a correction of its photograph."""
    if correction.what == "eye":
        return replace(file, eye=correction.eye, eye_said=True)
    if correction.what == "belongs":
        return replace(file, belongs=True)
    return replace(file, excluded=correction.what == "exclude")


def as_it_stood(file: File, arrived: int) -> File:
    """Return a file whose path no later file has taken yet; others are of another exam."""
    if file.path_taken_by in (None, OF_ANOTHER_EXAM) or file.path_taken_by <= arrived:
        return file
    return replace(file, path_taken_by=None)


def files_at(exam: Exam, moment: Moment) -> tuple[File, ...]:
    """Return the files that had arrived, with the corrections that had been made."""
    arrived, made = moment
    files = [as_it_stood(file, arrived) for file in exam.files[:arrived]]
    for correction in exam.corrections[:made]:
        for place, file in enumerate(files[: correction.after]):
            if file.photograph == correction.photograph:
                files[place] = corrected(file, correction)
    return tuple(files)


def results_at(exam: Exam, moment: Moment) -> dict[str, ModelResult]:
    """Return the model's results when so many files and corrections were there."""
    files = files_at(exam, moment)
    return model_results(files, exam.expected_fields, one_field=exam.one_field)


def places_of(files: Sequence[File]) -> dict[int, str]:
    """Return the eye at which each file stands, excluded ones included.

    An excluded file stands where the rest of its photograph does, or where it would without the
    exclusion if there is no rest.
    """
    places = {}
    for file in files:
        together = [other for other in files if other.photograph == file.photograph]
        if all(other.excluded for other in together):
            together = [replace(other, excluded=False) for other in together]
        places[file.number] = eye_of(together)
    return places
