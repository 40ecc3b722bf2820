"""What the paths of captures tell, as each camera names them, and its own database; in the columns of a capture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.clinical import camera_database
from fundusd.clinical.path_rules import Naming
from fundusd.ledger.sightings import path_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Named
    from fundusd.clinical.pseudonyms import Identifiers

    Place = tuple[str, bytes]  # camera and path
    PathColumns = Mapping[Place, Mapping[str, Any]]

_GENERIC = Naming()


@dataclass(frozen=True, slots=True)
class Paths:
    """How each camera names its captures, where it keeps what the names do not tell, and how patients are kept."""

    naming: Mapping[str, Naming]
    lookups: Mapping[str, Lookup]
    identifiers: Identifiers

    def told(self, places: Iterable[Place]) -> PathColumns:
        """Return what is told of captures; no transaction is to wait for a camera's database."""
        by_camera: dict[str, list[bytes]] = {}
        for camera_id, path in places:
            by_camera.setdefault(camera_id, []).append(path)
        return {
            (camera_id, path): {"path_text": self.shown(path)} | self._columns(named)
            for camera_id, paths in by_camera.items()
            for path, named in zip(paths, self._named(camera_id, paths), strict=True)
        }

    def told_again(self, places: Iterable[Place]) -> PathColumns:
        """Ask the databases of cameras once more: some write about a photograph after they have written it."""
        return self.told(dict.fromkeys(place for place in places if place[0] in self.lookups))

    def shown(self, path: bytes) -> str:
        """Return a path as people may see it."""
        return self.identifiers.path(path_text(path))

    def _named(self, camera_id: str, paths: list[bytes]) -> list[Named]:
        texts = [path_text(path) for path in paths]
        return camera_database.read(
            self.naming.get(camera_id, _GENERIC), self.lookups.get(camera_id), texts
        )

    def _columns(self, named: Named) -> dict[str, Any]:
        """Return the columns; times are by the clock of this machine."""
        at = named.acquired_at
        return {
            "eye": named.eye,
            "eye_source": named.eye_source,
            "field": named.field,
            "patient_id": self.identifiers.kept(named.patient),
            "patient_key": self.identifiers.key(None, named.patient),
            "acquired_at": at and at.astimezone(UTC),
            "warnings": orjson.dumps(named.warnings).decode(),
        }
