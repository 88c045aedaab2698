"""[responder] and [[responder.ca]]: the keys of `holdfast responder -c`, and what must fit in them.

Laws: a CA has one ledger; a profile refuses what it forbids, here, before anything is opened; paths
are where the file is. Section R.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, structs

from holdfast.errors import OperatorError
from holdfast.toml_places import Step

if TYPE_CHECKING:
    from holdfast.plan.webpki import Practice

Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Sessions = Annotated[
    Annotated[int, Meta(ge=1, le=256)],
    Meta(description="of a token's key, a worker: so many sign at once"),
]
Wrong = Callable[[tuple[Step, ...], str, str], OperatorError]
HashName = Literal["sha1", "sha256", "sha384", "sha512"]

SESSIONS = 4  # of a token, a worker
NO_PATHS = ("pkcs11:", "credential:")
LEDGERS = ("index", "ledger", "crls", "responses")
# What only who signs can do, and its default: passed over in silence it would be believed to hold.
_OF_SIGNING: dict[str, object] = {
    "signed_requests": "ignored",
    "compromised": None,
    "archive_cutoff": None,
    "tell": [],
}


class ResponderLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[responder.limits]: what a client may cost, and how long it may take."""

    connections: Annotated[Count, Meta(description="in all, a worker")] = 12_000
    request_bytes: Annotated[
        Annotated[int, Meta(ge=512, le=1_048_576)], Meta(description="of a request's body")
    ] = 65_536
    idle: Annotated[timedelta, Meta(description="without a byte between two requests")] = timedelta(
        seconds=30
    )
    head: Annotated[timedelta, Meta(description="for a request's line and headers")] = timedelta(
        seconds=10
    )
    body: Annotated[timedelta, Meta(description="for a request's body")] = timedelta(seconds=20)


