"""
The files beside an experiment, which it names relative to its own folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from sim.block.device.profile import load_device_profile
from sim.config.values import FileRef
from sim.config.workload import Replay
from sim.documents import read_bytes, short, why
from sim.engine.costs import load_costs
from sim.errors import ConfigError
from sim.files import content_digest
from sim.volume.traces import read_traces
from sim.workload.traces.trace import Trace


class Beside:
    """The files beside an experiment; each is read once for all cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashes: dict[str, str] = {}
        self._usable: set[tuple[str, str]] = set()
        self._traces: dict[str, Trace] = {}

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

    def trace(self, said: Replay) -> Trace:
        """Return the trace of a replay table, whose files are resolved."""
        key = said.model_dump_json()
        if key not in self._traces:
            paths = [self.path.parent / ref.path for ref in said.files]
            self._traces[key] = read_traces(paths, said.format, said.table)
        return self._traces[key]

    def check_profile(self, kind: str, file: FileRef) -> None:
        """Raise ConfigError if a "machine" or "device" profile of one's own cannot be used."""
        if (kind, file.path) not in self._usable:
            path = str(self.path.parent / file.path)
            load_costs(path) if kind == "machine" else load_device_profile(path)
            self._usable.add((kind, file.path))

    def _missing(self, place: str, name: str, problem: str) -> ConfigError:
        lower = re.sub(r"\([A-Z]", lambda found: found[0].lower(), problem)
        return ConfigError(place, f"{short(name)} {lower}", f"a file in {self.path.parent}")
