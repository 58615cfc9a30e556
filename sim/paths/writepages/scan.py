"""Where a pass of ext4_writepages() has come to."""

from __future__ import annotations

from sim.fs.page_locks import LockedPages
from sim.paths.writepages.page_io import IoSubmit


class Scan(LockedPages):
    """
    Where a call has come to (struct mpage_da_data).

    first: the first page not yet written, next: behind the last one looked at; what is between is locked.
    lblk, length, flags: the extent that is being collected. over: the whole range was scanned. endless: the
    range has no end, and behind its last page is looked once more. io: the bio under construction, anew in
    each round. kept: blocks that were collected and are to be mapped in the next round, from lblk on. sync:
    pages on their way are waited for; else they are passed over.
    """

    __slots__ = ("endless", "flags", "io", "kept", "lblk", "length", "over", "sync")

    def __init__(self, io: IoSubmit, endless: bool, sync: bool) -> None:
        super().__init__(0, 0)
        self.endless = endless
        self.sync = sync
        self.lblk = self.length = self.flags = self.kept = 0
        self.over = False
        self.io = io