class ResponderSigner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of [[responder.ca]] signers."""

    certificate: Annotated[str, Meta(description="issued by the CA for OCSPSigning")]
    key: Annotated[
        str, Meta(description="its private key, a file or a pkcs11: URI; empty: in certificate")
    ] = ""
    passphrase_file: Annotated[
        str, Meta(description="whose first line opens key or is a PIN; or credential:NAME")
    ] = ""
    sessions: Sessions = SESSIONS


class ResponderCA(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[responder.ca]]: for whom is answered, from what, and how."""

    certificate: Annotated[str, Meta(description="the CA's own")]
    name: Annotated[str, Meta(description="in log and metrics; empty: its common name")] = ""
    prefix: Annotated[
        str, Meta(description="the path it answers under, as /ca1; empty: by CertID, at the root")
    ] = ""
    signer: Annotated[
        str, Meta(description="the one delegated signer; empty: signers, or the CA itself")
    ] = ""
    signers: Annotated[
        list[ResponderSigner],
        Meta(description='{ certificate = "s.pem", key = "s.key" }, each; empty: the CA itself'),
    ] = []
    key: Annotated[
        str, Meta(description="of signer, or of the CA itself; empty: it is in the certificate")
    ] = ""
    passphrase_file: Annotated[
        str, Meta(description="whose first line opens key or is a PIN; or credential:NAME")
    ] = ""
    sessions: Sessions = SESSIONS
    index: Annotated[str, Meta(description="ledger: the index.txt of `openssl ca`")] = ""
    ledger: Annotated[
        str, Meta(description="ledger: ours, a path, sqlite:/// or postgresql://")
    ] = ""
    ledger_query: Annotated[
        str, Meta(description="file that says how to ask ledger when it is another CA's database")
    ] = ""
    crls: Annotated[list[str], Meta(description="ledger: CRLs of the CA, files or URLs")] = []
    crl_issuers: Annotated[
        list[str], Meta(description="certificates of those who sign indirect CRLs")
    ] = []
    crl_unlisted: Annotated[
        Literal["unauthorized", "good"], Meta(description="what a serial on no CRL is")
    ] = "unauthorized"
    compare_crls: Annotated[
        list[str],
        Meta(description="CRLs to hold the ledger and the store against: the strictest wins"),
    ] = []
    responses: Annotated[
        str, Meta(description="instead of a ledger: answers signed elsewhere, a file or a folder")
    ] = ""
    store: Annotated[
        str, Meta(description="file that `holdfast presign` fills; empty: all are signed live")
    ] = ""
    profile: Annotated[
        Literal["", "webpki"],
        Meta(description="webpki refuses what the Baseline Requirements forbid"),
    ] = ""
    validity: Annotated[timedelta, Meta(description="from thisUpdate to nextUpdate")] = timedelta(
        hours=12
    )
    backdate: Annotated[
        timedelta | None,
        Meta(description="thisUpdate lies that long before now, for slow clocks; unset: not"),
    ] = None
    ahead: Annotated[
        timedelta, Meta(description="stored answers are signed again so long before they must be")
    ] = timedelta(hours=1)
    delay: Annotated[
        timedelta,
        Meta(description="a stored answer is given while it was compared with the ledger within"),
    ] = timedelta(minutes=1)
    hashes: Annotated[
        list[HashName], Meta(description="of the CertIDs in stored answers; others are signed live")
    ] = msgspec.field(default_factory=lambda: ["sha1"])
    never_issued: Annotated[
        Literal["unauthorized", "unknown", "revoked"],
        Meta(description="what is said of a serial that the CA never issued; never good"),
    ] = "unauthorized"
    other_issuers: Annotated[
        Literal["unauthorized", "unknown"],
        Meta(description="what is said of a CertID of another CA, in a request that is ours"),
    ] = "unauthorized"
    nonces: Annotated[
        Literal["echoed", "ignored"], Meta(description="what becomes of a nonce of 1 to 128 octets")
    ] = "echoed"
    signed_requests: Annotated[
        Literal["ignored", "verified", "required"],
        Meta(description="what a signature on a request is worth"),
    ] = "ignored"
    requestors: Annotated[
        list[str], Meta(description="certificates of who may sign requests, or of their CAs")
    ] = []
    archive_cutoff: Annotated[
        timedelta | None,
        Meta(description="ended certificates are answered for that long (RFC 6960 4.4.4)"),
    ] = None
    tell: Annotated[
        list[Literal["crl", "invalidity-date"]],
        Meta(description="of a revocation, beside time and reason; makes answers longer"),
    ] = []
    compromised: Annotated[
        datetime | None,
        Meta(description="the CA's key is in other hands since then: all is answered revoked"),
    ] = None
    compromised_reason: Annotated[
        Literal["cACompromise", "keyCompromise"], Meta(description="that is told with it")
    ] = "cACompromise"
    responder_id: Annotated[
        Literal["key", "name"], Meta(description="how answers name their signer")
    ] = "key"
    pss: Annotated[bool, Meta(description="RSA keys sign by PSS instead of PKCS#1 v1.5")] = False


class ResponderTable(Struct, frozen=True, kw_only=True):
    """[responder]: OCSP for one CA or several."""

    listen: Annotated[
        list[str], Meta(description="host:port, or the path of a unix socket, each")
    ] = msgspec.field(default_factory=lambda: ["127.0.0.1:8888"])
    workers: Annotated[Count, Meta(description="processes; 0: one for each processor")] = 0
    status: Annotated[
        str, Meta(description="host:port of /metrics and /healthz; empty for none")
    ] = ""
    audit: Annotated[
        str,
        Meta(description='file for a line of each signature, or "journal"; empty for none'),
    ] = ""
    max_age: Annotated[
        timedelta, Meta(description="for HTTP caches: a revocation is seen by then")
    ] = timedelta(hours=1)
    drain: Annotated[
        timedelta, Meta(description="for replies under way, when it ends or reloads")
    ] = timedelta(seconds=10)
    limits: ResponderLimits = ResponderLimits()
    ca: Annotated[list[ResponderCA], Meta(description="as [[responder.ca]]")] = []


def inner_tables(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any, list[str]]]:
    """(path, table, its known keys) of each table within [responder]."""
    table = document.get("responder")
    if not isinstance(table, dict):
        return
    if "limits" in table:
        yield ("responder", "limits"), table["limits"], _names(ResponderLimits)
    for number, row in enumerate(_rows(table, "ca")):
        yield ("responder", "ca", number), row, _names(ResponderCA)
        for inner, signer in enumerate(_rows(row, "signers")):
            yield ("responder", "ca", number, "signers", inner), signer, _names(ResponderSigner)


