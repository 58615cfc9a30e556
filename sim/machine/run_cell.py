"""
From a cell's configuration to a machine, a run and its results.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from sim.block.device.make import make_device
from sim.block.device.profile import DeviceProfile, load_device_profile
from sim.block.media import NO_BAD_SECTORS
from sim.block.queue.limits import QueueLimits
from sim.config.cell import Cell, CellConfig
from sim.config.cell_result import CellResult
from sim.engine.costs import CostTable, load_costs
from sim.errors import ConfigError
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.features import Incompat
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.machine.callers import whole_stack_of
from sim.machine.checksums import rules_of, volume_tags
from sim.machine.faults.device import FaultyDevice
from sim.machine.integrity import table_of
from sim.machine.machine import Machine
from sim.machine.own_parts import device_of, kernel_version_of, mapping_of, own_files, path_of
from sim.machine.players import PLAYERS
from sim.machine.recorder import Recorder
from sim.machine.schemes import Scheme
from sim.machine.spec import MachineSpec
from sim.machine.stage import Stage
from sim.own_code import blamed
from sim.units import PAGE_BYTES, SECTOR_BYTES

SYSTEM_CALL = "entry_SYSCALL_64"
"""The symbol that machine.syscall adds to."""


def run_cell(cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """
    Run one cell on its image and return its metrics, calls and histograms.

    Raises ReadpathError for whatever in the configuration or the image cannot be used.
    """
    return played_cell(cell, image, trace)[0]


def played_cell(
    cell: Cell,
    image: Path | None,
    trace: bool = False,
    costs: CostTable | None = None,
    device: DeviceProfile | None = None,
) -> tuple[CellResult, Machine]:
    """
    Run one cell as `run_cell` does; return its result, and the machine as it stands at the end.

    costs, device: instead of those of the cell's profiles.
    """
    if image is None:
        raise ConfigError("volume", "there is no image to read", "files to make one of, or image")
    own = cell.config.own_code
    with blamed(", ".join(f"{key} {ref.word}" for key, ref in own.items()), own_files(cell)):
        return _played(cell, image, trace, costs, device)


def _played(
    cell: Cell, image: Path, trace: bool, costs: CostTable | None, device: DeviceProfile | None
) -> tuple[CellResult, Machine]:
    config = cell.config
    system = Scheme(config.encryption, config.volume.seed)
    volume = system.open_image(image)
    tags, faults = volume_tags(config, volume), None
    if config.faults is not None:
        faults = FaultyDevice(cell, config.faults, volume, system.store(volume), tags)
    machine = _machine(cell, volume, trace, system, costs, device, faults)
    if trace and config.workload.kind in ("secure_delete", "stream_write"):
        raise ConfigError(
            "--trace", f"with a workload {config.workload.kind}", "fio jobs, or a browser cache"
        )
    player = PLAYERS[config.workload.kind](Stage(cell, machine, volume, image, system, trace, faults, tags))
    player.start()
    machine.clock.run()
    machine.check_quiet(*player.mappings)
    if machine.spec.recorder is None:
        return player.result(), machine
    columns = machine.spec.recorder.columns(machine.clock.now, partial(whole_stack_of, machine))
    result = player.result()
    return replace(result, columns=columns | result.columns), machine


def _machine(
    cell: Cell,
    volume: Image,
    trace: bool,
    system: Scheme,
    costs: CostTable | None,
    given: DeviceProfile | None,
    faults: FaultyDevice | None,
) -> Machine:
    config = cell.config
    profile = given or load_device_profile(cell.profile(config.device.profile))
    device = config.device
    read_ahead = (
        profile.limits.read_ahead_bytes if device.read_ahead_kb is None else device.read_ahead_kb * 1024
    )
    ra_pages = read_ahead // PAGE_BYTES
    memory_pages = config.machine.memory_bytes // PAGE_BYTES
    least = max(4 * ra_pages, 64)
    if memory_pages < least:
        raise ConfigError(
            "machine.memory", f"{memory_pages} pages", f"at least {least}: four readahead windows, 64 pages"
        )
    spec = MachineSpec(
        path=path_of(cell),
        block_size=volume.block_size,
        limits=_limits(config, profile),
        costs=(costs or load_costs(cell.profile(config.machine.profile)))
        .scaled(config.machine.cost_scale)
        .dearer(SYSTEM_CALL, config.machine.syscall_ns),
        kernel=kernel_version_of(cell),
        large_folios=config.machine.large_folios,
        mapping=mapping_of(cell),
        cpus=config.machine.cpus,
        memory_pages=memory_pages,
        ra_pages=ra_pages,
        store=faults.store if faults else _store(config, system.store(volume)),
        record_io=trace,
        recorder=Recorder() if trace else None,
        wakeup_ns=config.machine.wakeup_ns,
        llc_cpus=config.machine.llc_cpus or 0,
        media=faults.media if faults else NO_BAD_SECTORS,
        noticed=faults.store if faults else None,
        validity=faults.validity if faults else None,
        encrypt_feature=volume.superblock.has(Incompat.ENCRYPT),
        checksums=rules_of(config.checksums),
        dm_integrity=table_of(config.integrity, volume.block_size),
        **system.machine_options(),
    )
    make = device_of(cell) or make_device
    return Machine(spec, lambda clock: make(clock, profile, cell.seed))


def _store(config: CellConfig, store: ByteStore) -> ByteStore | None:
    """Return the device's bytes, None with data off; what is written lies over the image's."""
    if config.data != "real":
        return None
    return OverlayStore(store) if config.workload.writes else store


def _limits(config: CellConfig, profile: DeviceProfile) -> QueueLimits:
    device, limits = config.device, profile.limits
    max_sectors = limits.max_sectors
    if device.max_sectors_kb is not None:
        max_sectors = device.max_sectors_kb * 1024 // SECTOR_BYTES
    asked = next((job.ioscheduler for job in config.workload.jobs if job.ioscheduler is not None), None)
    write = profile.write
    if config.workload.writes and not profile.can_write:
        raise ConfigError(f"device {profile.name}", "cannot be written to", "a profile with [write]")
    scheduler, tags = device.scheduler or asked or limits.scheduler, device.nr_requests or 0
    if scheduler == "none" and tags > limits.queue_depth:
        depth = f"1 to {limits.queue_depth}, the commands that {profile.name} takes, or a scheduler"
        raise ConfigError("device.nr_requests", f"{tags} without a scheduler", depth)
    return QueueLimits(
        max_sectors=max_sectors,
        max_segments=device.max_segments or limits.max_segments,
        queue_depth=limits.queue_depth,
        tags=tags,
        scheduler=scheduler,
        bio_based=limits.bio_based,
        driver=limits.driver,
        copies=profile.copies,
        write_cache=write is not None and write.volatile_cache,
        fua=write is not None and write.fua,
    )
