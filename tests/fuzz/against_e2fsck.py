"""
Hold what `check` says of damaged images against `e2fsck -fn`, by the thousand.

    python tests/fuzz/against_e2fsck.py [--inputs 2000] [--seed N] [--keep FOLDER]

Prints how often both agree, and of each image on which they do not what both say; it is kept. Exit code 1 if
check calls one damaged that e2fsck calls clean, or misses more than one in twenty of the damaged ones.
"""

from __future__ import annotations

import argparse
import gzip
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1])]

from e2fsck_verdicts import Verdict, judge  # noqa: E402 - its folder is not on the path before
from targets import TARGETS  # noqa: E402

ONLY_OURS = ("the extent depth is", "the value's hash is wrong")
"""What e2fsck 1.47.0 passes, and Linux 6.1 refuses: __ext4_ext_check, ext4_xattr_inode_get."""


def verdicts(inputs: int, seed: int, keep: Path | None) -> list[Verdict]:
    """Return what both say of damaged images; those on which they differ are kept."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "image"
        for number in range(inputs):
            packed = TARGETS["image"].once(random.Random(f"e2fsck {seed} {number}"))
            path.write_bytes(gzip.decompress(packed))
            verdict = judge(f"{seed}-{number}", path)
            found.append(verdict)
            if keep is not None and verdict.ours != verdict.damaged:
                (keep / f"{verdict.name}.img.gz").write_bytes(packed)
    return found


def false_alarms(found: list[Verdict]) -> list[Verdict]:
    """Return the verdicts on images that we alone call damaged, and a kernel too would take."""
    alone = [verdict for verdict in found if verdict.ours and not verdict.damaged]
    return [verdict for verdict in alone if not any(words in verdict.told for words in ONLY_OURS)]


def main() -> int:
    """Print the counts and the differences; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None)
    options = parser.parse_args()
    found = verdicts(options.inputs, options.seed, options.keep)
    words = {True: "told", False: "not told", None: "no file system"}
    for (theirs, ours), count in sorted(Counter((v.damaged, words[v.ours]) for v in found).items()):
        print(f"{'damaged' if theirs else 'clean':<8} {ours:<14} {count:>6}")
    for verdict in found:
        if bool(verdict.ours) != verdict.damaged:
            print(f"{verdict.name}: e2fsck {verdict.said}; ours: {verdict.told or 'nothing'}")
    false = false_alarms(found)
    damaged = [v for v in found if v.damaged]
    missed = [v for v in damaged if v.ours is False]
    print(f"{len(false)} false alarms, {len(missed)} of {len(damaged)} damaged ones missed")
    return int(bool(false) or len(missed) * 20 > len(damaged))


if __name__ == "__main__":
    sys.exit(main())
