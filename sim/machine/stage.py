"""
What a player plays on: a cell, its machine, and the volume with its files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from sim.cache.pages import Mapping
from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.config.layouts import GROWING
from sim.config.volume import VolumeFile as Said
from sim.ext4.read.reader import Image
from sim.machine.checksums import VolumeTags
from sim.machine.faults.device import FaultyDevice
from sim.machine.machine import Machine
from sim.machine.schemes import Opener, Scheme
from sim.machine.volume_files import VolumeFile, absent_file, open_volume_file
from sim.volume.images import plaintext_digests


@dataclass(frozen=True)
class Stage:
    """
    image: the file that `volume` lies in. system: how it is encrypted. trace: keep every read and bio.
    faults: of the device. tags: the checksums of the volume's data, None without.
    """

    cell: Cell
    machine: Machine
    volume: Image
    image: Path
    system: Scheme
    trace: bool
    faults: FaultyDevice | None = None
    tags: VolumeTags | None = None

    def open_file(self, path: str) -> VolumeFile:
        """Return a file of the volume, caches in the state that the experiment asks for."""
        said = self.growing.get(path)
        if said is not None and said.layout.kind == "absent":
            return absent_file(self.volume, self.machine, path, said.size_bytes)
        grows_to = 0 if said is None else said.size_bytes
        machine, sealed = self.machine, None if self.tags is None else self.tags.sealed
        where = self.cell, self.image, self.volume, machine, path, self.system
        file = open_volume_file(*where, grows_to, sealed)
        if self.tags is not None:
            self.tags.attach(machine, file, self.cell.config.cache.status)
        return file

    @cached_property
    def growing(self) -> dict[str, Said]:
        """What the experiment says of files that have no byte yet, by path."""
        files = self.cell.config.volume.files
        return {f"/{file.name}": file for file in files if file.layout.kind in GROWING}

    @cached_property
    def clone_sources(self) -> dict[str, str]:
        """The path of what a file is a clone of, for files that jobs make."""
        growing = self.growing.values()
        return {f"/{file.name}": f"/{file.clone_of}" for file in growing if file.clone_of is not None}

    def opener(self) -> Opener | None:
        """Return how a file is opened before it is read; None if that costs nothing."""
        return self.system.opener(self.machine, self.cell.config.checksums.derives_keys)

    def digests(self) -> dict[str, str]:
        """Return SHA-256 (hex) of each file's plaintext by path, where it is known; none with data off."""
        return plaintext_digests(self.cell, self.image) if self.cell.config.data == "real" else {}


class WorkloadPlayer(Protocol):
    """Plays one kind of workload on a stage: `start`, the clock runs to the end, then the others."""

    def start(self) -> None:
        """Start its tasks."""
        ...

    @property
    def mappings(self) -> Iterable[Mapping]:
        """The files that must be at rest at the end."""
        ...

    def result(self) -> CellResult:
        """Return what it came to; raise InvariantError if it did not come to an end."""
        ...
