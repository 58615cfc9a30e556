"""
The files beside an experiment, which it names relative to its own folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from sim.config.cell import FileRef
from sim.documents import read_bytes, short, why
from sim.errors import ConfigError
from sim.files import content_digest


class Beside:
    """The files beside an experiment; each is read once for all cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: dict[str, str] = {}

    def read(self, place: str, name: str) -> bytes:
        """Return a file's content; raise ConfigError at `place` if there is none."""
        try:
            return read_bytes(self.path.parent / name, place, "")
        except ConfigError as error:
            raise self._missing(place, name, error.problem) from None

    def reference(self, place: str, name: str) -> FileRef:
        """Return the reference to a file, hashed piecewise: an image may be large."""
        if name not in self._hashes:
            try:
                self._hashes[name] = content_digest(self.path.parent / name)
            except (OSError, ValueError) as error:
                raise self._missing(place, name, f"cannot be read ({why(error)})") from None
        return FileRef(path=name, sha256=self._hashes[name])

    def _missing(self, place: str, name: str, problem: str) -> ConfigError:
        lower = re.sub(r"\([A-Z]", lambda found: found[0].lower(), problem)
        return ConfigError(place, f"{short(name)} {lower}", f"a file in {self.path.parent}")
