"""Which cure mends which finding on which server: a table of codes, and a patch for each.

Laws: pure; a finding that its CA, its network or its clock must mend gets no patch of a server; a
server of this machine gets commands with its own paths, others the lines for a person too; of a
server that is not known the short set for each is told. Sources: mod_ssl's and mod_md's manuals,
ngx_http_ssl_module, HAProxy's configuration manual 5.1 and 5.2, Microsoft's SCHANNEL settings,
Caddy's `tls` directive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast.ocsp.findings import Finding
from holdfast.plan.cure import CertificateFile, Cure, Edit, Here, Run, Say, ServerSeen, Step
from holdfast.plan.report import LeafReport, ResponderReport
from holdfast.plan.server_lines import (
    BLANKS,
    chain_by_hand,
    protocols,
    reload_words,
    stapling_by_hand,
)
from holdfast.plan.software import Kind

NO_STAPLE = frozenset(
    {"staple-missing", "must-staple-without-staple", "staple-intermittent", "staple-differs"}
)
BAD_STAPLE = frozenset(
    {
        "staple-malformed",
        "staple-error-response",
        "staple-bad-signature",
        "staple-signer-unauthorised",
        "staple-signer-expired",
        "staple-wrong-certificate",
        "staple-expired",
        "staple-not-yet-valid",
        "staple-too-old",
        "staple-near-expiry",
        "staple-unknown",
        "staple-certid-sha256",
        "responder-disagrees",
    }
)
"""What the server sends; where the responder has better, the server is to be mended."""
CHAIN = frozenset({"chain-incomplete", "chain-out-of-order", "chain-superfluous"})
VERSION = frozenset({"tls-version-old"})
CERTIFICATE = frozenset(
    {
        "certificate-expired",
        "certificate-revoked-by-crl",
        "certificate-name-mismatch",
        "staple-revoked",
        "must-staple-without-responder",
        "chain-weak-key",
        "chain-weak-signature",
    }
)
LIVE = "/etc/letsencrypt/live/"  # certbot's, which a renewal follows
RELAY = re.compile(r"http://(127\.[0-9.]+|\[::1\]|localhost):\d+/ocsp")  # as setup writes it
SHORT_SET: tuple[Kind, ...] = ("apache", "nginx", "haproxy", "iis", "caddy")
SET_UP = ("apache", "nginx", "haproxy")  # by `holdfast setup`


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a cure is made from. `target`: as it was written."""

    target: str
    server: ServerSeen
    leaves: tuple[LeafReport, ...] = ()
    responders: tuple[ResponderReport, ...] = ()

    @property
    def here(self) -> Here | None:
        return self.server.here


Maker = Callable[[Kind, Case], Cure | None]


def cures(findings: Sequence[Finding], case: Case) -> Mapping[str, tuple[Cure, ...]]:
    """By a finding's code; a code that no server can mend is left out."""
    name = case.server.software.name
    kinds = SHORT_SET if name == "unknown" else (name,)
    found: dict[str, tuple[Cure, ...]] = {}
    for code in dict.fromkeys(one.code for one in findings):
        make = _maker(code, case)
        if make is None:
            continue
        made = [cure for kind in kinds if (cure := make(kind, case)) is not None]
        if made:
            found[code] = tuple(made)
    return found


def _at_once(kind: Kind, case: Case) -> Cure:
    """A staple in every handshake, the first as well."""
    cure = _stapling(kind, case)
    if kind != "nginx":
        return cure
    say = (
        "alone nginx has none for the first handshakes of each worker after a start: with "
        "`holdfast keep` running, the same command wires it to the keeper, which has it ready"
    )
    return replace(cure, steps=(*cure.steps, Say(say)))


def _maker(code: str, case: Case) -> Maker | None:
    if code in CERTIFICATE:
        return _certificate
    if code in NO_STAPLE:
        return _stapling if code == "staple-missing" else _at_once
    if code in BAD_STAPLE:
        return _renewed_staple if _better_is_to_be_had(case) else None
    if code in CHAIN:
        return _chain
    return _version if code in VERSION else None


def _better_is_to_be_had(case: Case) -> bool:
    """Whether a responder gives a valid answer now; also where none was asked."""
    return not case.responders or any(one.certificate_status for one in case.responders)


# -- stapling ---------------------------------------------------------------------------------


def _stapling(kind: Kind, case: Case) -> Cure:
    """Stapling turned on."""
    steps: list[Step] = []
    here = case.here
    if here is not None and kind in SET_UP:
        steps += _own_responder(here)
    if kind in SET_UP:
        steps.append(Run(setup_words(kind, case)))
    elif kind == "iis":
        steps.append(Run(("holdfast", "setup", "iis")))
    if here is not None:
        return _cure(kind, case, steps)
    short = case.server.software.name == "unknown" and bool(steps)
    return _cure(kind, case, steps, () if short else stapling_by_hand(kind))


def _renewed_staple(kind: Kind, case: Case) -> Cure:
    """A bad staple forgotten: Apache and nginx hold theirs until they are reloaded, and setup
    would look at it as it is."""
    here, cure = case.here, _stapling(kind, case)
    if here is None or kind not in ("apache", "nginx"):
        return cure
    *before, last = cure.steps
    return replace(cure, steps=(*before, Run(here.reload), last))


