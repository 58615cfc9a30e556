"""
No key in what readpath image's verbs say, write or fail with.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from key_file import secret_keys
from key_scan import KeyScan, kek

from sim.cli.main import app
from sim.crypto.fscrypt.contexts import ContentsCipher, Context, MasterKey
from sim.crypto.keys.file_keys import FORMATS, KeyRing, secret_parts
from sim.crypto.streams import NamedStream
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import Encryption as FileEncryption
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.volume.keyed_image import wrapped_keys


def make_key_files(folder: Path) -> dict[str, bytes]:
    """Make key files, good and bad ones, that hold users' keys and a master key; return those keys."""
    keys = {name: NamedStream(8, name)(64) for name in ("alice", "bob", "carol", "master", "v1")}
    good = "".join(
        f'[[user]]\nid = "{name}"\nraw = "{keys[name].hex()}"\n' for name in ("alice", "bob", "carol")
    )
    alice = keys["alice"].hex()
    files = {
        "users.toml": good,
        "master.toml": f'[[key]]\nraw = "{keys["master"].hex()}"\n'
        f'[[key]]\nraw = "{keys["v1"].hex()}"\nv1_descriptor = "1122334455667788"\n',
        "other.toml": f'[[key]]\nraw = "{keys["alice"].hex()}"\n',
        "loose.toml": good,
        "swapped.toml": f'[[user]]\nid = "{alice}"\nraw = "alice"\n',
        "twice.toml": f'[[user]]\nid = "{alice}"\nraw = "{alice}"\n' * 2,
        "unquoted.toml": f'[[user]]\nid = "alice"\nraw = {alice}\n',
        "cut.toml": f'[[user]]\nid = "alice"\nraw = "{alice[:-1]}"\n',
        "short.toml": f'[[user]]\nid = "alice"\nraw = "{alice[:-2]}"\n',
        "named.toml": f'[[user]]\nid = "alice"\n{alice} = "raw"\n',
        "salt.toml": f'[[user]]\nid = "alice"\nscrypt = {{ salt = "{alice}", n = 1 }}\n',
        "top.toml": f'alice = "{alice}"\n',
        "master.json": f'[{{"raw_key": "{keys["master"].hex()}" "v1"',
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644 if name == "loose.toml" else 0o600)
    return keys


def fscrypt_file(path: str, key: MasterKey, version: int) -> FileSpec:
    """Return a file under fscrypt v1 or v2."""
    reference = bytes.fromhex("1122334455667788") if version == 1 else key.identifier
    context = Context(version, 1, 4, 3, reference, bytes(range(version, 16 + version)))
    cipher = ContentsCipher(key, context, 4096)
    return FileSpec(
        path,
        data=TEXT,
        encryption=FileEncryption(
            context.to_bytes(), lambda block, plain: cipher.encrypt_blocks(plain, block)
        ),
    )


TEXT = b"".join(b"line %d of a text that only some may read\n" % number for number in range(400))


