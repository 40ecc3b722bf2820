"""Read the metadata of captures from their paths and from the cameras' own databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fundusd.clinical import attribution
from fundusd.ledger.captures import attribution_columns
from fundusd.ledger.sightings import path_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fundusd.clinical.camera_database import Lookup
    from fundusd.clinical.path_rules import Naming
    from fundusd.clinical.pseudonyms import Identifiers

    Place = tuple[str, bytes]  # camera and path
    PathColumns = Mapping[Place, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class PathMetadata:
    """Reads the metadata of captures from their paths and from the cameras' databases.

    `naming` holds the rules of those cameras that have their own naming rules, and `lookups` holds
    the databases of those cameras that have one. `identifiers` converts patient identifiers to the
    form in which the ledger stores them.
    """

    naming: Mapping[str, Naming]
    lookups: Mapping[str, Lookup]
    identifiers: Identifiers

    def columns(self, places: Iterable[Place]) -> PathColumns:
        """Return, by place, the metadata columns of captures.

        This method is slow and is therefore called outside transactions.
        """
        by_camera: dict[str, list[bytes]] = {}
        for camera_id, path in places:
            by_camera.setdefault(camera_id, []).append(path)
        columns: dict[Place, Mapping[str, Any]] = {}
        for camera_id, paths in by_camera.items():
            for path, row in zip(paths, self._rows(camera_id, paths), strict=True):
                columns[camera_id, path] = row
        return columns

    def refreshed_columns(self, places: Iterable[Place]) -> PathColumns:
        """Return the current metadata columns of those captures whose camera has a database.

        Some databases are updated only after a capture has been admitted.
        """
        return self.columns(dict.fromkeys(place for place in places if place[0] in self.lookups))

    def shown(self, path: bytes) -> str:
        """Return a path as text, in the form in which people may see it."""
        return self.identifiers.path(path_text(path))

    def _rows(self, camera_id: str, paths: list[bytes]) -> Iterable[Mapping[str, Any]]:
        """Yield the metadata columns for each path of a camera, in the order of `paths`."""
        # imported here, because few commands read a path, and the words of all languages take long
        from fundusd.clinical import camera_database
        from fundusd.clinical.path_rules import Naming

        naming = self.naming.get(camera_id, Naming())
        texts = [path_text(path) for path in paths]
        described = camera_database.read(naming, self.lookups.get(camera_id), texts)
        for path, metadata in zip(paths, described, strict=True):
            attributed = attribution.of_metadata(metadata, self.identifiers)
            yield {"path_text": self.shown(path)} | attribution_columns(attributed)
