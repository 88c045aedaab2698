"""SoftHSM2 for the length of a process: one token of its own, and keys put into it.

    with_key(key, "label")     # the private key is in the token
    uri("label")               # pkcs11:... for it, without the PIN
    PIN

The library is loaded into this process, so its settings are too: $SOFTHSM2_CONF is set here, once.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from holdfast.pki import keys
from holdfast.pki.keys import PrivateKey
from support.pki import private

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "2718"
TOKEN = "holdfast tests"


@cache
def folder() -> Path:
    """Where the token lies; made, and the token in it, when it is first asked for."""
    made = Path(tempfile.mkdtemp(prefix="holdfast-softhsm-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    (made / "tokens").mkdir()
    settings = made / "softhsm2.conf"
    settings.write_text(
        f"directories.tokendir = {made}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    os.environ["SOFTHSM2_CONF"] = str(settings)
    _util("--init-token", "--free", "--label", TOKEN, "--pin", PIN, "--so-pin", "31415926")
    return made


def with_key(key: PrivateKey, label: str, *, id: str = "01") -> str:
    """Put `key` into the token, and say its `uri`."""
    path = private(folder() / f"{os.urandom(4).hex()}.key", keys.encode(key))
    _util(
        *("--import", str(path), "--token", TOKEN, "--label", label, "--id", id, "--pin", PIN),
        *("--force",),
    )
    path.unlink()
    return uri(label)


def uri(label: str, *, token: str = TOKEN, module: str = MODULE) -> str:
    folder()
    return f"pkcs11:token={token.replace(' ', '%20')};object={label}?module-path={module}"


def pin_file() -> Path:
    path = folder() / "pin"
    return path if path.exists() else private(path, f"{PIN}\n".encode())


def _util(*words: str) -> None:
    done = subprocess.run(
        ["softhsm2-util", *words], capture_output=True, timeout=20, check=False, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
