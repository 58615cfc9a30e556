"""
Files under file-keys on an ext4 image: where sim.crypto's wrapped keys meet sim.ext4's xattrs and blocks.

    inode flag 0x800 (encrypted), feature encrypt     as fscrypt's files
    xattr 9 "c"                                       4 bytes: a version that is not fscrypt's, the mode
    xattr 9 "k", "k1", "k2" ...                       wrapped keys, in pieces of 64 KiB
    xattr 9 "t", "t1", "t2" ...                       tags of AES-256-GCM, where the file is in that mode
    xattr 9 "s"                                       the seal of size and tags, in that mode

Groups' keys are kept in the root directory (sim.volume.keyed_groups).

Values that do not fit in an xattr block go where ext4 puts them: each into an inode of its own (ea_inode).
Pieces of 64 KiB, for that is the VFS's limit, and what libext2fs reads. Whoever has no key can still list,
stat, check and delete such files, for nothing of that is encrypted; a kernel does not open them (the
version is unknown to it).

Wrapped keys say which file they belong to (bound_keys). What was bound to nothing, by an older version, is
read and not shared further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sim.crypto.keys.binding import Binding
from sim.crypto.keys.data_units import (
    RECORD_BYTES,
    SEAL_NAME,
    TAGS_NAME,
    Contents,
    GcmContents,
    contents_cipher,
)
from sim.crypto.keys.file_keys import (
    CONTEXT_VERSION,
    KEYS_NAME,
    MODE_AES_256_GCM,
    MODE_AES_256_XTS,
    FileKey,
    KeyRing,
    UserKey,
    add_user,
    clobbered,
    context,
    format_of,
    is_shredded,
    owners,
    parse_context,
    remove_user,
    secret_of,
    secret_parts,
)
from sim.crypto.keys.policies import Policy, wrap_by_policy
from sim.crypto.keys.user_keys import GROUP_MARK, PublicKey
from sim.crypto.streams import Random
from sim.errors import CryptoError, ImageError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.format.features import Incompat
from sim.ext4.format.inode import FLAG_ENCRYPTED
from sim.ext4.format.xattr import ENCRYPTION_NAME, INDEX_ENCRYPTION, XattrKey, Xattrs
from sim.ext4.read.reader import Image, Inode
from sim.volume.bound_keys import check_file, must_be_bound, new_binding

REKEY = "rekey, which binds them to it"
CONTEXT_KEY = (INDEX_ENCRYPTION, ENCRYPTION_NAME)
PIECE_BYTES = 65536
"""XATTR_SIZE_MAX of the VFS (include/uapi/linux/limits.h)."""
MODES = {"xts": MODE_AES_256_XTS, "gcm": MODE_AES_256_GCM}


def joined(xattrs: Mapping[XattrKey, bytes], name: bytes) -> bytes:
    """Return the value that lies in pieces under `name`; empty if there is none."""
    return b"".join(pieces(xattrs, name))


def pieces(xattrs: Mapping[XattrKey, bytes], name: bytes) -> list[bytes]:
    """Return the pieces of the value under `name`, in order."""
    found: list[bytes] = []
    while (piece := xattrs.get(_piece_key(name, len(found)))) is not None:
        found.append(piece)
    return found


def _piece_key(name: bytes, number: int) -> XattrKey:
    return INDEX_ENCRYPTION, name + str(number).encode() if number else name


def replaced(xattrs: Mapping[XattrKey, bytes], name: bytes, value: bytes) -> Xattrs:
    """Return xattrs with another value, in as many pieces as it takes, under `name`."""
    kept = {
        (index, key): held
        for (index, key), held in xattrs.items()
        if index != INDEX_ENCRYPTION
        or not (key == name or (key.startswith(name) and key[len(name) :].isdigit()))
    }
    for number, at in enumerate(range(0, len(value), PIECE_BYTES)):
        kept[_piece_key(name, number)] = value[at : at + PIECE_BYTES]
    return kept


def wrapped_keys(inode: Inode) -> bytes:
    """Return the wrapped keys of a file; CryptoError, naming it, if it has none of ours."""
    said = inode.encryption_context
    if not inode.is_encrypted or said is None:
        raise CryptoError(inode.place, "is not encrypted", "a file under file-keys")
    parse_context(said, inode.place)
    return joined(inode.xattrs, KEYS_NAME)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that was opened: its key, the set it came from, what that is bound to, and its contents."""

    key: FileKey
    raw: bytes
    binding: Binding | None
    contents: Contents


