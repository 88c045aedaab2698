"""The places where this machine's programs look up which CAs they trust, and a CA put there.

Laws: trusting and untrusting are idempotent; untrusting puts every file back byte for byte while
nobody else has changed it, and otherwise takes out only what was put in. Programs are run with an
argument list, a deadline and no terminal.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, write_atomic
from holdfast.net.keepsake import MAX_FILE, Keepsake
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate

DEADLINE = 120.0  # seconds; update-ca-certificates takes a few


class TrustStore(Protocol):
    """One place. `kept` is a folder of ours for undoing it; both say in words what they did."""

    @property
    def name(self) -> str: ...

    def trust(self, ca: Certificate, kept: Keepsake) -> str: ...

    def untrust(self, ca: Certificate, kept: Keepsake) -> str: ...


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One PEM file of trusted CAs, such as SSL_CERT_FILE names."""

    path: Path

    @property
    def name(self) -> str:
        return f"the bundle {self.path}"

    def trust(self, ca: Certificate, kept: Keepsake) -> str:
        block = pem.encode_certificates([ca])
        held = read_bounded(self.path, MAX_FILE) if self.path.exists() else b""
        if block in held:
            return "trusted already"
        mode = self.path.stat().st_mode & 0o7777 if self.path.exists() else 0o644
        joint = b"" if not held or held.endswith(b"\n") else b"\n"
        kept.take([self.path])
        write_atomic(self.path, held + joint + block, mode)
        kept.seal()
        return "added"

    def untrust(self, ca: Certificate, kept: Keepsake) -> str:
        if kept.taken and kept.untouched():
            kept.restore()
            return "put back as it was"
        block = pem.encode_certificates([ca])
        held = read_bounded(self.path, MAX_FILE) if self.path.exists() else b""
        if block not in held:
            return "was not trusted"
        write_atomic(self.path, held.replace(block, b""), self.path.stat().st_mode & 0o7777)
        return "taken out"


@dataclass(frozen=True, slots=True)
class SystemStore:
    """A folder for the machine's own CAs, the program that makes bundles of it, and the tree where
    it puts them.

    `command` may be empty: then the file alone is put there. `anew` is the command that forgets
    what is no longer in the folder.
    """

    folder: Path
    command: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    tree: Path | None = None

    @property
    def name(self) -> str:
        return f"the system's trust ({self.folder})"

    def trust(self, ca: Certificate, kept: Keepsake) -> str:
        path, block = self._file(ca), pem.encode_certificates([ca])
        if path.exists() and read_bounded(path, MAX_FILE) == block:
            return "trusted already"
        if not self.folder.is_dir():
            raise OperatorError(
                f"{self.folder}: there is no such folder",
                hint="name one that is there, or choose --store nss or --bundle FILE",
            )
        if not os.access(self.folder, os.W_OK):
            raise OperatorError(
                f"{self.folder}: cannot be written",
                hint="run as root, or choose --store nss or --bundle FILE",
            )
        kept.take([], trees=[self.tree] if self.tree is not None else [])
        write_atomic(path, block, 0o644)
        try:
            self._run(self.command)
        except OperatorError:
            path.unlink(missing_ok=True)
            kept.forget()
            raise
        kept.seal()
        return "added"

    def untrust(self, ca: Certificate, kept: Keepsake) -> str:
        path = self._file(ca)
        if not path.exists():
            return "was not trusted"
        untouched = kept.taken and kept.untouched()
        try:
            path.unlink()
        except OSError as error:
            raise OperatorError(
                f"cannot remove {path}: {error.strerror}", hint="run as root"
            ) from error
        # also when everything is put back below: its hooks tell other stores, such as Java's
        self._run(self.anew)
        if untouched:
            kept.restore()
        return "put back as it was" if untouched else "taken out"

    def _file(self, ca: Certificate) -> Path:
        return self.folder / f"holdfast-{ca.sha256[:16]}.crt"

    def _run(self, command: tuple[str, ...]) -> None:
        if command:
            run(command)


