"""
One transaction of a journal, and a handle on it (transaction_s, jbd2_journal_handle of Linux 6.1).
"""

from __future__ import annotations

from typing import Any, Final

RESERVED: Final = 1
METADATA: Final = 2
"""Which of a transaction's lists a block is on: BJ_Reserved, got but not changed; BJ_Metadata."""

WAITS: Final = 1
WRITES: Final = 2
"""What a commit does with an inode's data: wait for what is under way; or write it out itself."""


class Transaction:
    """
    Changes that become durable together.

    files: block -> RESERVED or METADATA, in the order in which they came. credits: reserved and used
    (t_outstanding_credits). updates: handles that are open. inodes: number -> WAITS or WRITES, ordered data.
    revoked: blocks that a replay must not bring back. forgotten: blocks that were freed while an older
    transaction has them, let go with the commit (BJ_Forget). flushing: its commit has asked the device to
    empty its cache (T_COMMIT_JFLUSH). done: an event of its commit, once somebody waits.
    """

    __slots__ = (
        "credits",
        "drained",
        "ended",
        "files",
        "flushing",
        "forgotten",
        "inodes",
        "left",
        "locked",
        "revoked",
        "tid",
        "updates",
    )

    def __init__(self, tid: int, credits: int) -> None:
        self.tid = tid
        self.credits = credits
        self.updates = 0
        self.files: dict[int, int] = {}
        self.forgotten: dict[int, bool] = {}
        self.left: dict[int, bool] = {}
        self.inodes: dict[int, int] = {}
        self.revoked: dict[int, bool] = {}
        self.locked = False
        self.flushing = False
        self.drained: Any = None
        self.ended: Any = None

    def metadata(self) -> list[int]:
        """Return the blocks that were changed, in the order in which they came."""
        return [block for block, which in self.files.items() if which == METADATA]


class Handle:
    """One atomic change. credits: left of what it reserved. refs: how often it was started."""

    __slots__ = ("credits", "refs", "transaction")

    def __init__(self, transaction: Transaction, credits: int) -> None:
        self.transaction = transaction
        self.credits = credits
        self.refs = 1
