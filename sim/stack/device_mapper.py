"""
What the targets of device mapper share (drivers/md/dm.c, Linux 6.1).
"""

from __future__ import annotations

from typing import Final

SUBMITS: Final = "submit_bio;submit_bio_noacct;submit_bio_noacct_nocheck;__submit_bio;dm_submit_bio"
"""What hands a target's clones down: the stack of the queue below, `BlockQueue(below=SUBMITS)`."""
