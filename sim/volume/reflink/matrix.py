"""
Each kind of encryption with each layout of tags: a file is cloned, the clone written, the source deleted.

A cell is what came of it: WORKS with nothing done but the clone's own metadata, COST with what it took, NO
where the clone cannot be read, or where a nonce would come twice under a key. What is read is compared with
the plaintext after every step, the data with its tags, the counts with the extents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sim.crypto.streams import NamedStream
from sim.errors import CryptoError
from sim.ext4.check.run import check_image
from sim.ext4.edit.files import FileEditor
from sim.ext4.edit.reflink import ReflinkEditor, space
from sim.ext4.format.inode import FLAG_VERITY
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.algorithms import KEY_BYTES
from sim.integrity.extents import TAGS_KEY, decode, encode_list, write_list
from sim.integrity.pieces import replaced
from sim.integrity.plan import Plan
from sim.integrity.protect import check_data, keyed_files, plan_under, protect
from sim.integrity.tagger import FileSecret, Secrets, Tagger
from sim.volume.reflink.subjects import (
    BLOCK_BYTES,
    BLOCKS,
    CLONE,
    PLAIN,
    SOURCE,
    SUBJECTS,
    Subject,
    edited,
)

WORKS, COST, NO = "works", "at a cost", "no"
WRITTEN_BLOCK = 3
LAYOUTS: dict[str, tuple[str, str, str, int] | None] = {
    "no tags": None,
    "table_all": ("table_all", "checksum", "crc32c", 0),
    "table_data": ("table_data", "checksum", "crc32c", 0),
    "per_extent 1": ("per_extent", "checksum", "crc32c", 1),
    "per_extent any": ("per_extent", "checksum", "crc32c", 0),
    "per_extent_place any": ("per_extent_place", "checksum", "crc32c", 0),
    "merkle": ("merkle", "checksum", "sha256", 0),
    "table_data, MAC": ("table_data", "encrypt-then-mac", "aes-cmac", 0),
    "per_extent any, MAC": ("per_extent", "encrypt-then-mac", "aes-cmac", 0),
}
"""By column; MACs are under files' own keys where files have some."""


@dataclass
class Cell:
    """
    What came of one combination. costs: what it took, in words. hashed_bytes: of the clone's data, when it
    was made. saved_blocks: that the clone did not take.
    """

    encryption: str
    layout: str
    outcome: str = WORKS
    costs: list[str] = field(default_factory=list)
    hashed_bytes: int = 0
    saved_blocks: int = 0


class ImpossibleError(Exception):
    """A step that cannot be: why."""


def run_matrix() -> Iterator[Cell]:
    """Yield every cell, by encryption and layout."""
    for subject in SUBJECTS.values():
        for layout in LAYOUTS:
            yield run_cell(subject, layout)


def run_cell(subject: Subject, layout: str) -> Cell:
    """Clone, write the clone, delete the source; return what came of it."""
    cell = Cell(subject.name, layout)
    try:
        _Run(subject, layout, cell).run()
    except ImpossibleError as error:
        cell.outcome, cell.costs = NO, [str(error)]
        return cell
    if cell.costs:
        cell.outcome = COST
    return cell