def inner_durations(document: Mapping[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """(path, value) of each duration in the tables within [responder]."""
    durations = {"limits": ("idle", "head", "body"), "ca": CA_DURATIONS}
    for path, table, _ in inner_tables(document):
        if isinstance(table, dict) and "signers" not in path:
            for name in durations[str(path[1])]:
                if name in table:
                    yield (*path, name), table[name]


CA_DURATIONS = ("validity", "backdate", "ahead", "delay", "archive_cutoff")


def practice_of(ca: ResponderCA) -> Practice:
    """What the profile judges."""
    from holdfast.plan.webpki import Practice

    return Practice(
        validity=ca.validity,
        backdate=ca.backdate or timedelta(0),
        noticed_within=ca.delay if ca.store else timedelta(0),
        unlisted_good=bool(ca.crls) and ca.crl_unlisted == "good",
        signed_requests_only=ca.signed_requests == "required",
    )


def refuse_inconsistent(
    table: ResponderTable, wrong: Wrong, parse_address: Callable[[str], object]
) -> None:
    """Raise what `wrong(path, problem, hint)` makes, for the first thing that cannot be."""
    for place in table.listen:
        if "/" not in place and parse_address(place) is None:
            problem = f"listen: {place!r} is not an address"
            hint = 'write [":8888"], ["127.0.0.1:8888"] or ["/run/holdfast/ocsp.sock"]'
            raise wrong(("responder", "listen"), problem, hint)
    if table.status and parse_address(table.status) is None:
        problem = f"status: {table.status!r} is not an address"
        raise wrong(("responder", "status"), problem, 'write "127.0.0.1:9121"')
    prefixes: dict[str, int] = {}
    for number, ca in enumerate(table.ca):
        path: tuple[Step, ...] = ("responder", "ca", number)
        _one_ledger(ca, path, wrong)
        _fitting(ca, path, wrong)
        _prefixed(ca, path, wrong)
        key = ca.prefix.rstrip("/")
        if key and key in prefixes:
            hint = "give each its own, or leave prefix out: then the CertID tells them apart"
            raise wrong((*path, "prefix"), f"prefix: two CAs answer under {key!r}", hint)
        prefixes[key] = number
        if ca.profile == "webpki":
            from holdfast.plan.webpki import breaches

            for breach in breaches(practice_of(ca)):
                raise wrong((*path, breach.key), breach.message, breach.hint)


def _one_ledger(ca: ResponderCA, path: tuple[Step, ...], wrong: Wrong) -> None:
    given = [key for key in LEDGERS if getattr(ca, key)]
    if not given:
        problem = "no ledger: what did the CA issue and revoke?"
        hint = 'add index = "index.txt", ledger = "...", crls = ["..."] or responses = "..."'
        raise wrong(path, problem, hint)
    if len(given) > 1:
        problem = f"{given[1]}: {' and '.join(given)} are {len(given)} ledgers for one CA"
        raise wrong((*path, given[1]), problem, "give one of them")
    if ca.ledger_query and not ca.ledger:
        hint = 'add ledger = "postgresql://..."'
        raise wrong((*path, "ledger_query"), "ledger_query: without the database to ask", hint)
    if ca.crls and ca.compare_crls:
        problem = "compare_crls: beside crls, which are the ledger itself"
        raise wrong((*path, "compare_crls"), problem, "put all of them into crls")
    if not ca.crls and ca.crl_unlisted != "unauthorized":
        hint = "leave crl_unlisted out, or add crls"
        raise wrong((*path, "crl_unlisted"), "crl_unlisted: without crls", hint)
    if ca.crl_issuers and not (ca.crls or ca.compare_crls):
        hint = "leave crl_issuers out, or add crls"
        raise wrong((*path, "crl_issuers"), "crl_issuers: without crls", hint)
    if not ca.responses:
        return
    for key in ("signer", "signers", "key", "store", "compare_crls"):
        if getattr(ca, key):
            problem = f"{key}: beside responses, which are signed already"
            raise wrong((*path, key), problem, f"leave {key} out, or give a ledger instead")
    for key, usual in _OF_SIGNING.items():
        if getattr(ca, key) != usual:
            problem = f"{key}: beside responses, which are given to all as they are"
            raise wrong((*path, key), problem, f"leave {key} out, or give a ledger instead")


def _fitting(ca: ResponderCA, path: tuple[Step, ...], wrong: Wrong) -> None:
    if ca.crls and ca.never_issued == "revoked":
        problem = (
            "never_issued: with crls every valid certificate would be answered revoked, because a "
            "CRL does not tell what was issued"
        )
        hint = 'write never_issued = "unauthorized" or "unknown", or crl_unlisted = "good"'
        raise wrong((*path, "never_issued"), problem, hint)
    if ca.signer and ca.signers:
        hint = "leave signer out, and list it among signers"
        raise wrong((*path, "signer"), "signer: one, beside several", hint)
    if ca.signers and ca.key:
        hint = "leave key out: each of signers has its own"
        raise wrong((*path, "key"), "key: of the CA itself, beside signers", hint)
    _of_tokens(ca, path, wrong)
    if not ca.hashes or len(set(ca.hashes)) != len(ca.hashes):
        raise wrong((*path, "hashes"), "hashes: each once, and at least one", 'write ["sha1"]')
    if (ca.signed_requests == "ignored") is bool(ca.requestors):
        key = "requestors" if ca.requestors else "signed_requests"
        hint = 'write signed_requests = "verified" or "required", and requestors = ["who.pem"]'
        raise wrong((*path, key), f"{key}: signatures are judged, or nobody is named", hint)
    if ca.compromised is not None and ca.compromised.tzinfo is None:
        hint = "write it in UTC, as 2026-03-01T12:00:00Z"
        raise wrong((*path, "compromised"), "compromised: without a time zone", hint)


def _of_tokens(ca: ResponderCA, path: tuple[Step, ...], wrong: Wrong) -> None:
    places: list[tuple[tuple[Step, ...], ResponderCA | ResponderSigner]] = [(path, ca)]
    places += [((*path, "signers", number), one) for number, one in enumerate(ca.signers)]
    for where, one in places:
        if one.sessions != SESSIONS and not one.key.startswith("pkcs11:"):
            hint = "leave sessions out: a key in a file is used by each worker, and needs none"
            raise wrong((*where, "sessions"), "sessions: without a pkcs11: key beside it", hint)


def _prefixed(ca: ResponderCA, path: tuple[Step, ...], wrong: Wrong) -> None:
    prefix = ca.prefix
    if prefix and (not prefix.startswith("/") or not prefix.isascii() or set(prefix) & set(" ?#%")):
        hint = 'begin with a slash, as "/ca1", and leave out blanks, ?, # and %'
        raise wrong((*path, "prefix"), f"prefix: {prefix!r} is not a path", hint)


def placed_responder(table: ResponderTable, placed: Callable[[str], str]) -> ResponderTable:
    """`table` with every relative path made absolute by `placed`, a `signer` among `signers`."""

    def key(text: str) -> str:
        return text if text.startswith(NO_PATHS) else placed(text)

    def url(text: str) -> str:
        return text if "://" in text else placed(text)

    def one(ca: ResponderCA) -> ResponderCA:
        if ca.signer:
            alone = ResponderSigner(
                certificate=ca.signer,
                key=ca.key,
                passphrase_file=ca.passphrase_file,
                sessions=ca.sessions,
            )
            ca = structs.replace(ca, signer="", signers=[alone], key="", passphrase_file="")
        files = ("certificate", "index", "ledger_query", "responses", "store")
        return structs.replace(
            ca,
            key=key(ca.key),
            passphrase_file=key(ca.passphrase_file),
            ledger=url(ca.ledger),
            crls=[url(text) for text in ca.crls],
            compare_crls=[url(text) for text in ca.compare_crls],
            crl_issuers=[placed(text) for text in ca.crl_issuers],
            requestors=[placed(text) for text in ca.requestors],
            signers=[
                structs.replace(
                    signer,
                    certificate=placed(signer.certificate),
                    key=key(signer.key),
                    passphrase_file=key(signer.passphrase_file),
                )
                for signer in ca.signers
            ],
            **{name: placed(getattr(ca, name)) for name in files},
        )

    return structs.replace(
        table,
        listen=[placed(text) if "/" in text else text for text in table.listen],
        audit=table.audit if table.audit == "journal" else placed(table.audit),
        ca=[one(ca) for ca in table.ca],
    )


def _names(kind: type[Struct]) -> list[str]:
    return [field.name for field in structs.fields(kind)]


def _rows(table: Any, key: str) -> list[Any]:
    rows = table.get(key) if isinstance(table, dict) else None
    return rows if isinstance(rows, list) else []
