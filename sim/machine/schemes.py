"""
A scheme of encryption in a machine: what it stacks where, how files are opened, and with which keys.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from sim.config.encryption import Encryption
from sim.crypto.ecryptfs import HEADER_BYTES
from sim.crypto.keys.data_units import XtsContents
from sim.engine.cpu import Task
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore, MmapStore
from sim.fs.buffer_cache import BufferCache
from sim.fs.fs_inode import FsInode
from sim.fs.open_file import OPEN_CALLS, XATTR_STACK, FileOpener
from sim.machine.machine import Machine
from sim.stack.dm_crypt import CryptTable
from sim.stack.ecryptfs import EcryptfsInode, EcryptfsMount
from sim.volume.keyed_image import wrapped_keys
from sim.volume.scheme_image import device_cipher, key_ring, lower_file, open_image, openers


class Scheme:
    """
    The scheme of one cell. seed: the volume's, from which the keys follow.

    inline: the device decrypts. wraps_keys: files have keys of their own, wrapped for users.
    """

    def __init__(self, said: Encryption, seed: int) -> None:
        self._said = said
        self._seed = seed
        self._sectors = device_cipher(said, seed)
        self._path: Path | None = None
        self.inline = said.scheme == "inline"
        self.wraps_keys = said.wraps_keys

    def open_image(self, path: Path) -> Image:
        """Return the file system in an image of this scheme."""
        self._path = path
        return open_image(path, self._sectors)

    def store(self, volume: Image) -> ByteStore:
        """Return the bytes of the device, as they lie on it."""
        return volume.store if self._sectors is None or self._path is None else MmapStore(self._path)

    def machine_options(self) -> dict[str, Any]:
        """Return what the scheme adds to a MachineSpec."""
        said = self._said
        queue = {"work_queue": said.work_queue} if said.work_queue is not None else {}
        match said.scheme:
            case "dm-crypt":
                table = CryptTable(said.cipher or "", said.sector_bytes, said.no_read_workqueue, **queue)
                return {"dm_crypt": table, "sectors": self._sectors}
            case "ecryptfs":
                return {"ecryptfs": EcryptfsMount(said.cipher or "")}
            case "rfc2014":
                return {"rfc2014": True, **queue}
        return dict(queue)

    def file_contents(self, on_disk: Inode, place: str, block_size: int) -> XtsContents:
        """Unwrap a file's key and return its cipher; CryptoError if no key at hand opens it."""
        wrapped = wrapped_keys(on_disk)
        key = key_ring(self._said, self._seed).unwrap(wrapped, openers(self._said), place)
        return XtsContents(key, block_size)

    def upper_inode(
        self, machine: Machine, volume: Image, on_disk: Inode, inode: FsInode, place: str
    ) -> FsInode | EcryptfsInode:
        """Return the file that readers see: on eCryptfs the one over `inode`, else `inode` itself."""
        if self._said.scheme != "ecryptfs":
            return inode
        key = lower_file(self._seed, volume.read_file(on_disk)[:HEADER_BYTES], place)
        return machine.ecryptfs_inode(
            key.header.size_bytes, inode, key if machine.spec.store is not None else None
        )

    def opener(self, machine: Machine, tag_key: bool = False) -> Opener | None:
        """
        Return how a file is opened before it is read; None if that costs nothing.

        tag_key: a key for its tags is derived then.
        """
        said = self._said
        if said.scheme == "ecryptfs" or (said.charge_open and said.scheme not in ("none", "dm-crypt")):
            return Opener(machine, said, tag_key)
        return None


def xattr_blocks(volume: Image, on_disk: Inode) -> list[list[int]]:
    """
    Return the blocks that reading a file's xattrs reads, those that are read at once together.

    First its xattr block, then values in inodes of their own. Left out: the blocks of the inode table in
    which those inodes lie.
    """
    batches = [[on_disk.raw.xattr_block]] if on_disk.raw.xattr_block else []
    for number, _size in on_disk.ea_values:
        extents = volume.inode(number).tree.extents
        batches.append([block for e in extents for block in range(e.physical, e.physical + e.length)])
    return batches


class Opener:
    """Opens files, once per file: a key once unwrapped stays with the inode."""

    def __init__(self, machine: Machine, said: Encryption, tag_key: bool = False) -> None:
        self._machine = machine
        self._header = said.scheme == "ecryptfs"
        xattrs = BufferCache(
            machine.clock, machine.ledger, machine.disk, machine.spec.block_size, None, XATTR_STACK
        )
        kind = said.format if said.wraps_keys else "ecryptfs" if self._header else "fscrypt-v2"
        self._group = said.policy == "group"
        self._keys = said.wraps_keys * (said.needed if said.policy == "k-of-n" else 1)
        # By bisection, or half of all on average, where one looks at each.
        self._looks = said.users.bit_length() if said.format == "aes-kw" else -(-said.users // 2)
        self._files = FileOpener(machine.ledger, xattrs, OPEN_CALLS[kind], tag_key)

    def open(
        self,
        task: Task,
        inode: FsInode | EcryptfsInode,
        xattr_blocks: list[list[int]],
        group_open: bool = False,
    ) -> Generator[Any, Any, None]:
        """Open a file for the first time; `group_open`: the group's key is on the user's ring already."""
        if isinstance(inode, EcryptfsInode):
            yield from self._machine.read_header(task, inode)
            xattr_blocks = []
        keys, looks = self._keys, self._keys * self._looks
        if self._group and self._keys:  # one packet on the file; the group's, for its members, elsewhere
            keys, looks = (1, 1) if group_open else (2, 1 + self._looks)
        yield from self._files.open(task, xattr_blocks, keys, looks)

    def wrap(self, task: Task, packets: int) -> None:
        """Wrap the key of a new file."""
        if self._keys:
            self._files.wrap(task, packets)

    def before(
        self,
        player: Generator[Any, Any, None],
        task: Task,
        inode: FsInode | EcryptfsInode,
        xattr_blocks: list[list[int]],
        first: bool,
        took_ns: list[int],
    ) -> Generator[Any, Any, None]:
        """Open the file before `player` runs, if this is the first to, and note how long it took."""
        if first:
            began = task.time_ns
            yield from self.open(task, inode, xattr_blocks)
            yield from task.settle()
            took_ns.append(task.time_ns - began)
        yield from player
