"""
What a check of the data finds, and what it did to find it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

DATA, TAGS, GONE, PLAN = "data", "tags", "missing", "plan"


class Bad(NamedTuple):
    """
    Something that is not what was written.

    what: DATA a unit does not have its tag; TAGS a piece of the tags themselves does not; GONE there is no
    tag, or no block, where there must be one; PLAN what the image says of its tags. path "-": of no file.
    logical, physical: None where there is none. expected: the tag that is kept, found: the one there is.
    """

    what: str
    path: str
    inode: int
    logical: int | None
    physical: int | None
    expected: bytes
    found: bytes
    blocks: int = 1


@dataclass
class Checked:
    """
    The result. units: tags that were judged. unjudged: those for which there was no key.

    hashed_bytes: of data and tags that went through an algorithm; tag_bytes: of tags that were read.
    """

    bad: list[Bad] = field(default_factory=list)
    units: int = 0
    unjudged: int = 0
    hashed_bytes: int = 0
    tag_bytes: int = 0
