"""`holdfast presign` with a key in a token: SoftHSM2 signs ahead, in several processes (R15, R34).

A token's library survives no fork, so each process must log in for itself; what is wrong with the
token is told before anything is signed.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from holdfast.stores.answers import Answers
from support.pki import a_root, a_signer
from support.presigned import BEGIN, Presigned, soon
from support.processes import HOLDFAST, ran
from support.softhsm import pin_file, uri, with_key

COUNT = 300


class World(Presigned):
    """Answers by a signer whose key is in the token alone, by settings."""

    def settings(self, where: str, *, sessions: int = 2, pin: Path | None = None) -> Path:
        path = self.folder / "holdfast.toml"
        path.write_text(
            f'[[responder.ca]]\ncertificate = "ca.pem"\nindex = "index.txt"\n'
            f'store = "answers.lmdb"\ndelay = "2s"\n[[responder.ca.signers]]\n'
            f'certificate = "signer.pem"\nkey = "{where}"\n'
            f'passphrase_file = "{pin or pin_file()}"\nsessions = {sessions}\n'
        )
        return path

    def told(self, *words: object) -> subprocess.CompletedProcess[bytes]:
        return ran([*HOLDFAST, "presign", *words], timeout=60)


def a_world(folder: Path, label: str, key_type: str = "ecdsa-p256") -> tuple[World, str]:
    world = World(folder, a_root(at=BEGIN))
    signer = a_signer(world.ca, f"In a token {label}", at=BEGIN, key_type=key_type)
    (folder / "ca.pem").write_bytes(world.ca.issued.pem)
    (folder / "signer.pem").write_bytes(signer.pem)
    world.issue(range(1, COUNT + 1))
    world.revoke(7)
    world.write()
    return world, with_key(signer.key, label)


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "rsa-2048", "ed25519"])
def test_r15_a_token_signs_ahead_in_every_process(tmp_path: Path, key_type: str) -> None:
    """And the next run signs what changed, and no more."""
    world, where = a_world(tmp_path, f"presign-{key_type}", key_type)
    config = world.settings(where)
    done = world.told("-c", config, "--processes", 3, "--json")
    assert done.returncode == 0, done.stderr
    assert b'"signed": %d,' % COUNT in done.stdout
    with Answers(world.store) as shelf:
        said = {serial: world.says(shelf, serial) for serial in world.entries}
        assert [serial for serial, word in said.items() if word != "good"] == [7]
        assert said[7] == "revoked"
        world.revoke(9)
        world.write()
        done = world.told("-c", config, "--json")
        assert b'"signed": 1,' in done.stdout
        assert world.says(shelf, 9) == "revoked"


def test_a_token_is_followed_with_and_ends_with_its_processes(tmp_path: Path) -> None:
    """R32: a change is signed by the token within the delay."""
    world, where = a_world(tmp_path, "presign-follow")
    words = [*HOLDFAST, "presign", "-c", world.settings(where), "--follow", "--processes", "2"]
    child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    with Answers(world.store) as shelf:
        soon(lambda: world.count(shelf) == COUNT, within=40)
        world.revoke(11)
        world.write()
        soon(lambda: world.says(shelf, 11) == "revoked")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0


def test_what_is_wrong_with_the_token_is_told_and_nothing_is_signed(tmp_path: Path) -> None:
    """The red twins: another PIN, another label, another key, a library that is not there."""
    world, where = a_world(tmp_path, "presign-wrong")
    other = a_signer(world.ca, "Other", at=BEGIN)
    wrong_pin = tmp_path / "wrong"
    wrong_pin.write_bytes(b"1111\n")
    os.chmod(wrong_pin, 0o600)
    cases = (
        (where, wrong_pin, b"PIN"),
        (uri("nobody-presigns"), None, b"no private keys of that name"),
        (with_key(other.key, "presign-other"), None, b"does not belong to"),
        (uri("x", module="/nowhere/lib.so"), None, b"cannot be loaded"),
    )
    for place, pin, said in cases:
        done = world.told("-c", world.settings(place, pin=pin))
        assert done.returncode in (2, 3), (place, done.stderr)
        assert said in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr
        assert not world.store.exists()
    assert world.told("-c", world.settings(where)).returncode == 0


def test_a_key_of_the_command_line_is_a_file(tmp_path: Path) -> None:
    """A URI there is refused with the place where it is understood."""
    world, where = a_world(tmp_path, "presign-option")
    words = ("--ca", tmp_path / "ca.pem", "--signer", tmp_path / "signer.pem", "--key", where)
    done = world.told(*words, "--index", world.index, "--store", world.store)
    assert done.returncode == 2
    assert b"a key in a token is given in the settings" in done.stderr
