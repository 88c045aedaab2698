"""nginx stapling by itself: what a site's block needs so that it does.

Laws: a trust anchor never goes into a scope that verifies clients, for there it would let in
whatever that root issued: what is missing to ask completes the certificate's own chain, and what is
missing to verify leaves `ssl_stapling_verify` out. A resolver is given only where the responder has
a name that DNS knows: nginx looks it up at its start without one, and then keeps that address until
the next reload. Sources: ngx_event_openssl_stapling.c, OCSP_basic_verify(3).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.conf.nginx_edits import Edits, quoted
from holdfast.errors import HoldfastError, Malformed
from holdfast.ocsp.response import ResponderKey, Response
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import find_issuer, order
from holdfast.setup.nginx_sites import Held, Stand, Survey
from holdfast.setup.words import Trouble

NO_RESPONDER = "no-responder-url"
Roots = Callable[[], Iterable[Certificate]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How this machine finds addresses: its name servers, and the names that its hosts file has."""

    servers: tuple[str, ...] = ()
    hosts: frozenset[str] = frozenset()


@dataclass(slots=True, kw_only=True)
class Native:
    """Decides for one site after the other; `edits` collects. `new_files`: roots to be written."""

    survey: Survey
    edits: Edits
    issuers: Mapping[str, tuple[Certificate, ...]]
    responses: Mapping[str, bytes]
    roots: Roots
    names: Names
    relay: str  # the keeper's address, which a site that is on its own does not ask
    root_file: Callable[[Stand], Path]
    new_files: dict[Path, bytes] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)

    def staple(self, stand: Stand) -> bool:
        """Turn stapling on; False when nginx could not do it there, and then nothing is done."""
        if not self.can(stand):
            return False
        server = stand.server
        if self.relay and server.block.value("ssl_stapling_responder") == self.relay:
            own = server.block.all("ssl_stapling_responder")
            for one in own:
                self.edits.take(one)
            if not own:
                self.edits.holds(server, "ssl_stapling_responder", "")
        no_file(self.edits, stand)
        self.edits.holds(server, "ssl_stapling", "on")
        self._verify(stand)
        self._resolve(stand)
        return True

    def can(self, stand: Stand) -> bool:
        """Whether nginx could; why not is told in `troubles`."""
        if stand.varies:
            return self._cannot(
                stand,
                "nginx-certificate-variable",
                "its certificate's file is named by a variable, and nginx staples only for files "
                "that it reads at its start",
                "name the file, in a server block for each certificate",
            )
        if not stand.readable:
            return False  # told as what it is
        responders = stand.responders(but=self.relay)
        if not responders:
            return self._cannot(
                stand,
                NO_RESPONDER,
                "its certificate names no OCSP responder, so nginx has nobody to ask",
                "nothing is wrong with that: the CA does not do OCSP. --prune takes stapling lines "
                "out",
            )
        wrong = [url for url in responders if not url.lower().startswith("http://")]
        if wrong:
            return self._cannot(
                stand,
                "nginx-responder-prefix",
                f"nginx asks responders by http:// only, and {wrong[0]} is not",
                "staple with the keeper, which asks for it: --mode keeper",
            )
        for one in stand.held:
            if find_issuer(one.leaf, [*self._chain(stand, one)[1:], *stand.trust]) is None:
                return self._cannot(
                    stand,
                    "nginx-issuer-missing",
                    f"the issuer of {one.leaf.subject} is neither in {one.path} nor to be found",
                    "append the issuer's certificate to that file",
                )
        return True

    def _verify(self, stand: Stand) -> None:
        server = stand.server
        if all(self._verifiable(stand, one) for one in stand.held):
            self.edits.holds(server, "ssl_stapling_verify", "on")
            return
        why, hint = self._no_trust_here(stand)
        roots = [self._root(stand, one) for one in stand.held]
        known = [root for root in roots if root is not None]
        if not why and len(known) == len(roots):
            self._trust(stand, known)
            self.edits.holds(server, "ssl_stapling_verify", "on")
            return
        if server.verified and server.on and not self._asked(stand):
            return  # it is told as it stands, and may do: the issuer itself may be the signer
        if server.verified:
            self.edits.holds(server, "ssl_stapling_verify", "off")
        if not server.block.effective("ssl_stapling_verify") or server.verified:
            self.troubles.append(
                Trouble(
                    code="nginx-verify-left-out",
                    message=f"{stand.site.name}: ssl_stapling_verify is left out: "
                    + (why or "the root of its certificate is not known here"),
                    hint=hint or "clients verify what they get; give the root to have nginx do too",
                    place=stand.site.place,
                )
            )

    def _asked(self, stand: Stand) -> bool:
        """Whether it is known how its responses are signed."""
        return all(self.responses.get(str(one.path)) for one in stand.held)

    def _no_trust_here(self, stand: Stand) -> tuple[str, str]:
        """Why ssl_trusted_certificate may not be put here, and what to do instead."""
        if stand.server.verifies_clients:
            return (
                "nginx would need the CA's root in ssl_trusted_certificate for it, and this scope "
                "verifies clients: it would let in whatever that root issued",
                "nothing is lost for clients, which verify what they get",
            )
        own = stand.server.block.all("ssl_trusted_certificate")
        if own:
            return (
                f"the root of its certificate is not in {own[-1].args[0]}",
                "append the root to that file and turn ssl_stapling_verify on",
            )
        return "", ""

    def _verifiable(self, stand: Stand, one: Held) -> bool:
        """Whether a response will verify with what there is: its root is trusted here, or it is
        signed by the issuer in the chain (OCSP_TRUSTOTHER)."""
        chain = self._chain(stand, one)
        if stand.rooted(one, chain):
            return True
        der = self.responses.get(str(one.path), b"")
        return bool(der) and len(chain) > 1 and _signed_by(der, chain[1])

    def _trust(self, stand: Stand, roots: list[Certificate]) -> None:
        first = stand.held[0]
        if len(stand.held) == 1 and roots[0] in first.file and first.path is not None:
            path = first.path
        else:
            path = self.root_file(stand)
            self.new_files[path] = pem.encode_certificates(dict.fromkeys(roots))
        self.edits.put(stand.server, f"ssl_trusted_certificate {quoted(str(path))};")

    def _root(self, stand: Stand, one: Held) -> Certificate | None:
        chain = self._chain(stand, one)
        whole = order(chain, extra=self.issuers.get(stand.site.name, ()))
        if not whole.complete:
            above = find_issuer(whole.certificates[-1], self.roots())
            return above if above is not None and above.self_issued else None
        return whole.certificates[-1] if len(whole.certificates) > 1 else None

    def _chain(self, stand: Stand, one: Held) -> tuple[Certificate, ...]:
        return (*one.file, *missing(one, self.issuers.get(stand.site.name, ())))

    def _resolve(self, stand: Stand) -> None:
        if stand.server.block.effective("resolver") or not self.names.servers:
            return
        if any(_in_dns(url, self.names.hosts) for url in stand.responders(but=self.relay)):
            self.edits.put(stand.server, f"resolver {' '.join(self.names.servers)};")

    def _cannot(self, stand: Stand, code: str, message: str, hint: str) -> bool:
        self.troubles.append(
            Trouble(
                code=code,
                message=f"{stand.site.name}: {message}",
                hint=hint,
                place=stand.site.place,
            )
        )
        return False


