"""
Real AES of each placement beside its own bare loop: the units of its cipher one by one, and nothing else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.queue.limits import QueueLimits
from sim.crypto.dmcrypt import CBC_ESSIV, XTS_PLAIN64, DmCrypt
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile
from sim.crypto.streams import NamedStream
from sim.engine.costs import load_costs
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.ext4.store import MemoryStore
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.stack.dm_crypt import CryptTable
from sim.stack.ecryptfs import EcryptfsMount
from sim.units import KIB, MIB

KEY = bytes(range(64))
COSTS = load_costs("linux-6.1-epyc")
FIRST_BLOCK = 1024


def cases(size_bytes: int = 32 * MIB) -> dict[str, tuple[Callable[[], float], Callable[[], float]]]:
    """Return per placement what times a read through it, and what times its bare loop; both give seconds."""
    data = random.Random(3).randbytes(size_bytes + 2 * FIRST_BLOCK * 4096)
    store, part = MemoryStore(data), size_bytes // 4
    found: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {}
    for cipher, key in ((XTS_PLAIN64, KEY), (CBC_ESSIV, KEY[:32])):
        for unit, length in ((512, part), (4096, size_bytes)):
            found[f"dm-crypt {cipher}, sectors of {unit}"] = (
                partial(read_dm_crypt, cipher, key, unit, length, store),
                partial(bare, key, unit, data[:length]),
            )
    found["eCryptfs aes-128"] = (
        partial(read_ecryptfs, size_bytes, store),
        partial(bare, KEY[:16], 4096, data[:size_bytes]),
    )
    return found


def bare(key: bytes, unit_bytes: int, data: bytes) -> float:
    """Decrypt unit by unit with `cryptography`: XTS with a key of 64 bytes, else CBC; return seconds."""
    algorithm, view = algorithms.AES(key), memoryview(data)
    start = time.perf_counter()
    for at in range(0, len(data), unit_bytes):
        iv = at.to_bytes(16, "little")
        decryptor = Cipher(algorithm, modes.XTS(iv) if len(key) == len(KEY) else modes.CBC(iv)).decryptor()
        decryptor.update(view[at : at + unit_bytes])
        decryptor.finalize()
    return time.perf_counter() - start


def read_dm_crypt(cipher: str, key: bytes, sector_bytes: int, size_bytes: int, store: MemoryStore) -> float:
    """Return the seconds of reading a contiguous file through dm-crypt."""
    machine = _machine(
        store, dm_crypt=CryptTable(cipher, sector_bytes), sectors=DmCrypt(cipher, key, sector_bytes)
    )
    return _read(machine, _inode(size_bytes), size_bytes)


def read_ecryptfs(size_bytes: int, store: MemoryStore) -> float:
    """Return the seconds of reading a file through eCryptfs over a contiguous one."""
    machine = _machine(store, ecryptfs=EcryptfsMount())
    key = LowerFile.create(size_bytes, KEY, NamedStream(0, "bench"))
    return _read(
        machine, machine.ecryptfs_inode(size_bytes, _inode(size_bytes + HEADER_BYTES), key), size_bytes
    )


def _machine(store: MemoryStore, **spec: Any) -> Machine:
    profile = load_device_profile("sata-ssd")
    has = profile.limits
    limits = QueueLimits(has.max_sectors, has.max_segments, has.queue_depth, driver=has.driver)
    return Machine(
        MachineSpec("page_io", 4096, limits, COSTS, store=store, **spec),
        lambda clock: make_device(clock, profile),
    )


def _inode(size_bytes: int) -> FsInode:
    plan = plan_tree(normalise([Extent(0, FIRST_BLOCK, size_bytes // 4096, False)]), 4096)
    inode = FsInode(plan.tree(range(64, 64 + plan.blocks_needed)), size_bytes, 4096)
    inode.map.status.fill()
    return inode


def _read(machine: Machine, inode: Any, size_bytes: int) -> float:
    file = machine.open(machine.mapping(inode), inode)
    task = machine.cpu.task(0, "reader")

    def reader() -> Any:
        for offset in range(0, size_bytes, 128 * KIB):
            yield from machine.filemap.read(task, file, offset, 128 * KIB)
        yield from task.settle()

    machine.clock.process(reader())
    start = time.perf_counter()
    machine.clock.run()
    return time.perf_counter() - start
