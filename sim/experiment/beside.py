"""
The files beside an experiment, which it names relative to its own folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from sim.config.values import FileRef
from sim.errors import ConfigError


class Beside:
    """The files beside an experiment; each is read once for all cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: dict[str, str] = {}

    def read(self, place: str, name: str) -> bytes:
        """Return a file's content; raise ConfigError at `place` if there is none."""
        try:
            return (self.path.parent / name).read_bytes()
        except (OSError, ValueError) as error:
            raise self._missing(place, name, error) from None

    def reference(self, place: str, name: str) -> FileRef:
        """Return the reference to a file, hashed piecewise: an image may be large."""
        if name not in self._hashes:
            try:
                with (self.path.parent / name).open("rb") as stream:
                    self._hashes[name] = hashlib.file_digest(stream, "sha256").hexdigest()
            except (OSError, ValueError) as error:
                raise self._missing(place, name, error) from None
        return FileRef(path=name, sha256=self._hashes[name])

    def _missing(self, place: str, name: str, error: Exception) -> ConfigError:
        why = (getattr(error, "strerror", None) or "not a name").lower()
        return ConfigError(place, f"{name!r} cannot be read ({why})", f"a file in {self.path.parent}")
