"""A small CA in a folder: its certificates, keys, settings, ledger and what it issued.

    root.pem  root.key       the root; with an intermediate only, else ca.pem and ca.key are it
    ca.pem    ca.key         who issues
    ca.json                  what `init` was told to remember
    ledger.sqlite            what was issued and revoked, unless ca.json names a database for it
    signer.pem  signer.key   the delegated OCSP signer
    crl.pem   crl.der        the newest CRL (root-crl.pem and .der: the root's)
    issued/NAME.pem  NAME-fullchain.pem  NAME.key

Laws: keys are written with mode 0600 and, of the CA, encrypted when there is a passphrase; a file
that is there is never overwritten unless the caller says so, CRLs apart; what was signed is in the
ledger before it is in a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded, require_private, write_atomic
from holdfast.pki import issue as minting
from holdfast.pki import keys, pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.csr import Requested
from holdfast.pki.extras import end_of
from holdfast.pki.issue import Authority, Issued, Revocation
from holdfast.pki.keys import PrivateKey
from holdfast.stores.sql import Issue, SqlLedger

CRL_LIFETIME = timedelta(days=7)
MAX_FILE = 1 << 20  # bytes
PUBLIC = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What goes into every certificate unless said otherwise; and the URL of the ledger, "" for the
    one in the folder."""

    responder_urls: tuple[str, ...] = ()
    issuer_urls: tuple[str, ...] = ()
    crl_urls: tuple[str, ...] = ()
    key_type: str = "ecdsa-p256"
    ledger: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A server certificate to be issued; None: what the CA remembers.

    `csr` is a request whose key, and whose names if `names` are none, are taken.
    """

    names: tuple[str, ...] = ()
    lifetime: timedelta = minting.SERVER_LIFETIME
    key_type: str | None = None
    must_staple: bool = False
    responder_urls: tuple[str, ...] | None = None
    issuer_urls: tuple[str, ...] | None = None
    crl_urls: tuple[str, ...] | None = None
    csr: Requested | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and the files it was written to, by role: certificate, fullchain, key."""

    certificate: Certificate
    files: Mapping[str, Path] = field(default_factory=dict)


