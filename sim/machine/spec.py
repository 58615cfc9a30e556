"""
What a machine is made of, as plain values.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.block.media import NO_BAD_SECTORS, BadSectors, Noticed
from sim.block.queue.limits import BlockTracer, QueueLimits
from sim.cache.ra_log import RaLog
from sim.crypto.dmcrypt import DmCrypt
from sim.engine.costs import CostTable
from sim.errors import ConfigError
from sim.ext4.check.node import BlockValidity
from sim.ext4.store import ByteStore
from sim.fs.fs_inode import FsInode
from sim.fs.mappers import MakeMapper
from sim.kernels import KERNELS, KernelVersion
from sim.machine.recorder import Recorder
from sim.paths.checksums.verification import SumRules
from sim.paths.design import PathDesign
from sim.stack.dm_crypt import CryptTable
from sim.stack.dm_integrity import IntegrityTable
from sim.stack.ecryptfs import EcryptfsMount
from sim.units import PAGE_BYTES, format_size

EXTENTS = "extents"
FSCRYPT_QUEUE = "unbound-highpri"
"""What fscrypt_init() of fs/crypto/crypto.c allocates in 6.1."""


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """
    What a machine is made of.

    path: by name, or a design. kernel, mapping: by name, or itself. memory_pages: the limit of the page
    cache, its buffer heads included. limits: of the queue, without the plug's, which are the kernel's.
    large_folios: None: as the kernel has them. store: the device's bytes, None when data is off. ra_pages:
    readahead of the device.
    tracer: sees every block event. record_io: keep an IoRecord per bio. recorder: keeps the rest of a trace,
    in the tracer's place.
    dm_crypt: the file system lies on a crypt target over the device. sectors: how that decrypts `store`.
    dm_integrity: the file system lies on a target over the device that keeps tags of it.
    ecryptfs: the file system is the lower one of eCryptfs. rfc2014: encrypted files are decrypted as in the
    patches of 2014. work_queue: the kind of queue whose workers decrypt for fscrypt; dm-crypt's is of its
    own. encrypt_feature: the file system has it, whether a file is encrypted or not. ra_log: sees what
    readahead does. wakeup_ns, llc_cpus: see Cpu. media: what of the device cannot be read. noticed: who is
    told of reads that fail. checksums: how data is verified, None where no file has checksums.
    validity: extent trees are taken from what the device returns, and these blocks they may name; None: they
    are as the image has them.
    """

    path: str | PathDesign
    block_size: int
    limits: QueueLimits
    costs: CostTable
    kernel: str | KernelVersion = "6.1"
    large_folios: bool | None = None
    mapping: str | MakeMapper = EXTENTS
    cpus: int = 4
    memory_pages: int = 1 << 40
    ra_pages: int = 32
    store: ByteStore | None = None
    tracer: BlockTracer | None = None
    record_io: bool = False
    recorder: Recorder | None = None
    dm_crypt: CryptTable | None = None
    sectors: DmCrypt | None = None
    dm_integrity: IntegrityTable | None = None
    ecryptfs: EcryptfsMount | None = None
    rfc2014: bool = False
    work_queue: str = FSCRYPT_QUEUE
    encrypt_feature: bool = False
    ra_log: RaLog | None = None
    wakeup_ns: int = 0
    llc_cpus: int = 0
    media: BadSectors = NO_BAD_SECTORS
    noticed: Noticed | None = None
    checksums: SumRules | None = None
    validity: BlockValidity | None = None


def kernel_of(kernel: str | KernelVersion) -> KernelVersion:
    """Return the version of a name; a version is its own. Raises ConfigError for an unknown name."""
    if isinstance(kernel, KernelVersion):
        return kernel
    if kernel not in KERNELS:
        raise ConfigError("machine.kernel", f"{kernel!r} is not modelled", ", ".join(KERNELS))
    return KERNELS[kernel]


def check_kernel(spec: MachineSpec, kernel: KernelVersion, design: PathDesign) -> None:
    """Raise ConfigError for a path that the kernel does not have, or for blocks larger than a page there."""
    if design.kernels and kernel.name not in design.kernels:
        told = f"{design.name} with kernel {kernel.name}"
        raise ConfigError("path", told, f"kernel {', '.join(design.kernels)}")
    if spec.block_size <= PAGE_BYTES:
        return
    said, place = format_size(spec.block_size), "volume.block_size"
    if not kernel.large_blocks:
        able = ", ".join(name for name, version in KERNELS.items() if version.large_blocks)
        raise ConfigError(place, f"{said} on kernel {kernel.name}", f"up to 4KiB, or kernel {able}")
    if spec.encrypt_feature or spec.ecryptfs is not None:
        what = "the feature encrypt" if spec.encrypt_feature else "eCryptfs"
        raise ConfigError(place, f"{said} with {what}", "up to 4KiB")


def has_large_folios(spec: MachineSpec, kernel: KernelVersion, design: PathDesign) -> bool:
    """Return whether a machine's files have large folios; ConfigError where they are asked for in vain."""
    can = kernel.folios is not None and kernel.name in design.large_folios
    if spec.large_folios and not can:
        has = ", ".join(name for name in KERNELS if name in design.large_folios)
        told = f"kernel {kernel.name} has none on {design.name}"
        raise ConfigError("machine.large_folios", told, f"false, or kernel {has}" if has else "false")
    large = can and kernel.folios_unasked if spec.large_folios is None else spec.large_folios
    if large and spec.ecryptfs is not None:
        raise ConfigError("machine.large_folios", "not modelled below eCryptfs", "false")
    return large


def check_file(design: PathDesign, inode: FsInode) -> None:
    """Raise ConfigError for a file that the design does not read; fs-verity is machine's enable_verity()."""
    if not design.plain_files:
        return
    if inode.encrypted or inode.inline:
        raise ConfigError("path", f"{design.name} with an encrypted file", "plain files")
    if inode.map.indirect is not None:
        raise ConfigError("path", f"{design.name} with a file without extents", "files with extents")


def check_verity(spec: MachineSpec, kernel: KernelVersion, design: PathDesign) -> None:
    """Raise ConfigError for a file with fs-verity where no read of one is modelled."""
    how = kernel.paths.verity
    paths = {"": (), "worker": ("page_io", "buffer_head"), "ahead": ("page_io",)}[how]
    if design.name not in paths:
        able = ", ".join(name for name, version in KERNELS.items() if version.paths.verity)
        told = f"not modelled on {design.name} of kernel {kernel.name}"
        raise ConfigError("fs-verity", told, f"page_io, kernel {able}; buffer_head, kernel 6.1")
    if how == "worker" and spec.block_size != PAGE_BYTES:
        told = f"blocks of {format_size(spec.block_size)} on kernel {kernel.name}"
        raise ConfigError("fs-verity", told, format_size(PAGE_BYTES))