def _own_responder(here: Here) -> list[Step]:
    """A line that has it ask another responder than the certificate names, but for a keeper's
    relay, taken out."""
    found = re.search(r"\bhttps?://\S+", here.stapling)
    if found is None or here.block is None or RELAY.fullmatch(found[0]):
        return []
    file, line = here.block
    word = "SSLStaplingForceURL" if here.kind == "apache" else "ssl_stapling_responder"
    where = "the <VirtualHost>" if here.kind == "apache" else "the server block"
    return [Edit(file=file, line=line, where=where, out=(word,))]


def setup_words(kind: Kind, case: Case) -> tuple[str, ...]:
    """`holdfast setup` for what is known of the server."""
    words = ["holdfast", "setup", kind]
    here = case.here
    if here is not None:
        for option, value in (
            ("--config", here.config),
            ("--program", here.program),
            ("--pid-file", here.pid_file),
            ("--site", here.site),
            ("--issuer", case.server.issuers),
        ):
            words += [option, value] if value else []
    return (*words, "--mend")


# -- the chain --------------------------------------------------------------------------------


def _chain(kind: Kind, case: Case) -> Cure:
    here = case.here
    if here is not None and here.files and kind in SET_UP:
        steps = [step for file in here.files for step in _chain_here(here, file, case)]
        return _cure(kind, case, [*steps, *_taken_up(here)])
    save = Run(("holdfast", "check", case.target, "--save-chain", "CHAIN.pem"))
    if case.server.software.name == "unknown":
        return _cure(kind, case, [save, *chain_by_hand(kind)[:1]])
    return _cure(kind, case, [save, *chain_by_hand(kind), *map(Run, reload_words(kind))])


def _chain_here(here: Here, file: CertificateFile, case: Case) -> list[Step]:
    """The file made whole, in order and without what nobody needs; a key in it is never lost."""
    sources = [file.path, *file.more]
    if any(not leaf.complete and not leaf.missing for leaf in case.leaves):
        sources.append("ISSUER.crt")  # nobody could fetch it
    steps: list[Step] = []
    to = file.path
    if file.key_inside and here.kind == "haproxy":
        # HAProxy takes the key from there, and openssl makes files of keys for their owner alone
        steps.append(Run(("openssl", "pkey", "-in", file.path, "-out", f"{file.path}.key")))
    elif file.key_inside:
        to = f"{file.path}.chain.pem"
    steps.append(Run(("holdfast", "bundle", *sources, "--aia", "--no-root", "-o", to)))
    if here.kind == "apache" and file.more and here.block is not None:
        name, line = here.block
        where = "the <VirtualHost>"
        steps.append(Edit(file=name, line=line, where=where, out=("SSLCertificateChainFile",)))
    if to != file.path:
        name, line = file.at
        word = "SSLCertificateFile {}" if here.kind == "apache" else "ssl_certificate {};"
        steps.append(Edit(file=name, line=line, where=name, put=(word.format(to),), instead=True))
    return steps


# -- the version of TLS, and the certificate ----------------------------------------------------


def _version(kind: Kind, case: Case) -> Cure:
    here = case.here
    edit = protocols(kind, here)
    last = _taken_up(here) if here is not None else list(map(Run, reload_words(kind)))
    if case.server.software.name == "unknown":
        return _cure(kind, case, edit)
    return _cure(kind, case, [*edit, *last])


def _certificate(kind: Kind, case: Case) -> Cure | None:
    here = case.here
    if here is None or not here.files:
        return None  # who issued it, and with what, cannot be seen from outside
    steps = [step for file in here.files for step in _renewal(file)]
    return _cure(kind, case, [*steps, *_taken_up(here)])


def _renewal(file: CertificateFile) -> list[Step]:
    if file.renewed:
        return [Say(f"{file.path} holds another certificate, in date: only a reload is missing")]
    if file.path.startswith(LIVE):
        name = file.path.removeprefix(LIVE).partition("/")[0]
        return [Run(("certbot", "renew", "--cert-name", name, "--force-renewal"))]
    say = f"put the new certificate, and its chain after it, into {file.path}, and its key"
    return [Say(say + (" there too" if file.key_inside else " where the old one is"))]


def _taken_up(here: Here) -> list[Run]:
    return [Run(words) for words in (here.test, here.reload) if words]


# -- pieces -----------------------------------------------------------------------------------


def _cure(kind: Kind, case: Case, steps: Sequence[Step], by_hand: Sequence[Step] = ()) -> Cure:
    here = case.here
    called = {"apache": "Apache", "haproxy": "HAProxy", "iis": "IIS", "caddy": "Caddy"}
    where = f"{called.get(kind, kind)}, on its machine"
    if here is not None:
        where = f"{called.get(kind, kind)}, on this machine (process {here.pid})"
    elif case.server.software.name == "unknown":
        where = f"if it is {called.get(kind, kind)}"
    issuer = next((one.proper[-1].issuer for one in case.leaves if not one.complete), "")
    blanks = {**BLANKS, "ISSUER.crt": f"the certificate of {_printable(issuer)}, from the CA"}
    return Cure(
        server=kind,
        where=where,
        steps=tuple(steps),
        by_hand=tuple(by_hand),
        blanks=tuple(
            (name, means)
            for name, means in blanks.items()
            if any(name in line for step in (*steps, *by_hand) for line in step.lines())
        ),
    )


def _printable(name: str) -> str:
    """A name that somebody else chose, on one line."""
    return "".join(c if c.isprintable() else "?" for c in name)
