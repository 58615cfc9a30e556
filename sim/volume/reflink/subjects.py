"""
A file under each kind of encryption: how its image is made, how it is read, what a clone of it must be given.

A subject's `adopt` gives a clone what it needs besides the blocks, and says what that was; `read` is what a
reader with the right keys gets. /a is the source, /c the clone, of 12 blocks each.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sim.crypto.dmcrypt import XTS_PLAIN64, DmCrypt, DmCryptStore
from sim.crypto.ecryptfs import EXTENT_BYTES, HEADER_BYTES, LowerFile, LowerHeader
from sim.crypto.fscrypt.contexts import (
    FLAG_IV_INO_LBLK_64,
    FLAG_PADDING_MASK,
    MODE_AES_256_CTS,
    MODE_AES_256_XTS,
    ContentsCipher,
    Context,
    MasterKey,
)
from sim.crypto.keys.data_units import RECORD_BYTES, SEAL_NAME, TAGS_NAME, GcmContents
from sim.crypto.keys.file_keys import KEYS_NAME, MODE_AES_256_GCM, KeyRing, wrap
from sim.crypto.keys.file_keys import MODE_AES_256_XTS as FILE_KEYS_XTS
from sim.crypto.keys.policies import OwnerOnly
from sim.crypto.keys.user_keys import USER_KEY_BYTES, UserKey
from sim.crypto.streams import NamedStream
from sim.ext4.edit.files import FileEditor
from sim.ext4.edit.reflink import ReflinkEditor
from sim.ext4.format.inode import FLAG_ENCRYPTED
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import MemoryStore
from sim.volume.bound_keys import new_binding
from sim.volume.keyed_image import CONTEXT_KEY, encrypt_file, joined, open_file, replaced

BLOCK_BYTES = 4096
BLOCKS = 12
SOURCE, CLONE = "/a", "/c"
PLAIN = NamedStream(21, "contents")(BLOCKS * BLOCK_BYTES)
_MASTER = MasterKey(NamedStream(21, "master")(64))
_DEVICE = DmCrypt(XTS_PLAIN64, NamedStream(21, "device")(64), 512)
_USER = UserKey("alice", NamedStream(21, "alice")(USER_KEY_BYTES))
_ECRYPTFS_KEY = NamedStream(21, "ecryptfs")(64)

Cipher = Callable[[bytes, int], bytes]
"""(bytes of a block, logical block) -> the other side of it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    One kind of encryption. make: the image's bytes, with /a in it. adopt: gives the clone what it needs, and
    says what. read: the plaintext of a file. encrypt: a block of a file as it is to be stored.

    first_block: of the plaintext in the file (a lower file has a header before it). nonces: what makes the
    cipher of a file's next write of a block, if that must never come twice under a key. key: the file's own,
    None if files have none.
    """

    name: str
    make: Callable[[], bytes]
    adopt: Callable[[ReflinkEditor], str]
    read: Callable[[Image, str], bytes]
    encrypt: Callable[[Image, str, int, bytes], bytes]
    first_block: int = 0
    nonces: Callable[[Image, str], set[bytes]] = lambda _image, _path: set()
    key: Callable[[Image, str], bytes] | None = None


def image_bytes(spec: FileSpec) -> bytes:
    """Return an image that holds a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.img"
        make_image(path, ImageSpec((spec,), BLOCK_BYTES, size_bytes=160 * BLOCK_BYTES, seed=21))
        return path.read_bytes()


def _nothing(_editor: ReflinkEditor) -> str:
    return ""


def _stored(image: Image, path: str) -> bytes:
    return image.read_file(image.lookup(path), whole_blocks=True)


def _same(_image: Image, _path: str, _block: int, data: bytes) -> bytes:
    return data


# -- dm-crypt: below the file system --------------------------------------------------------------------


def _through_the_device(image: Image, path: str) -> bytes:
    """Encrypt the device as it is, and read the file back through dm-crypt."""
    raw = bytes(image.store.read(0, image.store.size_bytes))
    cipher = _DEVICE.encrypt(raw, 0)
    assert cipher != raw
    return _stored(Image(DmCryptStore(MemoryStore(cipher), _DEVICE, "device")), path)


# -- fscrypt ---------------------------------------------------------------------------------------------


def _context(flags: int, nonce: str) -> Context:
    nonce_bytes = NamedStream(21, nonce)(16)
    said = FLAG_PADDING_MASK | flags
    return Context(2, MODE_AES_256_XTS, MODE_AES_256_CTS, said, _MASTER.identifier, nonce_bytes)