def open_file(
    image: Image,
    inode: Inode,
    ring: KeyRing,
    users: str | Sequence[str],
    path: str | None = None,
    *,
    moved: bool = False,
) -> OpenedFile:
    """
    Open a file for a user, or several with shares.

    path: where it was found, if its name is to be what its keys were made for. moved: the file may be of
    another name, inode or file system. Raises CryptoError, naming the inode: ENOKEY if none of them may read
    it, EIO if the wrapped keys, the size or the tags are not this file's.
    """
    raw = wrapped_keys(inode)
    binding = check_file(image, inode, raw, path, moved=moved)
    names = [users] if isinstance(users, str) else list(users)
    # A group's key stands in for its members': whoever opened it has it on the ring.
    names += [key.user for key in ring if key.user.startswith(GROUP_MARK)]
    key = ring.unwrap(raw, names, inode.place)
    said = parse_context(inode.encryption_context or b"", inode.place)
    if key.mode != said:
        raise CryptoError(
            inode.place, f"EIO: a key of mode {key.mode} for contents of mode {said}", "the same mode"
        )
    contents = contents_cipher(key, image.block_size, joined(inode.xattrs, TAGS_NAME))
    if isinstance(contents, GcmContents) and binding is not None:
        _check_seal(image, inode, contents, binding)
    return OpenedFile(key, raw, binding, contents)


def _check_seal(image: Image, inode: Inode, contents: GcmContents, binding: Binding) -> None:
    """Raise CryptoError, with the first block that is not what was written if there is one."""
    if contents.check_seal(joined(inode.xattrs, SEAL_NAME), inode.size_bytes, binding.id):
        return
    for _block in read_contents(image, inode, contents):
        pass
    raise CryptoError(
        inode.place,
        f"EIO: its {inode.size_bytes} bytes or its table of tags are not what was sealed",
        "the file as it was written",
    )


def read_contents(image: Image, inode: Inode, contents: Contents) -> Iterator[bytes]:
    """
    Yield the plaintext of a file block by block, the last one cut to the file's size.

    Raises CryptoError for a GCM block that is not what was written, or that is a hole and was written.
    """
    left, size = inode.size_bytes, image.block_size
    zeros = bytes(size)
    for logical, length, physical in image.runs(inode):
        for index in range(length):
            if physical is not None:
                stored = bytes(image.read_block(physical + index, inode.place))
                block = contents.decrypt_blocks(stored, logical + index)
            elif isinstance(contents, GcmContents) and contents.is_written(logical + index):
                raise CryptoError(inode.place, f"EIO: block {logical + index} was written and is a hole")
            else:
                block = zeros
            yield block[: min(left, size)]
            left -= size


def encrypt_file(
    editor: ImageEditor,
    path: str,
    policy: Policy,
    ring: KeyRing,
    random: Random,
    *,
    form: str = "aes-kw",
    mode: int = MODE_AES_256_XTS,
) -> None:
    """
    Encrypt a plain file where it lies, under a new key that is wrapped as a policy says.

    Raises CryptoError if it is encrypted already or someone's key is not on the ring, ImageError if it is
    no file or there is no room. The old contents are overwritten in the new image, not in copies elsewhere.
    """
    inode = editor.image.lookup(path)
    if not inode.is_regular or inode.is_encrypted:
        raise CryptoError(
            inode.place,
            f"is {'an encrypted' if inode.is_encrypted else 'a'} {inode.type_word}",
            "a plain file",
        )
    key = FileKey.generate(random, mode)
    binding = new_binding(editor.image, path, random)
    wrapped = wrap_by_policy(form, key, policy, ring, random, binding)
    put_contents(editor, path, key, wrapped, binding, lambda _block, plain: plain)
    editor.add_features(int(Incompat.ENCRYPT))
    editor.set_flags(inode.number, FLAG_ENCRYPTED)


def put_contents(
    editor: ImageEditor,
    path: str,
    key: FileKey,
    wrapped: bytes,
    binding: Binding,
    plaintext: Callable[[int, bytes], bytes],
) -> None:
    """
    Encrypt the blocks of a file anew under a key, and give it the wrapped key, tags and seal of that.

    plaintext: (logical block, what lies there) -> what it means.
    """
    inode = editor.image.lookup(path)
    size = editor.image.block_size
    records = inode.blocks if key.mode == MODE_AES_256_GCM else 0
    if records * RECORD_BYTES > editor.image.blocks_count * size:  # what is free is asked where they are put
        problem = f"{records * RECORD_BYTES} bytes of tags for its {records} blocks, holes included"
        raise CryptoError(inode.place, problem, "mode xts, or a file whose tags the image can hold")
    contents = contents_cipher(key, size, bytes(records * RECORD_BYTES))
    editor.rewrite_contents(
        inode.number, lambda block, stored: contents.encrypt_blocks(plaintext(block, stored), block)
    )
    xattrs = replaced(replaced(inode.xattrs, TAGS_NAME, b""), SEAL_NAME, b"")
    if isinstance(contents, GcmContents):
        xattrs = replaced(xattrs, TAGS_NAME, bytes(contents.table))
        xattrs = replaced(xattrs, SEAL_NAME, contents.seal(inode.size_bytes, binding.id))
    xattrs = replaced(xattrs, KEYS_NAME, wrapped)
    xattrs[CONTEXT_KEY] = context(key.mode)
    editor.set_xattrs(inode.number, xattrs)