def no_file(edits: Edits, stand: Stand) -> None:
    """No `ssl_stapling_file` holds in the site."""
    own = stand.server.block.all("ssl_stapling_file")
    for one in own:
        edits.take(one)
    if not own and stand.server.block.value("ssl_stapling_file"):
        edits.holds(stand.server, "ssl_stapling_file", "")


def missing(one: Held, issuers: Iterable[Certificate]) -> tuple[Certificate, ...]:
    """What is to be appended to the file: the issuers that are not in it, nearest first; a root
    only where it is the certificate's own issuer, which nginx needs in order to ask."""
    whole = order(one.file[:1], extra=[*one.file[1:], *issuers]).certificates
    return tuple(
        certificate
        for number, certificate in enumerate(whole)
        if number and certificate not in one.file and (number == 1 or not certificate.self_issued)
    )


def completed(data: bytes, more: Iterable[Certificate]) -> bytes:
    """A PEM file with `more` at its end."""
    end = b"\r\n" if b"\r\n" in data else b"\n"
    block = pem.encode_certificates(more).replace(b"\n", end)
    return data + (b"" if data.endswith(b"\n") else end) + block


def _signed_by(der: bytes, issuer: Certificate) -> bool:
    try:
        basic = Response.parse(der).basic
    except Malformed:
        return False
    if basic is None:
        return False
    if isinstance(basic.responder_id, ResponderKey):
        return basic.responder_id.key_hash == issuer.key_sha1
    return basic.responder_id.name == issuer.subject_der


def _in_dns(url: str, hosts: frozenset[str]) -> bool:
    """Whether `url` has a name that name servers know: neither an address nor this machine's."""
    try:
        host = urlsplit(url).hostname or ""
        ipaddress.ip_address(host)
    except HoldfastError:
        return False
    except ValueError:
        return "." in host.rstrip(".") and host not in hosts
    return False