def _fscrypt_cipher(image: Image, inode: Inode) -> ContentsCipher:
    said = Context.parse(inode.encryption_context or b"", inode.place)
    return ContentsCipher(_MASTER, said, BLOCK_BYTES, inode_number=inode.number, filesystem_uuid=image.uuid)


def _fscrypt(name: str, flags: int, adopt: Callable[[ReflinkEditor], str]) -> Subject:
    def make() -> bytes:
        raw = image_bytes(FileSpec(SOURCE, data=PLAIN))

        def encrypt(editor: FileEditor) -> None:
            number = editor.image.lookup(SOURCE).number
            editor.set_xattrs(number, {CONTEXT_KEY: _context(flags, "source").to_bytes()})
            editor.set_flags(number, FLAG_ENCRYPTED)
            editor.add_features(0x10000)
            cipher = _fscrypt_cipher(editor.image, editor.image.inode(number))
            editor.rewrite_contents(number, lambda block, data: cipher.encrypt_blocks(data, block))

        return edited(raw, encrypt, FileEditor)

    def read(image: Image, path: str) -> bytes:
        return _fscrypt_cipher(image, image.lookup(path)).decrypt_blocks(_stored(image, path), 0)

    def encrypt(image: Image, path: str, block: int, data: bytes) -> bytes:
        return _fscrypt_cipher(image, image.lookup(path)).encrypt_blocks(data, block)

    def key(image: Image, path: str) -> bytes:
        said = Context.parse(image.lookup(path).encryption_context or b"")
        if flags & FLAG_IV_INO_LBLK_64:
            return _MASTER.iv_ino_lblk_64_key(image.uuid)
        return _MASTER.per_file_key(said.nonce)

    return Subject(name, make, adopt, read, encrypt, key=key)


def _copy_context(editor: ReflinkEditor) -> str:
    source, clone = editor.image.lookup(SOURCE), editor.image.lookup(CLONE)
    editor.set_xattrs(clone.number, {**clone.xattrs, CONTEXT_KEY: source.xattrs[CONTEXT_KEY]})
    editor.set_flags(clone.number, FLAG_ENCRYPTED)
    return "the source's nonce: one key for two files"


def _own_context(editor: ReflinkEditor) -> str:
    clone = editor.image.lookup(CLONE)
    editor.set_xattrs(clone.number, {**clone.xattrs, CONTEXT_KEY: _context(0, "clone").to_bytes()})
    editor.set_flags(clone.number, FLAG_ENCRYPTED)
    return "a nonce of its own"


# -- file-keys -------------------------------------------------------------------------------------------


def ring() -> KeyRing:
    """Return a ring with the user's key."""
    return KeyRing([_USER])


def gcm_nonces(image: Image, path: str) -> set[bytes]:
    """Return the key and nonce of a GCM file's seal, and of its next write of block 3."""
    inode = image.lookup(path)
    opened = open_file(image, inode, ring(), "alice", path)
    record = joined(inode.xattrs, TAGS_NAME)[3 * RECORD_BYTES :][:4]
    following = (int.from_bytes(record, "little") + 1).to_bytes(4, "little")
    seal = joined(inode.xattrs, SEAL_NAME)[:4]
    return {opened.key.raw + seal + b"seal", opened.key.raw + following + b"block 3"}


def _file_keys(name: str, mode: int, adopt: Callable[[ReflinkEditor], str]) -> Subject:
    def make() -> bytes:
        raw = image_bytes(FileSpec(SOURCE, data=PLAIN))

        def encrypt(editor: FileEditor) -> None:
            encrypt_file(editor, SOURCE, OwnerOnly("alice"), ring(), NamedStream(21, "file"), mode=mode)

        return edited(raw, encrypt, FileEditor)

    def read(image: Image, path: str) -> bytes:
        inode = image.lookup(path)
        return open_file(image, inode, ring(), "alice", path).contents.decrypt_blocks(_stored(image, path), 0)

    def encrypt(image: Image, path: str, block: int, data: bytes) -> bytes:
        contents = open_file(image, image.lookup(path), ring(), "alice", path).contents
        return contents.encrypt_blocks(data, block)

    def key(image: Image, path: str) -> bytes:
        return open_file(image, image.lookup(path), ring(), "alice", path).key.raw

    if mode == MODE_AES_256_GCM:
        return Subject(name, make, adopt, read, encrypt, nonces=gcm_nonces, key=key)
    return Subject(name, make, adopt, read, encrypt, key=key)


