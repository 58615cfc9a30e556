"""
The keys with which an image's data is judged: the volume's, and those of files under file-keys.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.crypto.keys.data_units import XtsContents
from sim.crypto.keys.file_keys import KeyRing
from sim.errors import CryptoError
from sim.ext4.read.reader import Image
from sim.integrity.tagger import FileSecret, Secrets
from sim.volume.keyed_image import open_file


def secrets_of(image: Image, volume_key: bytes, ring: KeyRing | None, users: Sequence[str]) -> Secrets:
    """
    Return the volume's key (b"" for none) and the keys of all files that these users open.

    A file that none of them may read, or that is under another scheme, is left out; one in GCM has tags of
    its own, and counts as it is stored. Raises CryptoError for wrapped keys that are damaged or of another
    file.
    """
    files: dict[int, FileSecret] = {}
    for path, inode in image.walk() if ring is not None else ():
        if not (inode.is_encrypted and inode.is_regular) or inode.number in files or ring is None:
            continue
        try:
            opened = open_file(image, inode, ring, users, path)
        except CryptoError as error:
            if "ENOKEY" in error.problem or "encryption context" in error.problem:
                continue
            raise
        contents = opened.contents
        if isinstance(contents, XtsContents):
            files[inode.number] = FileSecret(opened.key.raw, contents.decrypt_blocks)
        else:
            files[inode.number] = FileSecret(opened.key.raw, lambda data, _block: bytes(data))
    return Secrets(volume_key, files)
