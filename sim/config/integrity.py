"""
The [integrity] table: dm-integrity below the file system, by the options of its table line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, model_validator

from sim.config.table import Model, custom
from sim.config.values import SizeBytes
from sim.integrity.interleaved import Interleaved
from sim.units import SECTOR_BYTES

if TYPE_CHECKING:
    from sim.config.cell import CellConfig

HASHES: Final = {"crc32c": 4, "sha256": 32, "hmac-sha256": 32}
"""internal_hash, by integritysetup's names -> bytes of a tag: the digest, whole."""
MODES: Final = {"direct": "D", "journal": "J", "bitmap": "B"}
"""Of the table line."""
_NOT_HERE: Final = {
    "commit_time": "a journal is committed at flushes and at its watermark",
    "bitmap_flush_interval": "bits are set, and not cleared",
    "sectors_per_bit": "a bit is of 32768 sectors",
    "meta_device": "tags lie beside the data",
    "recalculate": "tags are there",
    "journal_crypt": "journals are in the clear",
    "journal_mac": "journals have no MAC",
    "allow_discards": "there are no discards",
}


class Integrity(Model):
    """
    A target of dm-integrity over the device. Defaults are the kernel's, but for the journal's size.

    mode: "none": there is no target; "direct": data, and tags at the next flush (a power cut may leave them
    apart); "journal": both through a journal; "bitmap": as direct, with a bitmap of what may be apart.
    internal_hash: of a tag. block_size: what a tag is of, 512 to 4096. interleave_sectors: data between runs
    of tags. buffer_sectors: of tags that are read at once. journal_sectors: of the journal; those of a device
    of 8 GiB or more. journal_watermark: percent of it at which a commit is started.
    """

    mode: Literal["none", "direct", "journal", "bitmap"] = "none"
    internal_hash: Literal["crc32c", "sha256", "hmac-sha256"] = "crc32c"
    block_bytes: SizeBytes = Field(default=SECTOR_BYTES, alias="block_size")
    interleave_sectors: int = Field(default=32768, ge=8, le=1 << 31)
    buffer_sectors: int = Field(default=128, ge=8, le=256)
    journal_sectors: int = Field(default=131072, ge=1, le=1 << 31)
    journal_watermark: int = Field(default=50, ge=0, le=100)

    @model_validator(mode="before")
    @classmethod
    def _not_here(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            for key in raw:
                if key in _NOT_HERE:
                    raise custom(f"{key} is not modelled: {_NOT_HERE[key]}", ", ".join(_written(cls)))
        return raw

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.mode == "none":
            said = ", ".join(sorted(key for key in self.model_fields_set if key != "mode"))
            if said:
                raise custom(f'{said} with mode "none"', f"mode {', '.join(MODES)}")
        for key in ("interleave_sectors", "buffer_sectors"):
            value = getattr(self, key)
            if value & (value - 1):
                raise custom(f"{key} {value}", "a power of two")
        if self.block_bytes not in (512, 1024, 2048, 4096):
            raise custom(f"block_size {self.block_bytes}", "512, 1024, 2048, 4096")
        if self.mode != "none" and not self.layout.sections:
            least = self.layout.section_sectors
            raise custom(f"journal_sectors {self.journal_sectors}", f"a section or more: from {least}")
        return self

    @property
    def layout(self) -> Interleaved:
        """Where tags lie. There must be a target."""
        return Interleaved(
            self.block_bytes,
            HASHES[self.internal_hash],
            self.interleave_sectors,
            self.journal_sectors,
            MODES[self.mode],
            self.buffer_sectors,
        )


def _written(model: type[Model]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def check_integrity(config: CellConfig) -> None:
    """Raise for what a target of dm-integrity cannot be below, or what it is not modelled with."""
    said = config.integrity
    what = f"integrity.mode {said.mode!r}"
    if config.data == "real":
        raise custom(f'{what} with data "real": its tags have no bytes here', 'data = "off"')
    kernel = config.machine.kernel
    if kernel != "6.1":
        raise custom(f"{what} with kernel {kernel if isinstance(kernel, str) else kernel.word}", "kernel 6.1")
    if config.encryption.scheme == "inline":
        raise custom(f"{what} with encryption.scheme 'inline'", "none, or where the device does not decrypt")
    if config.encryption.no_read_workqueue:
        raise custom(f"{what} with no_read_workqueue: a read ends in a worker", "kcryptd: leave it out")
    if config.checksums.layout != "none":
        raise custom(f"{what} with checksums.layout {config.checksums.layout!r}", "one of them")
    if config.faults is not None:
        raise custom(f"{what} with faults", "one of them")
    if config.workload.secure_delete is not None:
        raise custom(f"{what} with workload.secure_delete", "another workload")
    block = config.volume.block_size_bytes
    if block is not None and said.block_bytes > block:
        raise custom(
            f"integrity.block_size {said.block_bytes} with blocks of {block} bytes", f"up to {block}"
        )
