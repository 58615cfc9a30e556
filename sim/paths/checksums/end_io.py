"""
The end of a bio, behind the verification of its data.
"""

from __future__ import annotations

from sim.block.bio import Bio, EndIo
from sim.fs.file_tags import FileTags
from sim.paths.checksums.verification import Verification


class ChecksumEndIo(EndIo):
    """
    The end of a bio: of a file with checksums when it is verified, of another at once (EndIo). whole_bios:
    what is bad of a bio fails all of it.

    One that failed is not verified, but those that wait for it because of a run with blocks in both.
    """

    def __init__(self, end_io: EndIo, verification: Verification, whole_bios: bool = False) -> None:
        self._end_io = end_io
        self._verification = verification
        self._whole_bios = whole_bios

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether work items are queued (EndIo)."""
        if self._verifies(bio) and self._verification.rules.in_work:
            return True
        return self._end_io.queues_work(bio)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of what is done at once (EndIo)."""
        if self._verifies(bio):
            return self._verification.end(bio, context)
        return self._end_io.charge(bio, context)

    def done(self, bio: Bio) -> None:
        """Have it verified, or go on (EndIo)."""
        if self._verifies(bio):
            self._verification.came(bio, self._end_io, self._whole_bios)
        else:
            self._end_io.done(bio)

    def _verifies(self, bio: Bio) -> bool:
        """Tell whether a bio is of a file with checksums, and has come or is waited for."""
        tags: FileTags | None = bio.owner.inode.tags
        return tags is not None and (tags.by_run or not bio.failed)