def test_no_key_in_what_the_verbs_say(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """
    Every verb on keys, with and without --json, what fails too: no key on the terminal, in an image, in a
    file but the key files.

    Scanned for: users' keys, master keys, keys that `userkey` made, the files' keys that they open, and those
    under which these are wrapped.
    """
    keys = make_key_files(tmp_path)
    masters = {2: MasterKey(keys["master"]), 1: MasterKey(keys["v1"])}
    names = [f"{form}-{mode}" for form in FORMATS for mode in ("xts", "gcm")]
    image = tmp_path / "a.img"
    specs = [FileSpec(f"/{name}", data=TEXT) for name in ("group", "shares", "plain", *names)]
    specs += [fscrypt_file(f"/v{version}", key, version) for version, key in masters.items()]
    make_image(image, ImageSpec(tuple(specs), 4096, 4 << 20))
    said: list[tuple[list[str], int, bytes]] = []

    def run(*words: object) -> bytes:
        """Run a verb as the command does, in this process."""
        command = ["image", *map(str, words)]
        with pytest.raises(SystemExit) as left:
            app(command, prog_name="readpath")
        out, err = capfdbinary.readouterr()
        said.append((command, int(left.value.code or 0), out + err))
        return out

    secrets = set(keys.values())
    made = tmp_path / "made.toml"
    for words in (("--json",), ("--seed", 3)):
        run("userkey", made, f"user{len(words)}", *words)
    secrets |= {bytes.fromhex(user["raw"]) for user in tomllib.loads(made.read_text())["user"]}
    users = ("--keys", tmp_path / "users.toml")
    run("group", image, "@staff", *users, "--user", "alice", "--json")
    run("group", image, "@staff", *users, "--user", "bob", "--as", "alice")
    run("encrypt", image, "group", *users, "--user", "@staff", "--json")
    run("encrypt", image, "shares", *users, "--user", "alice", "--user", "bob", "--needed", 2)
    for name in names:
        form, mode = name.rsplit("-", 1)
        run("encrypt", image, name, *users, "--user", "alice", "--format", form, "--mode", mode)
    ring = KeyRing(secret_keys(tmp_path / "users.toml"))
    for name in names:
        opened = Image.open(image)
        raw = wrapped_keys(opened.lookup(name))
        secrets |= {ring.unwrap(raw, "alice").raw, kek(raw, ring.key("alice"))}
        assert b'"sha256"' in run("cat", image, name, *users, "--as", "alice", "--json")
        assert TEXT == run("cat", image, name, *users, "--as", "alice")
        run("share", image, name, "bob", *users, "--as", "alice", "--json")
        run("unshare", image, name, "bob", *users, *(["--json"] if "gcm" in name else []))
    for version, key in masters.items():
        raw = Image.open(image).lookup(f"/v{version}").encryption_context or b""
        nonce = Context.parse(raw).nonce
        secrets.add(key.per_file_key(nonce) if version == 2 else key.v1_per_file_key(nonce))
        assert TEXT == run("cat", image, f"v{version}", "--keys", tmp_path / "master.toml")
        run("cat", image, f"v{version}", "--keys", tmp_path / "master.toml", "--json")
        run("cat", image, f"v{version}", "--keys", tmp_path / "other.toml")
        run("cat", image, f"v{version}")
    run("ls", image, "-R", "--keys", tmp_path / "master.toml")
    run("ls", image, "-R", "--json")
    run("adduser", image, "carol", *users, "--as", "alice", "--json")
    run("cat", image, "shares", *users, "--as", "alice", "--as", "bob")
    secrets.add(ring.unwrap(wrapped_keys(Image.open(image).lookup("shares")), ["alice", "bob"]).raw)
    for json_too in ((), ("--json",)):
        run("inspect", image, *json_too)
        run("check", image, *json_too)
        run("extents", image, names[0], *json_too)
    good = len(said)
    for file in sorted(tmp_path.glob("*.toml")):
        run("cat", image, names[0], "--keys", file, "--as", "eve")
        run("cat", image, names[0], "--keys", file)
        run("share", image, names[0], "bob", "--keys", file, "--as", "mallory")
    run("cat", image, "v2", "--keys", tmp_path / "master.json")
    run("cat", image, "shares", *users, "--as", "alice")
    run("cat", image, "group", *users, "--as", "dave")
    run("encrypt", image, names[0], *users, "--user", "alice")
    run("unshare", image, names[0], "mallory")
    run("group", image, "@staff", *users, "--user", "carol")
    run("userkey", tmp_path / "loose.toml", "dave")
    run("userkey", tmp_path / "users.toml", keys["alice"].hex())
    damaged = bytearray(image.read_bytes())
    at = damaged.index(secret_parts(wrapped_keys(Image.open(image).lookup(names[-1])))[0])
    damaged[at + 5] ^= 4
    (tmp_path / "damaged.img").write_bytes(damaged)
    run("cat", tmp_path / "damaged.img", names[-1], *users, "--as", "alice")
    bad = len(said)
    for name in names:
        run("shred", image, name, "--scan", *(["--json"] if "gcm" in name else []))
        run("rm", image, name, *(["--json"] if "gcm" in name else []))
    wrong_key = [command[-1] == str(tmp_path / "other.toml") for command, _code, _text in said[:good]]
    expected = [2 * wrong for wrong in wrong_key] + [2] * (bad - good) + [0] * (2 * len(names))
    assert [] == [
        one for one, want in zip(said, expected, strict=True) if one[1] != want or b"Traceback" in one[2]
    ]
    assert 2 == sum(wrong_key)
    scan = KeyScan(secrets)
    assert 3 + 2 + 2 + 2 * 4 + 2 + 1 == len(secrets)
    assert [] == [(command, scan.found(text)) for command, _code, text in said if scan.found(text)]
    assert {path.name for path in tmp_path.glob("*.*ml")} | {"master.json"} == scan.files(tmp_path).keys()