def _own_key(editor: ReflinkEditor) -> str:
    """Give the clone a key of its own, as a new file has one."""
    clone = editor.image.lookup(CLONE)
    source = editor.image.lookup(SOURCE)
    opened = open_file(editor.image, source, ring(), "alice", SOURCE)
    fresh = replace(opened.key, raw=NamedStream(22, "clone")(len(opened.key.raw)))
    wrapped = wrap(
        "aes-kw",
        fresh,
        [_USER],
        NamedStream(22, "wrap"),
        new_binding(editor.image, CLONE, NamedStream(22, "id")),
    )
    xattrs = replaced({**clone.xattrs, CONTEXT_KEY: source.xattrs[CONTEXT_KEY]}, KEYS_NAME, wrapped)
    editor.set_xattrs(clone.number, xattrs)
    editor.set_flags(clone.number, FLAG_ENCRYPTED)
    return "a key of its own"


def _same_key(editor: ReflinkEditor) -> str:
    """Wrap the source's key again, for the clone; in GCM with the source's table, and a new seal."""
    clone, source = editor.image.lookup(CLONE), editor.image.lookup(SOURCE)
    opened = open_file(editor.image, source, ring(), "alice", SOURCE)
    binding = new_binding(editor.image, CLONE, NamedStream(22, "id"))
    wrapped = wrap("aes-kw", opened.key, [_USER], NamedStream(22, "wrap"), binding)
    xattrs = replaced({**clone.xattrs, CONTEXT_KEY: source.xattrs[CONTEXT_KEY]}, KEYS_NAME, wrapped)
    said = "the source's key, wrapped again"
    if isinstance(opened.contents, GcmContents):
        xattrs = replaced(xattrs, TAGS_NAME, bytes(opened.contents.table))
        xattrs = replaced(xattrs, SEAL_NAME, opened.contents.seal(clone.size_bytes, binding.id))
        said += ", its table of tags, a seal under the nonce of the source's"
    editor.set_xattrs(clone.number, xattrs)
    editor.set_flags(clone.number, FLAG_ENCRYPTED)
    return said


# -- eCryptfs: a header in the file ----------------------------------------------------------------------


def _lower() -> LowerFile:
    return LowerFile.create(len(PLAIN), _ECRYPTFS_KEY, NamedStream(21, "lower"))


def _opened_lower(image: Image, path: str) -> LowerFile:
    head = _stored(image, path)[:HEADER_BYTES]
    return LowerFile(LowerHeader.parse(head, path), _ECRYPTFS_KEY)


def _read_lower(image: Image, path: str) -> bytes:
    return _opened_lower(image, path).decrypt_extents(_stored(image, path)[HEADER_BYTES:], 0)


def _encrypt_lower(image: Image, path: str, block: int, data: bytes) -> bytes:
    assert EXTENT_BYTES == BLOCK_BYTES
    return _opened_lower(image, path).encrypt_extents(data, block)


def edited(
    raw: bytes,
    change: Callable[[ReflinkEditor], object] | Callable[[FileEditor], object],
    kind: type[FileEditor],
) -> bytes:
    """Return an image's bytes after a change with an editor of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.img"
        path.write_bytes(raw)
        editor = kind(path)
        change(editor)  # type: ignore[arg-type]
        made = bytearray(raw)
        for at, data in editor.changes():
            made[at : at + len(data)] = data
        return bytes(made)


def _plain() -> bytes:
    return image_bytes(FileSpec(SOURCE, data=PLAIN))


SUBJECTS: Mapping[str, Subject] = {
    one.name: one
    for one in (
        Subject("none", _plain, _nothing, _stored, _same),
        Subject("dm-crypt", _plain, _nothing, _through_the_device, _same),
        Subject(
            "ecryptfs",
            lambda: image_bytes(FileSpec(SOURCE, data=_lower().lower_contents(PLAIN))),
            _nothing,
            _read_lower,
            _encrypt_lower,
            HEADER_BYTES // BLOCK_BYTES,
        ),
        _fscrypt("fscrypt, own nonce", 0, _own_context),
        _fscrypt("fscrypt, same nonce", 0, _copy_context),
        _fscrypt("fscrypt IV_INO_LBLK_64", FLAG_IV_INO_LBLK_64, _copy_context),
        _file_keys("file-keys XTS, own key", FILE_KEYS_XTS, _own_key),
        _file_keys("file-keys XTS, same key", FILE_KEYS_XTS, _same_key),
        _file_keys("file-keys GCM, same key", MODE_AES_256_GCM, _same_key),
    )
}