class AuthorityFolder:
    """The CA in the folder `path`, made by `create` and found by `open`."""

    def __init__(
        self,
        path: Path,
        *,
        certificate: Certificate,
        root: Certificate,
        remembered: Remembered,
        passphrase: bytes | None = None,
        ledger: str = "",
    ) -> None:
        self.path = path
        self.ledger_url = ledger or remembered.ledger or str(path / "ledger.sqlite")
        self.certificate = certificate
        self.root = root
        self.remembered = remembered
        self._passphrase = passphrase

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        name: str,
        at: datetime,
        lifetime: timedelta = minting.ROOT_LIFETIME,
        intermediate: bool = False,
        remembered: Remembered = Remembered(),
        passphrase: bytes | None = None,
    ) -> AuthorityFolder:
        """A new CA called `name`; `OperatorError` when the folder holds one."""
        folder = Path(path)
        url = remembered.ledger or str(folder / "ledger.sqlite")
        refuse_existing(
            cls.files_of_creation(folder, intermediate=intermediate, ledger=remembered.ledger)
        )
        top = minting.root(
            f"{name} Root" if intermediate else name,
            at=at,
            lifetime=lifetime,
            key_type=remembered.key_type,
        )
        issuing = top
        if intermediate:
            issuing = top.intermediate(
                f"{name} Issuing CA", at=at, lifetime=lifetime, key_type=remembered.key_type
            )
        for made in (folder, folder / "issued"):  # whatever the umask, nobody else writes there
            made.mkdir(mode=0o755, parents=True, exist_ok=True)
        # its own database first: were the process to end here, `create` would say what is there
        for authority in dict.fromkeys((issuing.certificate, top.certificate)):
            SqlLedger.create(url, ca=authority).close()
        if intermediate:
            with SqlLedger.open(url, ca=top.certificate) as own:
                own.record(issuing.certificate, at=at, name="ca")
            _write_key(folder / "root.key", top.key, passphrase)
        _write_key(folder / "ca.key", issuing.key, passphrase)
        write_atomic(folder / "root.pem", top.issued.pem, PUBLIC)
        write_atomic(folder / "ca.pem", issuing.issued.pem, PUBLIC)
        settings = json.dumps({"schema": 1, **asdict(remembered)}, indent=2) + "\n"
        write_atomic(folder / "ca.json", settings.encode(), PUBLIC)
        return cls.open(folder, passphrase=passphrase)

    @classmethod
    def files_of_creation(
        cls, path: Path, *, intermediate: bool, ledger: str = ""
    ) -> tuple[Path, ...]:
        names = ["root.pem", "ca.pem", "ca.key", "ca.json", *([] if ledger else ["ledger.sqlite"])]
        return tuple(path / name for name in (["root.key"] if intermediate else []) + names)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, passphrase: bytes | None = None, ledger: str = ""
    ) -> AuthorityFolder:
        """The CA in the folder `path`; `ledger`: its ledger's URL, if not what it remembers."""
        folder = Path(path)
        if not (folder / "ca.pem").is_file():
            raise OperatorError(
                f"{folder}: holds no CA",
                hint="make one with 'holdfast ca init', or name its folder with --ca",
            )
        certificate, root = (_certificate(folder / name) for name in ("ca.pem", "root.pem"))
        return cls(
            folder,
            certificate=certificate,
            root=root,
            remembered=_remembered(folder / "ca.json"),
            passphrase=passphrase,
            ledger=ledger,
        )

    # -- the two authorities ----------------------------------------------------------------

    @property
    def authority(self) -> Authority:
        """Who issues, with its key."""
        chain = () if self.certificate == self.root else (self.root,)
        return Authority(self.certificate, self._key("ca.key", self.certificate), chain)

    @property
    def root_authority(self) -> Authority:
        if self.certificate == self.root:
            return self.authority
        return Authority(self.root, self._key("root.key", self.root))

    def ledger(self, ca: Certificate | None = None) -> SqlLedger:
        """The ledger of `ca` (default: who issues)."""
        return SqlLedger.open(self.ledger_url, ca=ca or self.certificate)

    def _key(self, name: str, certificate: Certificate) -> PrivateKey:
        path = self.path / name
        require_private(path)
        data = read_bounded(path, MAX_FILE)
        key = keys.load(data, passphrase=self._passphrase, name=str(path))
        if not keys.fits(key, certificate):
            raise OperatorError(
                f"{path}: the key does not fit {certificate.subject}",
                hint="put the CA's own key back from your backup",
            )
        return key

    # -- issuing ----------------------------------------------------------------------------

    def issue(self, name: str, wish: Wish, *, at: datetime, replace: bool = False) -> Made:
        """A server certificate and its files `name`.pem and so on."""
        files = self.files_of_issue(name, with_key=wish.csr is None)
        if not replace:
            refuse_existing(files.values())
        minted = self._minted(wish, at=at)
        with self.ledger() as ledger:
            ledger.record(minted.certificate, at=at, name=name)
        (self.path / "issued").mkdir(mode=0o755, exist_ok=True)
        if "key" in files:
            _write_key(files["key"], minted.key, None)
        # The issuer stands after the leaf even where it is the root: whoever asks for a staple
        # needs it, and servers leave a root out of the handshake.
        chain = [minted.certificate, *minted.chain[:1]]
        chain += [above for above in minted.chain[1:] if not above.self_issued]
        write_atomic(files["fullchain"], pem.encode_certificates(chain), PUBLIC)
        write_atomic(files["certificate"], minted.pem, PUBLIC)
        return Made(minted.certificate, files)

    def files_of_issue(self, name: str, *, with_key: bool = True) -> dict[str, Path]:
        folder = self.path / "issued"
        files = {
            "certificate": folder / f"{name}.pem",
            "fullchain": folder / f"{name}-fullchain.pem",
        }
        return files | ({"key": folder / f"{name}.key"} if with_key else {})

    def signer(
        self,
        name: str = "signer",
        *,
        at: datetime,
        lifetime: timedelta = minting.SIGNER_LIFETIME,
        key_type: str | None = None,
        replace: bool = False,
        backdate: timedelta = timedelta(0),
    ) -> Made:
        """A delegated OCSP signer and its files `name`.pem and `name`.key, that begins `backdate`
        before `at` but not before its CA."""
        files = self.files_of_signer(name)
        if not replace:
            refuse_existing(files.values())
        authority = self.authority
        subject = authority.certificate.subject.removeprefix("CN=")[:50]
        made = authority.delegated_signer(
            f"{subject} OCSP Signer",
            at=at,
            not_before=max(at - backdate, authority.certificate.not_before),
            not_after=min(end_of(at, lifetime), authority.certificate.not_after),
            key_type=key_type or self.remembered.key_type,
        )
        with self.ledger() as ledger:
            ledger.record(made.certificate, at=at, name=name)
        _write_key(files["key"], made.key, None)
        write_atomic(files["certificate"], made.pem, PUBLIC)
        return Made(made.certificate, files)

    def files_of_signer(self, name: str) -> dict[str, Path]:
        return {"certificate": self.path / f"{name}.pem", "key": self.path / f"{name}.key"}

    def _minted(self, wish: Wish, *, at: datetime) -> Issued:
        default = self.remembered
        asked = wish.csr
        names = wish.names or (() if asked is None else asked.names)
        if not names:
            raise OperatorError(
                "a certificate for no name at all", hint="give at least one DNS name or address"
            )
        return self.authority.server(
            *names,
            at=at,
            lifetime=wish.lifetime,
            key=None if asked is None else asked.key,
            key_type=wish.key_type or default.key_type,
            must_staple=wish.must_staple,
            responder_urls=_or(wish.responder_urls, default.responder_urls),
            issuer_urls=_or(wish.issuer_urls, default.issuer_urls),
            crl_urls=_or(wish.crl_urls, default.crl_urls),
            extensions=() if asked is None else asked.extensions,
        )

    # -- revoking ---------------------------------------------------------------------------

    def find(self, word: str, *, revoked: bool = False) -> tuple[SqlLedger, Issue]:
        """What `word` names: a certificate's file, a name, or a serial in hexadecimal; and the
        ledger it is in, for the caller to close. Of several, the one that is `revoked` or not."""
        path = Path(word)
        given = _certificate(path) if path.is_file() else None
        ledgers = [self.ledger(ca) for ca in dict.fromkeys((self.certificate, self.root))]
        serial = _serial(word) if given is None else given.serial
        found: list[tuple[SqlLedger, Issue]] = []
        for ledger in ledgers:
            if given is None:
                found += [(ledger, one) for one in ledger.issues(name=word)]
            held = None if serial is None else ledger.issue_of(serial)
            if held is not None and (given is None or held.certificate in (given, None)):
                found.append((ledger, held))
        if not found:
            raise OperatorError(
                f"{self.path}: issued nothing called {word!r}",
                hint="give a file, a name or a serial of 'holdfast ca list'",
            )
        if len(found) > 1:
            fitting = [pair for pair in found if (pair[1].entry.revoked_at is not None) is revoked]
            if len(fitting) != 1:
                raise OperatorError(
                    f"{self.path}: {len(found)} certificates are called {word!r}",
                    hint="say which one by its serial; 'holdfast ca list' shows them",
                )
            found = fitting
        for ledger in ledgers:
            if ledger is not found[0][0]:
                ledger.close()
        return found[0]

    def crl(self, *, at: datetime, lifetime: timedelta = CRL_LIFETIME) -> dict[str, Path]:
        """Sign the CRL, or both, and write it as PEM and DER; the files by role."""
        files: dict[str, Path] = {}
        authorities = {"crl": self.authority}
        if self.certificate != self.root:
            authorities["root-crl"] = self.root_authority
        for name, authority in authorities.items():
            with self.ledger(authority.certificate) as ledger:
                entries = [entry for entry in ledger.entries() if entry.revoked_at is not None]
                der = authority.crl(
                    [
                        Revocation(e.serial, e.revoked_at, e.reason and e.reason.code)
                        for e in entries
                        if e.revoked_at is not None
                    ],
                    this_update=at,
                    next_update=end_of(at, lifetime),
                    number=ledger.next_crl_number(),
                )
            for suffix, data in (("pem", pem.encode("X509 CRL", der)), ("der", der)):
                files[f"{name}.{suffix}"] = self.path / f"{name}.{suffix}"
                write_atomic(files[f"{name}.{suffix}"], data, PUBLIC)
        return files


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise `OperatorError` for the first of `paths` that is there."""
    for path in paths:
        if path.exists():
            raise OperatorError(
                f"{path}: is there already, and nothing is overwritten",
                hint="move it away, choose another name, or say --replace where there is that",
            )


def _certificate(path: Path) -> Certificate:
    return pem.certificates(read_bounded(path, MAX_FILE), name=str(path))[0]


def _remembered(path: Path) -> Remembered:
    if not path.exists():
        return Remembered()
    try:
        held = json.loads(read_bounded(path, MAX_FILE))
        urls = {
            name: tuple(str(url) for url in held[name])
            for name in ("responder_urls", "issuer_urls", "crl_urls")
        }
        return Remembered(
            key_type=str(held["key_type"]), ledger=str(held.get("ledger", "")), **urls
        )
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{path}: not the settings of a holdfast CA: {error}",
            hint="take it away to go on without remembered addresses",
        ) from error


def _write_key(path: Path, key: PrivateKey, passphrase: bytes | None) -> None:
    """Who could read the key that it replaces, such as a responder's group, can read this one."""
    try:
        held = path.stat()
    except OSError:
        mode, owner = 0o600, None
    else:
        mode = 0o600 | held.st_mode & 0o040
        owner = (held.st_uid if os.geteuid() == 0 else -1, held.st_gid)  # -1: stays
    write_atomic(path, keys.encode(key, passphrase=passphrase), mode, owner=owner)


def _serial(word: str) -> int | None:
    text = word.replace(":", "").removeprefix("0x").removeprefix("0X")
    try:
        return int(text, 16) if text and text.isalnum() else None
    except ValueError:
        return None


def _or(given: tuple[str, ...] | None, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    return otherwise if given is None else given


def certificates_in(folder: AuthorityFolder) -> Iterator[tuple[Certificate, Issue]]:
    """Everything issued, by whom."""
    for ca in dict.fromkeys((folder.certificate, folder.root)):
        with folder.ledger(ca) as ledger:
            for one in ledger.issues():
                yield ca, one
