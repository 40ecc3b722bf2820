"""Render fundus photographs of a given ICDR grade from a seed, for tests and never for patients."""

from fundusd.imaging.phantoms.files import as_dicom, as_jpeg
from fundusd.imaging.phantoms.lesions import Lesion, LesionKind, plan_lesions
from fundusd.imaging.phantoms.photograph import Scene, compose, not_a_retina, render

__all__ = [
    "Lesion",
    "LesionKind",
    "Scene",
    "as_dicom",
    "as_jpeg",
    "compose",
    "not_a_retina",
    "plan_lesions",
    "render",
]
