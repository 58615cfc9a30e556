"""
Drivers whose device is memory: null_blk, and brd, which takes bios.

Copying is charged apart (QueueLimits.copies).
"""

from __future__ import annotations

from typing import Final

from sim.block.drivers.calls import END, Calls, Driver, tree_words

NULL_BLK: Final = Driver(
    "null_queue_rq",
    issue=Calls(
        request=tree_words("""
null_queue_rq
    blk_mq_start_request
""")
    ),
    complete=Calls(
        request=" ".join(
            ("blk_mq_complete_request", "blk_mq_end_request", tree_words(END, "blk_mq_end_request"))
        ),
        bio="blk_mq_end_request;blk_update_request:bio",
    ),
    end="blk_mq_end_request",
)
BRD: Final = Driver("brd_submit_bio")
