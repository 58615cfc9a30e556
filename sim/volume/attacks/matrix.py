"""
Every attack on every scheme and layout, run; who noticed, and what the tags cost.

Judges: "key" has all keys; "anyone" has none; "e2fsck" sees metadata alone (our `check`, which says what
`e2fsck -fn` says: tested); "anchor" has all keys and keeps one digest of all tags outside the image. An
attack is noticed if every try of it is. Who sees something bad in an untouched image is no judge: refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from sim.ext4.check.run import check_store
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.extents import TAGS_KEY, files_of
from sim.integrity.findings import Checked
from sim.integrity.merkle import area_of
from sim.integrity.pieces import joined
from sim.integrity.plan import PLAN_KEY
from sim.integrity.protect import check_data
from sim.integrity.tables import TABLE_PATH
from sim.integrity.tagger import Secrets
from sim.integrity.verity import SEAL_KEY
from sim.volume.attacks.attacks import ATTACKS, Attack
from sim.volume.attacks.lab import BLOCK_BYTES, FILE_BLOCKS, Lab, Said, image_of, make_lab

JUDGES = ("key", "anyone", "e2fsck", "anchor")
_ALL = (("table_all", 0), ("table_data", 0), ("per_extent", 1), ("per_extent", 0))
PLANS: tuple[Said, ...] = (
    *((layout, scheme, algorithm, blocks) for scheme, algorithm in (
        ("checksum", "crc32c"),
        ("checksum", "sha256"),
        ("mac", "hmac-sha256"),
        ("encrypt-then-mac", "aes-cmac"),
        ("checksum-then-encrypt", "crc32c"),
        ("aead", "aes-256-gcm"),
    ) for layout, blocks in _ALL),
    ("per_extent_place", "checksum", "crc32c", 1),
    ("per_extent_place", "mac", "hmac-sha256", 1),
    ("merkle", "checksum", "sha256", 0),
    ("merkle", "mac", "sha256", 0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One attack on one plan. tries: how many were made. noticed: by judge, if every try was.

    missed: the first try that the one with the keys missed, "" for none.
    """

    said: Said
    attack: Attack
    tries: int
    noticed: dict[str, bool]
    missed: str


@dataclass(frozen=True, slots=True)
class Cost:
    """
    What the tags of a plan cost on this image.

    stored_bytes: that the tags of the whole image take. check_bytes: hashed to check everything. read_bytes:
    of data and tags to be hashed when one block of /a is read alone. hashed_bytes, write_bytes: hashed and
    written when one block of /a is written.
    """

    said: Said
    stored_bytes: int
    check_bytes: int
    read_bytes: int
    hashed_bytes: int
    write_bytes: int


def anchor(image: Image) -> bytes:
    """Return a digest of all tags of an image; what keeps it outside notices whatever they do not fit."""
    digest = hashlib.sha256()
    digest.update(image.lookup("/").xattrs.get(PLAN_KEY, b""))
    tables = [inode for name, inode in image.children(image.lookup("/")) if name == TABLE_PATH[1:]]
    for inode in tables:
        digest.update(image.read_file(inode))
    for _path, inode in files_of(image):
        digest.update(inode.number.to_bytes(4, "little"))
        for key in (TAGS_KEY, SEAL_KEY):
            digest.update(joined(inode.xattrs, key))
        for logical, physical, length, _unwritten in inode.tree.extents:
            if logical >= inode.blocks:
                digest.update(image.store.read(physical * image.block_size, length * image.block_size))
    return digest.digest()


def _found(raw: bytes, secrets: Secrets) -> Checked | None:
    return check_data(image_of(raw), secrets)


def judged(lab: Lab, raw: bytes, kept: bytes) -> dict[str, bool]:
    """Return which judges notice something; kept: the anchor."""
    anyone = _found(raw, Secrets())
    bad = anyone is not None and bool(anyone.bad)
    with_keys = _found(raw, lab.secrets) if lab.secrets != Secrets() else anyone
    key = with_keys is not None and bool(with_keys.bad)
    return {
        "key": key,
        "anyone": bad,
        "e2fsck": bool(check_store(MemoryStore(raw), "image").problems),
        "anchor": key or anchor(image_of(raw)) != kept,
    }


def run_plan(said: Said, names: tuple[str, ...] = tuple(ATTACKS)) -> Iterator[Outcome]:
    """Yield the outcome of each attack on the images of a plan. AssertionError if one is not sound before."""
    lab = make_lab(said)
    for raw in (lab.old, lab.new, lab.alone):
        before = judged(lab, raw, anchor(image_of(raw)))
        assert not any(before.values()), f"{said}: {before} of an untouched image"
    kept = {name: anchor(image_of(raw)) for name, raw in (("new", lab.new), ("alone", lab.alone))}
    for name in names:
        attack, noticed, missed = ATTACKS[name], dict.fromkeys(JUDGES, True), ""
        base = "alone" if name in ("rollback_file", "lost_tag_write") else "new"
        made = list(attack.run(lab))
        for tried in made:
            seen = judged(lab, tried.raw, kept[base])
            noticed = {judge: noticed[judge] and seen[judge] for judge in JUDGES}
            if not seen["key"] and not missed:
                missed = tried.name
        yield Outcome(said, attack, len(made), noticed, missed)


def cost(said: Said) -> Cost:
    """Return what the tags of a plan cost."""
    lab = make_lab(said)
    image, plan = image_of(lab.new), lab.plan
    found = _found(lab.new, lab.secrets)
    assert found is not None
    inode = image.lookup("/a")
    if plan.is_table:
        stored, read = image.lookup(TABLE_PATH).size_bytes, 2 * BLOCK_BYTES
    elif plan.is_list:
        lists = [len(joined(one.xattrs, TAGS_KEY)) for _path, one in files_of(image)]
        stored = sum(lists)
        read = (plan.extent_blocks or FILE_BLOCKS) * BLOCK_BYTES + len(joined(inode.xattrs, TAGS_KEY))
    else:
        area = area_of(inode.size_bytes, BLOCK_BYTES)
        stored = 2 * (area.end - area.first) * BLOCK_BYTES
        read = (1 + area.tree_blocks) * BLOCK_BYTES
    written = lab.write_cost.written_bytes or BLOCK_BYTES + stored // 2
    return Cost(said, stored, found.hashed_bytes, read, lab.write_cost.hashed_bytes, written)
