"""A handle that needs more than it has reserved: it gets it, or goes on in the next transaction."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from write_kit import WriteRig

from sim.fs.jbd2.handle import Handle


def test_a_handle_is_extended_or_started_anew() -> None:
    """
    What it has is enough: nothing. What is missing fits into its transaction: it is added there, too. It does
    not: the transaction is committed, and the handle goes on in the next, started as often as before.
    """
    rig = WriteRig(log=1024)
    journal, task = rig.writer.journal, rig.task
    seen: list[tuple[int, int, int, int]] = []
    assert journal is not None

    def note() -> None:
        handle: Handle | None = task.handle
        assert handle is not None
        transaction = handle.transaction
        seen.append((transaction.tid, handle.credits, handle.refs, transaction.credits - first))

    def doing() -> Generator[Any, Any, None]:
        nonlocal first
        yield from journal.start(task, 150)
        first = journal.running.credits - 150 if journal.running is not None else 0
        for block in range(2000, 2150):
            journal.get_write_access(task, block)
            journal.dirty_metadata(task, block)
        journal.stop(task)
        yield from journal.start(task, 10)
        journal.start_at_once(task, 10)
        for credits in (10, 30, 120):
            yield from journal.ensure_credits(task, credits)
            note()
        journal.stop(task)
        journal.stop(task)

    first = 0
    rig.run(doing())
    assert seen == [(1, 10, 2, 160), (1, 30, 2, 180), (2, 120, 2, 120)]
    assert journal.committed == 2
