"""Rendered test fundus photographs of known ICDR grade, deterministic from a seed; not for patients."""

from fundusd.imaging.phantoms.files import as_dicom, as_jpeg
from fundusd.imaging.phantoms.lesions import Kind, Lesion, plan
from fundusd.imaging.phantoms.photograph import Scene, compose, not_a_retina, render

__all__ = [
    "Kind",
    "Lesion",
    "Scene",
    "as_dicom",
    "as_jpeg",
    "compose",
    "not_a_retina",
    "plan",
    "render",
]