@dataclass(frozen=True, slots=True)
class NssDatabase:
    """A folder with cert9.db: Chromium's or a Firefox profile."""

    folder: Path

    @property
    def name(self) -> str:
        return f"the NSS database {self.folder}"

    def trust(self, ca: Certificate, kept: Keepsake) -> str:
        if self._holds(ca):
            return "trusted already"
        kept.take(self._files())
        if not (self.folder / "cert9.db").exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._certutil("-N", "--empty-password")
        block = pem.encode_certificates([ca])
        self._certutil("-A", "-a", "-n", _nickname(ca), "-t", "C,,", given=block)
        kept.seal()
        return f"added as {_nickname(ca)!r}"

    def untrust(self, ca: Certificate, kept: Keepsake) -> str:
        if kept.taken and kept.untouched():
            kept.restore()
            return "put back as it was"
        if not self._holds(ca):
            return "was not trusted"
        self._certutil("-D", "-n", _nickname(ca))
        return "taken out"

    def _files(self) -> list[Path]:
        return [self.folder / name for name in ("cert9.db", "key4.db", "pkcs11.txt")]

    def _holds(self, ca: Certificate) -> bool:
        if not (self.folder / "cert9.db").exists():
            return False
        command = ("certutil", "-L", "-d", f"sql:{self.folder}", "-n", _nickname(ca))
        return run(command, check=False) == 0

    def _certutil(self, *words: str, given: bytes = b"") -> None:
        run(("certutil", words[0], "-d", f"sql:{self.folder}", *words[1:]), given=given)


def system_store() -> SystemStore:
    """This machine's, whichever of the usual layouts it has."""
    for store in _SYSTEMS:
        if store.folder.is_dir() and shutil.which(store.command[0]):
            return store
    raise OperatorError(
        "this system's trust store is not one that holdfast knows",
        hint="give the bundle that your programs read with --bundle FILE",
    )


_SYSTEMS = (
    SystemStore(  # Debian, Ubuntu, Alpine
        Path("/usr/local/share/ca-certificates"),
        ("update-ca-certificates",),
        ("update-ca-certificates", "--fresh"),
        Path("/etc/ssl/certs"),
    ),
    SystemStore(  # Fedora, RHEL
        Path("/etc/pki/ca-trust/source/anchors"),
        ("update-ca-trust", "extract"),
        ("update-ca-trust", "extract"),
        Path("/etc/pki/ca-trust/extracted"),
    ),
)


def openssl_bundle() -> BundleFile:
    """The file that OpenSSL itself reads by default (OPENSSLDIR/cert.pem)."""
    try:
        done = subprocess.run(
            ["openssl", "version", "-d"],
            capture_output=True, text=True, timeout=DEADLINE, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise OperatorError(
            "openssl cannot be asked for its folder", hint="install openssl, or give --bundle FILE"
        ) from error
    folder = done.stdout.partition('"')[2].partition('"')[0]
    return BundleFile(Path(folder) / "cert.pem")


def nss_databases(home: Path) -> list[NssDatabase]:
    """Chromium's, made if it is not there, and that of each Firefox profile, below `home`."""
    found = [home / ".pki" / "nssdb"]
    for pattern in _NSS:
        found += [Path(name).parent for name in sorted(glob.glob(str(home / pattern)))]
    return [NssDatabase(folder) for folder in found]


_NSS = (
    "snap/chromium/current/.pki/nssdb/cert9.db",
    ".mozilla/firefox/*/cert9.db",
    "snap/firefox/common/.mozilla/firefox/*/cert9.db",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*/cert9.db",
)


def have_certutil() -> bool:
    return shutil.which("certutil") is not None


def run(command: Sequence[str], *, given: bytes = b"", check: bool = True) -> int:
    """Run `command` and return its exit code; with `check`, `OperatorError` when it is not 0."""
    try:
        done = subprocess.run(
            list(command), input=given, capture_output=True, timeout=DEADLINE, check=False
        )
    except FileNotFoundError as error:
        package = "libnss3-tools or nss-tools" if command[0] == "certutil" else "ca-certificates"
        raise OperatorError(
            f"{command[0]} is not installed", hint=f"install the package {package}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperatorError(f"{command[0]}: {error}") from error
    if check and done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise OperatorError(
            f"{' '.join(command[:2])} failed: {said[-1] if said else done.returncode}",
            hint="a database with a password, or one in use, must be changed by its own program",
        )
    return done.returncode


def _nickname(ca: Certificate) -> str:
    name = ca.subject.removeprefix("CN=").replace("\n", " ")[:64]
    return f"{name} (holdfast {ca.sha256[:8]})"