def share(
    editor: ImageEditor, path: str, opener: Sequence[UserKey], new: UserKey | PublicKey, random: Random
) -> None:
    """
    Wrap a file's key for one user more; one of the keys of `opener` (a user's own, their groups') opens it.

    Raises CryptoError as file_keys.add_user does, and if the wrapped keys are not bound to this very file:
    whoever put them here would be handed another file's key.
    """
    inode = editor.image.lookup(path)
    raw = wrapped_keys(inode)
    must_be_bound(check_file(editor.image, inode, raw, path), inode.place, REKEY)
    mode = parse_context(inode.encryption_context or b"", inode.place)
    more = add_user(raw, opener, new, random, inode.place, mode=mode)
    editor.set_xattrs(inode.number, replaced(inode.xattrs, KEYS_NAME, more))


@dataclass(frozen=True, slots=True)
class SharedAll:
    """The paths that were shared, and those that were left alone, with the reason."""

    paths: list[str]
    left: dict[str, str]


def share_all(
    editor: ImageEditor, opener: Sequence[UserKey], new: UserKey | PublicKey, random: Random
) -> SharedAll:
    """
    Share every file that `opener` can read alone and that is not wrapped for `new`.

    Files whose wrapped keys are not bound to them are left alone.
    """
    done, seen, left = list[str](), set[int](), dict[str, str]()
    for path, inode in list(editor.image.walk()):
        if inode.number in seen or not inode.is_encrypted or not inode.is_regular:
            continue
        seen.add(inode.number)
        said = inode.encryption_context
        if said is None or said[:1] != bytes((CONTEXT_VERSION,)):  # fscrypt's
            continue
        raw = wrapped_keys(inode)
        if is_shredded(raw):
            continue
        present = owners(raw, inode.place)
        held = secret_of(raw, opener, inode.place)
        if isinstance(held, FileKey) and format_of(raw, inode.place).label(new) not in present:
            try:
                share(editor, path, opener, new, random)
            except CryptoError as error:
                left[path] = error.problem
            else:
                done.append(path)
    return SharedAll(done, left)


def unshare(editor: ImageEditor, path: str, label: str) -> int:
    """
    Take a user's wrapped key from a file, and what the journal holds of it; return how many bytes that were.

    label: an id (aes-kw) or the signature of a key (rfc2014). CryptoError as file_keys.remove_user.
    """
    inode = editor.image.lookup(path)
    old = wrapped_keys(inode)
    new = remove_user(old, label, inode.place)
    editor.exchange_xattrs(inode.number, replaced(inode.xattrs, KEYS_NAME, new))
    gone = set(secret_parts(old, inode.place)) - set(secret_parts(new, inode.place))
    return editor.wipe_copies(gone)


@dataclass(frozen=True, slots=True)
class Shredded:
    """
    What shredding a file did: bytes of wrapped keys clobbered, bytes of copies wiped, and the file's own
    bytes.

    contents_bytes is what overwriting the file would have had to write.
    """

    keys_bytes: int
    copies_bytes: int
    contents_bytes: int


def shred(editor: ImageEditor, path: str, free_space: bool = False) -> Shredded:
    """
    Clobber a file's wrapped keys, in its xattr and in the journal: its contents stay and are noise from now
    on.

    No key is needed. free_space: look for copies in free blocks too, which reads the image. To be committed
    in place. What this does not reach: copies of the image, and what a drive keeps of overwritten sectors.
    """
    inode = editor.image.lookup(path)
    raw = wrapped_keys(inode)
    secrets = secret_parts(raw, inode.place)
    editor.clobber_xattrs(inode.number, replaced(inode.xattrs, KEYS_NAME, clobbered(raw)))
    copies = editor.wipe_copies(secrets, free_space)
    stored = sum(e.length for e in inode.tree.extents if not e.unwritten) * editor.image.block_size
    return Shredded(len(raw), copies, stored)


def require_file(image: Image, path: str) -> Inode:
    """Return the inode of a regular file; ImageError if the path leads to something else."""
    inode = image.lookup(path)
    if not inode.is_regular:
        raise ImageError(f"{image.name}: {path}", f"is a {inode.type_word}", "a file")
    return inode
