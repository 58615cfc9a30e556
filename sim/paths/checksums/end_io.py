"""
The end of a bio, behind the verification of its data.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.block.bio import Bio, EndIo
from sim.engine.ledger import Ledger
from sim.fs.file_tags import DECRYPTED, FileTags
from sim.paths.checksums.symbols import END_IO
from sim.paths.checksums.verification import Verification


class ChecksumEndIo(EndIo):
    """
    The end of a bio: of a file with checksums when it is verified, of another at once (EndIo). whole_bios:
    what is bad of a bio fails all of it.

    One that failed is not verified, but those that wait for it because of a run with blocks in both. What is
    verified once it is decrypted goes on to its path's end, which hands it over (Handover).
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
        if tags is None:
            return False
        return tags.by_run if bio.failed else tags.of != DECRYPTED


class Handover(EndIo):
    """
    What hands a bio that was decrypted to who verifies it, and the end behind that (EndIo). charge, done: of
    the path's end, which is not charged before.
    """

    def __init__(
        self,
        ledger: Ledger,
        context: str,
        stack: str,
        verification: Verification,
        charge: Callable[[Bio, str], int],
        done: Callable[[Bio], None],
        whole_bios: bool,
    ) -> None:
        """context, stack: of the work item that decrypts."""
        self._verification = verification
        self._charge = charge
        self._done = done
        self._whole_bios = whole_bios
        self.queues = ledger.site(context, stack, f"{END_IO} {END_IO};{verification.queues}")

    def hands(self, bio: Bio) -> bool:
        """Tell whether a bio is verified when it is decrypted."""
        tags: FileTags | None = bio.owner.inode.tags
        return tags is not None and tags.of == DECRYPTED and not bio.failed

    def hand(self, bio: Bio) -> None:
        """Have a bio verified, whose pages are decrypted."""
        self._verification.came(bio, self, self._whole_bios)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of the path's end (EndIo)."""
        return self._charge(bio, context)

    def done(self, bio: Bio) -> None:
        """Go on with the path's end (EndIo)."""
        self._done(bio)
