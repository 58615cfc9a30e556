"""
dm-integrity's layout: tags interleaved with the data, on the device itself. To compare: places and sizes.

    8 sectors superblock   journal sections   {metadata run   `interleave` sectors of data} again and again

A run holds the tags of the data behind it, in whole 128 KiB. Tags are read and written in buffers of 128
sectors. Modes: "D" data and tags directly (a crash may leave them apart), "J" both through the journal first,
"B" directly, with a bitmap of regions whose tags may be wrong. Source: Documentation/admin-guide/
device-mapper/dm-integrity.rst and the format's constants in drivers/md/dm-integrity.c, Linux 6.1; held
against recorded bios.

Left out: a device for the tags apart, journals that are encrypted or have a MAC, recalculation, discards.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import ConfigError
from sim.units import SECTOR_BYTES

SUPERBLOCK_SECTORS = 8
BUFFER_SECTORS = 128
SECTION_HEAD_SECTORS = 8
_RUN_STEP_BYTES = 256 * SECTOR_BYTES
_ENTRY_STEP_BYTES = 8
_SECTOR_ROOM_BYTES = SECTOR_BYTES - 8
"""Of a sector of a section's head: its last 8 bytes are the commit's id."""
MODES = ("D", "J", "B")


@dataclass(frozen=True, slots=True)
class Interleaved:
    """
    One device. block_bytes: 512 to 4096, what one tag is of. tag_bytes: of a tag. interleave: sectors of data
    in a row, a power of two. journal_sectors: asked for; whole sections of it are there, also in mode D.
    buffer_sectors: of tags that are read at once, a power of two.
    """

    block_bytes: int
    tag_bytes: int
    interleave: int = 32768
    journal_sectors: int = 2048
    mode: str = "J"
    buffer_sectors: int = BUFFER_SECTORS

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError("dm-integrity", f"mode {self.mode!r}", ", ".join(MODES))
        if self.block_bytes not in (512, 1024, 2048, 4096):
            raise ConfigError("dm-integrity", f"blocks of {self.block_bytes} bytes", "512, 1024, 2048, 4096")

    @property
    def block_sectors(self) -> int:
        """Sectors of a block."""
        return self.block_bytes // SECTOR_BYTES

    @property
    def entry_bytes(self) -> int:
        """Bytes of a journal entry: a sector number, the last 8 bytes of each sector of the block, a tag."""
        said = 8 + 8 * self.block_sectors + self.tag_bytes
        return -(-said // _ENTRY_STEP_BYTES) * _ENTRY_STEP_BYTES

    @property
    def section_entries(self) -> int:
        """Blocks that a section of the journal takes."""
        return _SECTOR_ROOM_BYTES // self.entry_bytes * SECTION_HEAD_SECTORS

    @property
    def section_sectors(self) -> int:
        """Sectors of a section: its head, and the data of its entries."""
        return SECTION_HEAD_SECTORS + self.section_entries * self.block_sectors

    @property
    def sections(self) -> int:
        """How many sections the journal has."""
        return self.journal_sectors // self.section_sectors

    @property
    def start(self) -> int:
        """The sector of the first metadata run."""
        return SUPERBLOCK_SECTORS + self.sections * self.section_sectors

    @property
    def run_sectors(self) -> int:
        """Sectors of a metadata run."""
        tags = self.interleave // self.block_sectors * self.tag_bytes
        return -(-tags // _RUN_STEP_BYTES) * _RUN_STEP_BYTES // SECTOR_BYTES

    def area_of(self, sector: int) -> int:
        """Return the area (a metadata run and its data) that a sector of the mapped device lies in."""
        return sector // self.interleave

    def data_sector(self, sector: int) -> int:
        """Return where a sector of the mapped device lies on the disk."""
        return self.start + (self.area_of(sector) + 1) * self.run_sectors + sector

    def mapped_sector(self, sector: int) -> int:
        """Return which sector of the mapped device lies at one of the disk that has data."""
        area = (sector - self.start) // (self.run_sectors + self.interleave)
        return sector - self.start - (area + 1) * self.run_sectors

    def tag_byte(self, sector: int) -> int:
        """Return the byte of the disk at which the tag of the block with a sector begins."""
        area, inside = divmod(sector, self.interleave)
        run = self.start + area * (self.run_sectors + self.interleave)
        return run * SECTOR_BYTES + inside // self.block_sectors * self.tag_bytes

    def buffer_of(self, sector: int) -> int:
        """Return the first sector on the disk of the buffer with the tag of a block (dm-bufio)."""
        area = self.area_of(sector)
        run = self.start + area * (self.run_sectors + self.interleave)
        inside = self.tag_byte(sector) // SECTOR_BYTES - run
        return run + inside // self.buffer_sectors * self.buffer_sectors
