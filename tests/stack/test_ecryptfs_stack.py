"""eCryptfs over ext4: two caches, a lower read a page, decryption by the reader."""

from __future__ import annotations

import random

import pytest
from core_kit import FixedLatency, sequential

from sim.block.queue.limits import QueueLimits
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile
from sim.crypto.streams import NamedStream
from sim.engine.costs import load_costs
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.ext4.store import MemoryStore
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.stack.ecryptfs import EcryptfsMount

KIB = 1024
FILE = 256 * KIB
LOWER = FILE + HEADER_BYTES
EXTENTS = [(0, 16, 10), (10, 100, 24), (34, 48, 32)]
"""Of the lower file: 66 blocks."""


class Stack:
    """A machine with eCryptfs, one file, and readers that open it first."""

    def __init__(
        self,
        path: str = "page_io",
        plain: bytes | None = None,
        latency_ns: int = 50_000,
        kernel: str = "6.1",
    ) -> None:
        store = key = None
        if plain is not None:
            key = LowerFile.create(len(plain), bytes(range(64)), NamedStream(0, "file"))
            lower, device = key.lower_contents(plain), bytearray(200 * 4096)
            for logical, physical, length in EXTENTS:
                part = lower[logical * 4096 : (logical + length) * 4096]
                device[physical * 4096 : physical * 4096 + len(part)] = part
            store = MemoryStore(bytes(device))
        self.machine = Machine(
            MachineSpec(
                path,
                4096,
                QueueLimits(1280, 128, 64),
                load_costs("linux-6.1-epyc"),
                store=store,
                ecryptfs=EcryptfsMount(),
                kernel=kernel,
                large_folios=False,
            ),
            lambda clock: FixedLatency(clock, latency_ns),
        )
        plan = plan_tree(normalise([Extent(*extent, False) for extent in EXTENTS]), 4096)
        lower_inode = FsInode(plan.tree(range(plan.blocks_needed)), LOWER, 4096)
        lower_inode.map.status.fill()
        self.inode = self.machine.ecryptfs_inode(FILE, lower_inode, key)
        self.mapping = self.machine.mapping(self.inode)

    def read(self, reads: list[tuple[int, int]], readers: int = 1) -> dict[str, int]:
        """Let readers on cores of their own read; return the calls."""
        for core in range(readers):
            task = self.machine.cpu.task(core, f"reader {core}")

            def reader(task=task):  # type: ignore[no-untyped-def]
                yield from self.machine.read_header(task, self.inode)
                file = self.machine.open(self.mapping, self.inode)
                for offset, length in reads:
                    yield from self.machine.filemap.read(task, file, offset, length)
                yield from task.settle()

            self.machine.clock.process(reader())
        self.machine.clock.run()
        self.machine.check_quiet(self.mapping)
        return self.machine.ledger.calls()


def test_everything_is_cached_twice() -> None:
    """A file of 64 pages takes 64 upper pages and 66 lower ones, the header's two among them."""
    stack = Stack()
    calls = stack.read(sequential(FILE, 128 * KIB))
    assert 64 + 66 == stack.machine.cache.cached
    assert 64 + 66 == calls["__filemap_add_folio"]


def test_a_lower_read_and_a_cipher_call_for_each_page() -> None:
    """Each page is read and decrypted alone, by the reader: no work item, no context but the task's."""
    stack = Stack()
    calls = stack.read(sequential(FILE, 128 * KIB))
    assert (64, 64, 64) == (
        calls["ecryptfs_read_lower"],
        calls["crypt_scatterlist"],
        calls["cbc_decrypt_128"],
    )
    assert 1 + 2 + 64 == calls["filemap_read"]  # the header, the reads, a lower read a page
    contexts = {row.context for row in stack.machine.ledger.rows() if row.group == "decrypt"}
    assert {"task"} == contexts
    assert 0 == calls.get("queue_work_on", 0)


def test_the_upper_file_is_read_by_its_kernels_rules() -> None:
    """Linux 7.3 has no ondemand_readahead(), above eCryptfs as below."""
    above = "ondemand_readahead"
    assert above in Stack().read(sequential(FILE, 128 * KIB))
    assert above not in Stack(kernel="7.3").read(sequential(FILE, 128 * KIB))


def test_it_reads_128_kib_ahead() -> None:
    """VM_READAHEAD_PAGES: eCryptfs has no device of its own. The lower file has its device's window."""
    stack = Stack()
    assert 32 == stack.machine.open(stack.mapping, stack.inode).ra_pages


def test_a_second_read_touches_neither_lower_file_nor_cipher() -> None:
    """What is in the upper cache is plaintext."""
    once = Stack().read(sequential(FILE, 128 * KIB))
    twice = Stack().read(sequential(FILE, 128 * KIB) * 2)
    for symbol in ("ecryptfs_read_folio", "cbc_decrypt_128", "submit_bio"):
        assert once[symbol] == twice[symbol]


def test_a_dropped_upper_page_is_decrypted_again_without_the_device() -> None:
    """The lower page stays when the upper one goes: no I/O, but a decryption."""
    stack = Stack()
    first = stack.read(sequential(FILE, 128 * KIB))
    stack.machine.cache.drop(stack.mapping)
    second = stack.read(sequential(FILE, 128 * KIB))
    assert 2 * 64 == second["cbc_decrypt_128"]
    assert first["submit_bio"] == second["submit_bio"]


def test_stacks_tell_the_lower_file_system_apart() -> None:
    """Lower symbols lie below ecryptfs_read_lower, upper ones do not."""
    stack = Stack()
    stack.read(sequential(FILE, 128 * KIB))
    pages = {
        row.stack: row.calls for row in stack.machine.ledger.rows() if row.symbol == "__filemap_add_folio"
    }
    assert [64, 66] == sorted(pages.values())
    assert [66] == [calls for where, calls in pages.items() if "ecryptfs_read_lower" in where]


@pytest.mark.parametrize("path", ["buffer_head", "mpage", "page_io", "iomap"])
@pytest.mark.parametrize("readers", [1, 3])
def test_the_bytes_are_the_plaintext(path: str, readers: int) -> None:
    """What is read is what was encrypted, whatever the lower file system's path, also by several at once."""
    plain = random.Random(3).randbytes(FILE)
    stack = Stack(path, plain)
    stack.read(sequential(FILE, 128 * KIB), readers)
    assert stack.mapping.content is not None
    assert plain == bytes(stack.mapping.content[:FILE])