class _Run:
    """One cell's run."""

    def __init__(self, subject: Subject, layout: str, cell: Cell) -> None:
        said = LAYOUTS[layout]
        self.subject, self.cell = subject, cell
        self.plan = None if said is None else Plan.of(*said)
        keyed = self.plan is not None and self.plan.scheme.volume_key
        self.volume_key = NamedStream(23, "volume")(KEY_BYTES) if keyed else b""

    def secrets(self, image: Image) -> Secrets:
        """Return the keys for an image."""
        files: dict[int, FileSecret] = {}
        if self.subject.key is not None and self.volume_key:
            for path, inode in image.walk():
                if path in (SOURCE, CLONE):
                    files[inode.number] = FileSecret(self.subject.key(image, path), lambda data, _block: data)
        return Secrets(self.volume_key, files)

    def tags(self, editor: FileEditor) -> None:
        """Bring all tags up to date."""
        if self.plan is not None:
            protect(editor, self.plan, self.secrets(editor.image))

    def run(self) -> None:
        """Do the steps."""
        raw = edited(self.subject.make(), self.tags, FileEditor)
        self.expect(raw, {SOURCE: PLAIN})
        before = space(Image(MemoryStore(raw))).used
        raw = edited(raw, self.clone, ReflinkEditor)
        self.expect(raw, {SOURCE: PLAIN, CLONE: PLAIN})
        image = Image(MemoryStore(raw))
        self.cell.saved_blocks = BLOCKS - (space(image).used - before)
        if self.subject.nonces(image, SOURCE) & self.subject.nonces(image, CLONE):
            raise ImpossibleError("a nonce twice under one key: the seals, and the next write of a block")
        raw = self.written(raw)
        raw = edited(raw, self.without_source, ReflinkEditor)
        self.expect(raw, {CLONE: self.last})

    def without_source(self, editor: ReflinkEditor) -> None:
        """Delete the source."""
        editor.remove(SOURCE)
        self.tags(editor)

    def expect(self, raw: bytes, files: dict[str, bytes]) -> None:
        """Compare what is read, the tags and the counts; ImpossibleError if the clone is not readable."""
        image = Image(MemoryStore(raw))
        for path, wanted in files.items():
            try:
                found = self.subject.read(image, path)
            except CryptoError as error:
                raise ImpossibleError(f"{path} cannot be read: {error.problem}") from None
            if found != wanted:
                raise ImpossibleError(f"{path} reads as noise")
        assert not check_image(image)
        if self.plan is not None:
            checked = check_data(image, self.secrets(image))
            assert checked is not None
            assert not checked.bad, checked.bad
            assert not checked.unjudged

    # -- cloning ---------------------------------------------------------------------------------------

    def clone(self, editor: ReflinkEditor) -> None:
        """Clone the source, give the clone what its encryption needs, then its tags."""
        editor.clone(SOURCE, CLONE)
        adopted = self.subject.adopt(editor)
        if adopted:
            self.cell.costs.append(adopted)
        if self.plan is None:
            return
        if self.plan.is_list:
            self._clone_list(editor)
        elif self.plan.layout == "merkle":
            editor.set_flags(editor.image.lookup(CLONE).number, FLAG_VERITY)
        else:
            self._clone_in_table(editor)

    def _clone_list(self, editor: ReflinkEditor) -> None:
        """Try the source's tags in a list of the clone's; tags that name their file are made again."""
        secrets = self.secrets(editor.image)
        plan = plan_under(editor, secrets)
        tagger = Tagger(plan, editor.image.uuid, secrets, keyed_files(editor.image, secrets))
        source, clone = editor.image.lookup(SOURCE), editor.image.lookup(CLONE)
        copied = encode_list(plan, tagger, clone, decode(source, plan)[0], b"")
        editor.set_xattrs(clone.number, replaced(clone.xattrs, TAGS_KEY, copied))
        self.cell.costs.append("a list of the clone's own, with the source's tags")
        checked = check_data(editor.image, secrets)
        assert checked is not None
        if checked.bad:
            tagger.hashed_bytes = 0
            write_list(editor, plan, tagger, editor.image.lookup(CLONE), fresh=True)
            self.cell.hashed_bytes = tagger.hashed_bytes
            self.cell.costs[-1] = "all data of the clone is read and hashed, for a list of its own"

    def _clone_in_table(self, editor: ReflinkEditor) -> None:
        """Bring the table up to date for the metadata that changed; the shared blocks' tags stay."""
        secrets = self.secrets(editor.image)
        checked = check_data(editor.image, secrets)
        assert checked is not None
        data = [bad for bad in checked.bad if bad.path in (SOURCE, CLONE)]
        self.tags(editor)
        if data:
            self.cell.costs.append(f"{len(data)} tags of shared blocks made again")

    # -- writing ---------------------------------------------------------------------------------------

    def written(self, raw: bytes) -> bytes:
        """Write a block of the clone, and hold both files against what they should have."""
        self.last = PLAIN
        if self.plan is not None and self.plan.layout == "merkle":
            self.cell.costs.append("neither file can be written (verity)")
            return raw
        fresh = NamedStream(24, "fresh")(BLOCK_BYTES)
        image = Image(MemoryStore(raw))
        block = WRITTEN_BLOCK + self.subject.first_block
        stored = self.subject.encrypt(image, CLONE, WRITTEN_BLOCK, fresh)
        if (
            self.subject.name != "none"
            and stored == self.subject.encrypt(image, SOURCE, WRITTEN_BLOCK, fresh) != fresh
        ):
            self.cell.costs.append("equal blocks of both files are seen to be equal")

        def write(editor: ReflinkEditor) -> None:
            done = editor.write_shared(CLONE, {block: stored})
            assert done.copied_blocks == 1
            self.tags(editor)

        raw = edited(raw, write, ReflinkEditor)
        at = WRITTEN_BLOCK * BLOCK_BYTES
        self.last = PLAIN[:at] + fresh + PLAIN[at + BLOCK_BYTES :]
        self.expect(raw, {SOURCE: PLAIN, CLONE: self.last})
        return raw
