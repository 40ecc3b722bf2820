"""What the paths of captures tell, as each camera names them, in the columns of a capture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

import orjson

from fundusd.naming import Naming
from fundusd.pseudonym import patient_key

if TYPE_CHECKING:
    from collections.abc import Mapping

_GENERIC = Naming()


@dataclass(frozen=True, slots=True)
class Paths:
    """How each camera names its captures, and the key that its patients are known by."""

    naming: Mapping[str, Naming]
    site_key: bytes

    def told(self, camera_id: str, path_text: str) -> dict[str, Any]:
        """Return what a path tells of its capture; times are by the clock of this machine."""
        named = self.naming.get(camera_id, _GENERIC).read(path_text)
        at = named.acquired_at
        return {
            "eye": named.eye,
            "eye_source": named.eye_source,
            "field": named.field,
            "patient_id": named.patient,
            "patient_key": patient_key(self.site_key, None, named.patient),
            "acquired_at": at and at.astimezone(UTC),
            "warnings": orjson.dumps(named.warnings).decode(),
        }
