"""
Opening an encrypted file: read the xattr with its keys, find one's own, unwrap it, set the cipher up.

fscrypt derives a file's key from its nonce (fscrypt_file_open(), fs/crypto/keysetup.c, Linux 6.1). With keys
of files that are wrapped for users (no kernel has that) the user's packet is looked for first, and unwrapped:
in `aes-kw` by bisection and RFC 5649, in `rfc2014` by looking at one packet after another and HMACs. A key
once unwrapped stays on the user's key ring, and what it opens with the inode: opening again costs nothing.
The xattr is read through the buffer cache if it does not fit into the inode. Left out: path look-up (of
eCryptfs too, which reads the header there a first time and parses its front), the inode's own block,
permissions.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.buffer_cache import BufferCache

XATTR_STACK: Final = "vfs_open;fscrypt_file_open;fscrypt_get_encryption_info;ext4_xattr_get"
_INFO: Final = "fscrypt_file_open;fscrypt_get_encryption_info"
_XATTR: Final = f"{_INFO};ext4_xattr_get"
_SET_UP: Final = f"{_INFO};fscrypt_setup_encryption_info"
_KEY: Final = f"{_SET_UP};fscrypt_prepare_key"
# AES-NI's XTS is three ciphers one in the other: the wrapper that minds the FPU, the daemon it would hand the
# work to, and the cipher. Two of them are allocated anew, and the key passes through all.
_CIPHER: Final = (
    f"{_KEY};crypto_alloc_skcipher*2 {_KEY};crypto_skcipher_setkey*3"
    f" {_KEY};crypto_skcipher_setkey;xts_aesni_setkey"
)
TAG_KEY: Final = f"{_SET_UP};fscrypt_hkdf_expand*2 {_SET_UP};ext4_data_csum_setkey"
"""
Derives the key of a file's tags from its own by HKDF, both steps of it (RFC 5869), and sets it up; where a
file has tags under its key.
"""
_FSCRYPT: Final = f"fscrypt_file_open {_INFO}"
_METADATA: Final = "ecryptfs_open;ecryptfs_read_metadata"
_PACKETS: Final = f"{_METADATA};ecryptfs_parse_packet_set"


@dataclass(frozen=True, slots=True)
class OpenCalls:
    """
    What opening calls. once: per open; unwrap: per wrapped key; find: per key looked at on the way to it.
    """

    once: str
    unwrap: str = ""
    find: str = ""


OPEN_CALLS: dict[str, OpenCalls] = {
    "fscrypt-v2": OpenCalls(
        f"{_FSCRYPT} {_XATTR} {_SET_UP} {_SET_UP};fscrypt_find_master_key {_SET_UP};fscrypt_hkdf_expand"
        f" {_KEY} {_CIPHER}"
    ),
    # Two xattrs: the context and the keys.
    "aes-kw": OpenCalls(
        f"{_FSCRYPT} {_XATTR}*2 {_SET_UP} {_KEY} {_CIPHER}", "hmac_sha512*2 aes_kw_unwrap", "find_wrapped_key"
    ),
    # A cipher from the pool gets its key for every page: nothing is set up here.
    "rfc2014": OpenCalls(f"{_FSCRYPT} {_XATTR}*2", "hmac_sha512*2 hmac_sha1 aes_ctr", "find_wrapped_key"),
    # The file's key is decrypted by a cipher that the mount keeps; its own cipher is allocated here and gets
    # its key with the first page.
    "ecryptfs": OpenCalls(
        f"ecryptfs_open {_METADATA} {_METADATA};ecryptfs_read_lower"
        f" {_METADATA};ecryptfs_init_crypt_ctx {_METADATA};crypto_alloc_skcipher*2"
        f" {_PACKETS} {_PACKETS};crypto_skcipher_setkey {_PACKETS};crypto_skcipher_setkey;aes_set_key"
        f" {_PACKETS};crypto_skcipher_decrypt {_PACKETS};crypto_skcipher_decrypt;ecb_decrypt"
        f" {_METADATA};ecryptfs_compute_root_iv"
        " /crypt_scatterlist;crypto_skcipher_setkey*3"
        " /crypt_scatterlist;crypto_skcipher_setkey;aesni_skcipher_setkey"
    ),
}
"""By scheme, or by the format of wrapped keys; of fscrypt and eCryptfs as recorded (results/kernel)."""


class FileOpener:
    """Opens the files of one file system."""

    def __init__(self, ledger: Ledger, xattrs: BufferCache, calls: OpenCalls, tag_key: bool = False) -> None:
        """`xattrs` reads the blocks in which xattrs lie. tag_key: there is one to be set up."""
        self._xattrs = xattrs
        has_xattr = "ext4_xattr_get" in calls.once
        once = f"{calls.once} {TAG_KEY}" if tag_key else calls.once
        self._s_once = ledger.site(TASK, "vfs_open", once, "ext4_xattr_get" if has_xattr else "")
        self._s_unwrap = ledger.site(TASK, "vfs_open;fscrypt_file_open", calls.unwrap)
        self._s_find = ledger.site(TASK, "vfs_open;fscrypt_file_open", calls.find)

    def wrap(self, task: Task, packets: int) -> None:
        """Wrap the key of a new file for its users: the work of unwrapping, the other way."""
        task.ps += self._s_unwrap.charge(packets)

    def open(
        self, task: Task, xattr_blocks: Sequence[Sequence[int]], unwraps: int = 0, looks: int = 0
    ) -> Generator[Any, Any, None]:
        """
        Open a file for a user who has not opened it yet.

        xattr_blocks: of the file system, that hold its keys, in batches of what is read at once. unwraps:
        wrapped keys to open: one; two where one is a group's; k of n. looks: how many are looked at to find
        them.
        """
        plug = Plug()
        for batch in xattr_blocks:
            self._xattrs.start(task, batch, plug)
            for block in batch:
                yield from self._xattrs.get(task, block, plug)
        task.ps += self._s_once.charge_units(1, len(xattr_blocks))
        task.ps += self._s_unwrap.charge(unwraps) + self._s_find.charge(looks)
