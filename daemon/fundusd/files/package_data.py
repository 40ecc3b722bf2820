"""Find the folders that ship inside the wheel, in a wheel and in a checkout alike."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """Return the packaged folder `name` (config, migrations, systemd), else the checkout's."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parents[1] / name
