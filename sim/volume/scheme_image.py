"""
Images of each scheme, and the keys to read them: all test keys follow from the volume's seed.

dm-crypt: the whole image is encrypted, superblock and all. eCryptfs: plain ext4 with a lower file. The
others: the blocks of each file, its context in the xattr that fscrypt has, wrapped keys beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sim.config.encryption import Encryption
from sim.crypto.dmcrypt import XTS_PLAIN64, DmCrypt, DmCryptStore
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile, LowerHeader
from sim.crypto.fscrypt.contexts import (
    FLAG_PADDING_MASK,
    MODE_AES_256_CTS,
    MODE_AES_256_XTS,
    NONCE_BYTES,
    ContentsCipher,
    Context,
    MasterKey,
)
from sim.crypto.keys.data_units import XtsContents
from sim.crypto.keys.file_keys import KEYS_NAME, KeyRing, context, wrap
from sim.crypto.keys.policies import AnyOf, GroupKey, KOfN, OwnerOnly, Policy, wrap_by_policy
from sim.crypto.keys.user_keys import UserKey
from sim.crypto.keys.wrapped import FileKey
from sim.crypto.streams import NamedStream
from sim.ext4.make.content import random_contents
from sim.ext4.make.spec import Encryption as FileEncryption
from sim.ext4.make.spec import FileSpec, Manifest
from sim.ext4.read.reader import Image
from sim.ext4.store import MmapStore, SparseWriter
from sim.units import MIB, SECTOR_BYTES
from sim.volume.keyed_image import replaced

GROUP = "@group"
_CHUNK_BYTES = 4 * MIB
_RANDOM_STEP_BYTES = 32


def secret(seed: int, name: str, length: int = 64) -> bytes:
    """Return at most 64 secret bytes that follow from a volume's seed: whoever knows that knows them."""
    return hashlib.sha512(f"readpath test key\0{seed}\0{name}".encode()).digest()[:length]


def master_key(seed: int) -> MasterKey:
    """Return the fscrypt master key of a volume."""
    return MasterKey(hashlib.sha512(f"readpath test key\0{seed}".encode()).digest())


def device_cipher(said: Encryption, seed: int) -> DmCrypt | None:
    """Return the cipher of the whole device, None if there is none."""
    if said.scheme != "dm-crypt" or said.cipher is None:
        return None
    length = 64 if said.cipher == XTS_PLAIN64 else 32
    return DmCrypt(said.cipher, secret(seed, "dm-crypt", length), said.sector_bytes)


def open_image(path: Path, sectors: DmCrypt | None) -> Image:
    """Return the file system in an image, through its device cipher if there is one."""
    if sectors is None:
        return Image.open(path)
    return Image(DmCryptStore(MmapStore(path), sectors, str(path)), str(path))


def user_names(said: Encryption) -> list[str]:
    """Return the ids of the users that a policy names."""
    return [f"user{number:05d}" for number in range(said.users)]


def key_ring(said: Encryption, seed: int) -> KeyRing:
    """Return the ring that holds the keys of all users, and the group's once it was opened."""
    ring = KeyRing(UserKey(user, secret(seed, f"user {user}")) for user in user_names(said))
    if said.policy == "group":
        group = FileKey(0x100, secret(seed, f"group {GROUP}"))
        members = [ring.key(user) for user in user_names(said)]
        ring.add_group(
            GROUP, wrap(said.format, group, members, NamedStream(seed, "group")), user_names(said)[-1]
        )
    return ring


def openers(said: Encryption) -> str | Sequence[str]:
    """Return who opens a file: the last user of all, so many as are needed, or the group."""
    users = user_names(said)
    if said.policy == "group":
        return GROUP
    return users[-said.needed :] if said.policy == "k-of-n" else users[-1]


