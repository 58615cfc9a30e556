"""
What a read path is built from: the machine's parts that it may use, and the readers and bios made of them.

A path's factory gets `PathParts`, and nothing else, whether it is one of ours or a user's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.block.bio import EndIo
from sim.block.protocols import BioQueue
from sim.cache.page_cache import PageCache
from sim.cache.ra_log import RaLog
from sim.engine.cpu import Cpu
from sim.engine.ledger import Ledger
from sim.engine.workqueue import WorkQueue
from sim.fs.file_tags import DECRYPTED
from sim.fs.mapper import Mapper
from sim.paths.buffer_end_io import BufferEndIo
from sim.paths.buffer_head import BufferHeadReader
from sim.paths.checksums.end_io import ChecksumEndIo
from sim.paths.checksums.verification import Verification
from sim.paths.page_bio import PageBioFactory
from sim.paths.page_data import Contents
from sim.paths.post_read import PageEndIo, PostReadEndIo
from sim.paths.post_read_steps import FSCRYPT, CipherCalls, MakeStep
from sim.paths.rules import LINUX_6_1, PathRules
from sim.paths.symbols import EndIoSymbols
from sim.paths.verity import VerityReadahead


class PathParts:
    """
    The parts of one machine.

    ledger: where costs are charged (`ledger.site`). queue: where bios go. mapper: finds blocks. cache: told
    which pages get buffer heads. contents: fills pages with bytes, None when data is off. block_size: in
    bytes. ciphers: what decryption calls. work: the queue of what decrypts. steps: what a work item does
    beside that. rules: what the kernel version does otherwise than 6.1. ra_log: sees what readahead does.
    sums: verifies the data of files that have checksums, None where none has.
    """

    def __init__(
        self,
        ledger: Ledger,
        cpu: Cpu,
        queue: BioQueue,
        mapper: Mapper,
        cache: PageCache,
        work: WorkQueue,
        block_size: int,
        contents: Contents | None = None,
        ciphers: CipherCalls = FSCRYPT,
        steps: Sequence[MakeStep] = (),
        rules: PathRules = LINUX_6_1,
        ra_log: RaLog | None = None,
        sums: Verification | None = None,
    ) -> None:
        self.ledger = ledger
        self.cpu = cpu
        self.queue = queue
        self.mapper = mapper
        self.cache = cache
        self.work = work
        self.block_size = block_size
        self.contents = contents
        self.ciphers = ciphers
        self.steps = steps
        self.rules = rules
        self.ra_log = ra_log
        self.sums = sums

    def _verified(self, end_io: PostReadEndIo, whole_bios: bool) -> EndIo:
        """
        Return an end of bios that verifies their data, before it or in its midst; whole_bios: see there.
        """
        if self.sums is None:
            return end_io
        if self.sums.rules.of == DECRYPTED:
            end_io.verify_behind(self.ledger, self.sums)
        return ChecksumEndIo(end_io, self.sums, whole_bios)

    def buffer_reader(self, caller: str) -> BufferHeadReader:
        """Return a reader of pages through buffer heads, called by the folded stack `caller`."""
        parts = self.ledger, self.cpu, self.block_size, self.contents
        rules = self.rules
        ends = rules.decrypts_below, rules.unlocks_counted
        end_io = BufferEndIo(*parts, self.work, self.ciphers, self.steps, *ends, rules.verity)
        return BufferHeadReader(
            self.ledger,
            self.queue,
            self.mapper,
            self._verified(end_io, False),
            self.block_size,
            caller,
            self.cache.attach_buffers,
            self.rules,
        )

    def page_end_io(self, symbols: EndIoSymbols) -> EndIo:
        """Return the completion of bios of pages."""
        end_io = PageEndIo(
            self.ledger,
            self.cpu,
            self.block_size,
            self.contents,
            symbols.per_bio,
            symbols.per_page,
            symbols.before_post_read,
            symbols.after_post_read,
            self.work,
            self.ciphers,
            symbols.unlock,
            self.steps,
            self.rules.decrypts_below,
            self.rules.verity if symbols.verifies else "",
            self.rules.fails_whole_bios,
        )
        return self._verified(end_io, self.rules.fails_whole_bios)

    def verity_readahead(self, caller: str) -> VerityReadahead | None:
        """Return who reads Merkle trees below the folded stack `caller`, None on a kernel without a model."""
        if self.rules.verity != "ahead":
            return None
        return VerityReadahead(self.ledger, self.cache, caller, self.ra_log)

    def page_bios(
        self,
        end_io: EndIo,
        caller: str,
        add_symbol: str,
        knows_fscrypt: bool = False,
        per_piece: bool = False,
    ) -> PageBioFactory:
        """Return what makes the bios of pages of ->readahead: see PageBioFactory."""
        parts = self.ledger, self.queue, end_io, self.block_size, caller, add_symbol
        return PageBioFactory(*parts, self.rules, knows_fscrypt, per_piece)
