"""
The volume of an experiment that names no files: what is to be read says which there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.errors import ConfigError
from sim.experiment.matrix import Raw


@dataclass(frozen=True, slots=True)
class EmptyVolume:
    """A volume that is made, and has no files yet. template: what each of them has besides, as a layout."""

    raw: dict[str, Any]
    template: dict[str, Any]

    def fill(self, files: list[dict[str, Any]]) -> None:
        """Put files into it; what the template says goes before what they say."""
        self.raw["files"] = [{**file, **self.template} for file in files]


def empty_volume(raw: Raw, place: str, who: str) -> EmptyVolume | None:
    """
    Return the volume of `raw` if it is to be filled; None for one that has files, objects or an image.

    A table in place of the list of files is the template; raises ConfigError at `place` if it has a name or a
    size, which `who` says.
    """
    volume = raw.setdefault("volume", {})
    if not isinstance(volume, dict):
        return None
    files = volume.get("files", [])
    if "image" in volume or "objects" in volume or (isinstance(files, list) and files):
        return None
    template = files if isinstance(files, dict) else {}
    for key in ("name", "size"):
        if key in template:
            raise ConfigError(f"{place}.files.{key}", f"is said by {who}", "files = [{ ... }] with both")
    return EmptyVolume(volume, template)