def encrypted_file(
    said: Encryption, seed: int, block_size: int, plain: FileSpec, sealed: bool = False
) -> FileSpec:
    """
    Return the specification of a file of the volume as its scheme wants it.

    sealed: a file with a wrapped key stays plaintext until it gets its tags, by the cipher that makes them.
    """
    name = plain.path.lstrip("/")
    if said.scheme in ("fscrypt-v2", "inline"):
        return replace(plain, encryption=_fscrypt(seed, name, block_size))
    if said.wraps_keys:
        key, wrapped = _wrapped(said, seed, name)
        contents = XtsContents(key, block_size)
        return replace(
            plain,
            encryption=FileEncryption(
                context(key.mode),
                lambda block, data: bytes(data) if sealed else contents.encrypt_blocks(data, block),
            ),
            xattrs=replaced({}, KEYS_NAME, wrapped),
        )
    if said.scheme == "ecryptfs":
        data = _plaintext(seed, plain)
        key_bytes = 32 if said.cipher == "aes-256" else 16
        lower = LowerFile.create(
            len(data), secret(seed, "ecryptfs"), NamedStream(seed, f"file {name}"), key_bytes=key_bytes
        )
        return replace(plain, data=lower.lower_contents(data), size_bytes=lower.lower_bytes)
    return plain


def finished(said: Encryption, seed: int, path: Path, made: Manifest, plain: Sequence[FileSpec]) -> Manifest:
    """
    Finish an image that was made: encrypt the device if that is the scheme; return its manifest.

    The manifest's digests are those of the plaintext, so an eCryptfs file's is put in for its lower file's.
    """
    sectors = device_cipher(said, seed)
    if sectors is not None:
        _encrypt_device(path, sectors)
    if said.scheme != "ecryptfs":
        return made
    digests = {file.path: hashlib.sha256(_plaintext(seed, file)).hexdigest() for file in plain}
    files = (replace(record, sha256=digests.get(record.path, record.sha256)) for record in made.files)
    return replace(made, files=tuple(files))


def _wrapped(said: Encryption, seed: int, name: str) -> tuple[FileKey, bytes]:
    """Return a file's key, and that key wrapped for its users."""
    random = NamedStream(seed, f"file {name}")
    key = FileKey.generate(random)
    return key, wrap_by_policy(said.format, key, _policy(said), key_ring(said, seed), random)


def lower_file(seed: int, lower_contents: bytes | memoryview, place: str) -> LowerFile:
    """Return the opened lower file that starts with these bytes."""
    return LowerFile(LowerHeader.parse(lower_contents[:HEADER_BYTES], place), secret(seed, "ecryptfs"))


def _fscrypt(seed: int, name: str, block_size: int) -> FileEncryption:
    """fscrypt v2, AES-256-XTS, a key of the file's own."""
    key = master_key(seed)
    nonce = hashlib.sha256(f"readpath nonce\0{seed}\0{name}".encode()).digest()[:NONCE_BYTES]
    context = Context(2, MODE_AES_256_XTS, MODE_AES_256_CTS, FLAG_PADDING_MASK, key.identifier, nonce)
    cipher = ContentsCipher(key, context, block_size)
    return FileEncryption(
        context.to_bytes(), lambda block, plaintext: cipher.encrypt_blocks(plaintext, block)
    )


def _policy(said: Encryption) -> Policy:
    users = user_names(said)
    match said.policy:
        case "owner":
            return OwnerOnly(users[0])
        case "any-of":
            return AnyOf(users)
        case "group":
            return GroupKey(GROUP)
        case "k-of-n":
            return KOfN(said.needed, users)


def _plaintext(seed: int, file: FileSpec) -> bytes:
    """Return the contents that an unencrypted file of this name and size has."""
    size = file.size_bytes or 0
    whole = -(-size // _RANDOM_STEP_BYTES) * _RANDOM_STEP_BYTES
    return random_contents(seed, file.path, 0, whole).tobytes()[:size]


def _encrypt_device(path: Path, sectors: DmCrypt) -> None:
    """Encrypt an image file, whole; a rest that is no sector does not exist (images are whole MiB)."""
    plain = MmapStore(path)
    with SparseWriter(path, plain.size_bytes) as writer:
        for at in range(0, plain.size_bytes, _CHUNK_BYTES):
            data = plain.read(at, min(_CHUNK_BYTES, plain.size_bytes - at))
            writer.write(at, sectors.encrypt(data, at // SECTOR_BYTES))
