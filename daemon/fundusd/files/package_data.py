"""Find the folders that ship with the package, in a wheel or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def folder(name: str) -> Path:
    """Return the folder `name` of the wheel or of the checkout.

    The name is config, migrations or systemd.
    """
    inside = _PACKAGE / name
    if inside.is_dir():
        return inside
    return _PACKAGE.parents[1] / name
