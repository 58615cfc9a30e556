"""
What no single constant of a device profile can tell: which of them go together.
"""

from __future__ import annotations

from sim.block.device.constants import HddModel, Model, SsdModel, SsdWrite, WriteModel
from sim.errors import ConfigError
from sim.units import SECTOR_BYTES


def check_model(place: str, model: Model) -> None:
    """Check what no single constant can tell."""
    if isinstance(model, SsdModel):
        for name in ("page_bytes", "stripe_bytes"):
            if getattr(model, name) % SECTOR_BYTES:
                raise ConfigError(
                    f"{place}: model.{name}", f"{getattr(model, name)} B", "whole 512-byte sectors"
                )
        if model.stripe_bytes % model.page_bytes:
            raise ConfigError(f"{place}: model.stripe_bytes", f"{model.stripe_bytes} B", "whole pages")
    if isinstance(model, HddModel):
        if model.average_seek_ns <= model.cylinder_switch_ns:
            raise ConfigError(
                f"{place}: model.average_seek_ns",
                f"{model.average_seek_ns} ns",
                "more than the cylinder switch",
            )
        if model.least_read_ahead_bytes > model.drive_read_ahead_bytes:
            raise ConfigError(
                f"{place}: model.least_read_ahead_bytes",
                f"{model.least_read_ahead_bytes} B",
                f"at most drive_read_ahead_bytes, {model.drive_read_ahead_bytes} B",
            )
        if model.inner_track_sectors > model.outer_track_sectors:
            raise ConfigError(
                f"{place}: model.inner_track_sectors",
                f"{model.inner_track_sectors} sectors",
                f"at most the outer track's {model.outer_track_sectors}",
            )


def check_buffer(place: str, write: WriteModel) -> None:
    """Raise ConfigError for a buffer without the rate behind it, or one that is no slower than it."""
    if not isinstance(write, SsdWrite) or not (write.buffer_bytes or write.rate_behind_buffer):
        return
    if not 0 < write.rate_behind_buffer <= write.sustained_rate or not write.buffer_bytes:
        said = f"{write.buffer_bytes} B, {write.rate_behind_buffer} B/s behind them"
        allowed = f"both, and a rate of up to sustained_rate, {write.sustained_rate} B/s"
        raise ConfigError(f"{place}: write.buffer_bytes and rate_behind_buffer", said, allowed)
