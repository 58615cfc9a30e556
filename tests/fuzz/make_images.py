"""
Make tests/fuzz/corpus/image/*.img.gz, the images that are damaged: small ones of mke2fs, and one of ours.

    python tests/fuzz/make_images.py          # needs e2fsprogs; the kinds of file system are below
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "kit"), str(HERE.parents[1])]

from targets import verb  # noqa: E402 - its folder is not on the path before
from tools import debugfs, mke2fs, tool  # noqa: E402

TARGET = HERE / "corpus" / "image"
NO_SUMS = "^metadata_csum,^64bit,^resize_inode"
KINDS = {
    "ext2-1k": ("-t", "ext2", "-b", "1024", "-I", "128"),
    "ext3-2k": ("-t", "ext3", "-b", "2048", "-J", "size=1"),
    "ext4-1k": ("-b", "1024", "-O", f"{NO_SUMS},^has_journal"),
    "ext4-4k": ("-b", "4096", "-O", f"{NO_SUMS},^has_journal"),
    "values-1k": ("-b", "1024", "-O", f"{NO_SUMS},^has_journal,ea_inode,quota,project"),
    "inline-1k": ("-b", "1024", "-O", f"{NO_SUMS},^has_journal,inline_data"),
    "sums-1k": ("-b", "1024", "-O", "metadata_csum,64bit,^resize_inode,^has_journal"),
    "journal-1k": ("-b", "1024", "-O", "metadata_csum,orphan_file", "-J", "size=1"),
}
"""What mke2fs is given. Without checksums damage reaches the parsers; with them it is sealed anew."""
SAME = ("-U", "11111111-2222-3333-4444-555555555555", "-N", "96")
SAME_HASHES = "hash_seed=11111111-2222-3333-4444-555555555555,root_owner=0:0"
USERS = HERE / "corpus" / "keys" / "users.toml"


def fill(folder: Path) -> None:
    """Make a folder: a file in pieces, a directory of several blocks, links, a small tree."""
    folder.mkdir()
    (folder / "a").write_bytes(b"some text\n" * 600)
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "x").write_bytes(b"x" * 100)
    (folder / "fast").symlink_to("short")
    (folder / "slow").symlink_to("q" * 90)
    os.mkfifo(folder / "pipe")
    (folder / "many").mkdir()
    for number in range(40):
        (folder / "many" / f"a-name-that-takes-some-room-{number:04}{'y' * 40}").touch()
    with (folder / "frag").open("wb") as file:
        for number in range(120):
            file.seek(number * 8192)
            file.write(b"%04d" % number * 64)
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def made(folder: Path, options: tuple[str, ...]) -> bytes:
    """Return an image with these options of mke2fs; directories with hash trees, /a with xattrs."""
    path, source = folder / "image", folder / "source"
    mke2fs(path, source, *options, *SAME, "-E", SAME_HASHES, size="3M")
    (folder / "value").write_bytes(b"v" * 700)
    large = [f"ea_set -f {folder / 'large'} /a user.large"] if any("ea_inode" in o for o in options) else []
    (folder / "large").write_bytes(b"V" * 3000)
    debugfs(path, f"ea_set -f {folder / 'value'} /a user.block", *large, write=True)
    subprocess.run([tool("e2fsck"), "-fyD", str(path)], check=False, capture_output=True)
    return path.read_bytes()


def ours(folder: Path) -> bytes:
    """Return an image of ours, with a file of alice's."""
    path, users = folder / "ours", folder / "users.toml"
    users.write_bytes(USERS.read_bytes())
    users.chmod(0o600)
    kind = "fragmented:extent=1KiB"
    assert verb("image", "make", path, "--file", f"secret:12KiB:{kind}", "--block-size", "1KiB") == 0
    words = ("--keys", users, "--user", "alice", "--seed", 1)
    assert verb("image", "encrypt", path, "/secret", *words) == 0
    return path.read_bytes()


def main() -> None:
    """Write all of them."""
    os.environ.update(MKE2FS_SKIP_CHECK_MSG="1", E2FSPROGS_FAKE_TIME="1700000000")
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fill(folder / "source")
        images = {kind: made(folder, options) for kind, options in KINDS.items()}
        for kind, data in {**images, "ours-1k": ours(folder)}.items():
            packed = gzip.compress(data, 9, mtime=0)
            (TARGET / f"{kind}.img.gz").write_bytes(packed)
            print(f"{kind}: {len(data)} bytes, {len(packed)} packed")


if __name__ == "__main__":
    main()
