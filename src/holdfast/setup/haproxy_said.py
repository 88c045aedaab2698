"""What HAProxy says, as troubles: its ALERT and WARNING lines that concern TLS and stapling.

Laws: pure; the words are those of HAProxy 2.6 (`src/ssl_ckch.c`, `src/ssl_sock.c`,
`src/cfgparse.c`) and, where they differ, of older and newer ones; the innermost file and line that
it names is the place. HAProxy itself logs to syslog: what is read here is what it prints, and the
`show startup-logs` of a running process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from holdfast.setup.words import Place, Trouble

_LINE = re.compile(r"^\s*\[(ALERT|WARNING|EMERG|NOTICE)\]\s*(?:\S+\s*)?\(\d+\)\s*: ?(.*)$")
_PLACE = re.compile(r"(?:parsing|Binding) \[([^\[\]]+):(\d+)\]")
_SUMMARY = (
    "config : Error(s) found in configuration file",
    "config : Fatal errors found in configuration",
    "[haproxy.main()]",
    "Proxy stopped",
)

Row = tuple[str, str, str, str]
"""Pattern, code, message and hint; groups of the pattern are {0}, {1} ... in the others."""

_ROWS: tuple[Row, ...] = (
    (
        r"'([^']*)\.ocsp' is present and activates OCSP but it is impossible",
        "ocsp-issuer-unknown",
        "{0}.ocsp is there, but HAProxy finds no issuer of {0}",
        "put the issuer's certificate into {0}.issuer, or into {0} after the certificate; or take "
        "{0}.ocsp away",
    ),
    (
        r"'([^']*\.issuer)' cannot be read or parsed",
        "issuer-unreadable",
        "{0} holds no PEM certificate that HAProxy can read",
        "write the issuer's certificate there as PEM: holdfast bundle ISSUER.crt -o {0}",
    ),
    (
        r"'([^']*)' is not an issuer",
        "issuer-wrong",
        "{0} did not issue the certificate that it lies beside",
        "holdfast show {0} says whose it is; write the right one there",
    ),
    (
        r"(?:No Private Key found in|unable to load (?:SSL )?private key from (?:PEM )?file) "
        r"'([^']*)'",
        "no-key",
        "no private key for the certificate in {0}, nor beside it",
        "append the key to the PEM file, or write it into its .key file",
    ),
    (
        r"inconsistencies between private key and certificate (?:loaded )?from '([^']*)'",
        "key-of-another",
        "the private key in {0} is not the certificate's",
        "put the key that the certificate was made for there",
    ),
    (
        r"unable to (?:stat|load|access|open|read) (?:the )?SSL certificate (?:from )?"
        r"(?:file |into SSL Context )?'([^']*)'(?: ?: ?([^\n]*?))?\.?$",
        "certificate-unreadable",
        "HAProxy cannot read the certificate {0}: {1}",
        "look at the path in the configuration (crt-base stands before relative ones) and at the "
        "file's rights",
    ),
    (
        r"unable to load (?:SSL )?certificate (?:chain )?from (?:PEM )?file '([^']*)'",
        "certificate-unreadable",
        "HAProxy finds no certificate in {0}",
        "it must be PEM: certificate, intermediates, key",
    ),
    (
        r"'crt-list' : (?:cannot|unable to) (?:open|load) file '([^']*)' ?: ?(.*)",
        "crt-list",
        "HAProxy cannot read the crt-list {0}: {1}",
        "look at the path on the bind line",
    ),
    (
        r"unknown (?:ssl )?keyword '?(ocsp-update(?:\.mode)?|tune\.ssl\.ocsp-update\.mode)'?",
        "too-old-for-update",
        "this HAProxy does not know {0}",
        "ocsp-update came with 2.8 for crt-lists, ocsp-update.mode with 3.0: use --mode keeper, or "
        "a newer HAProxy",
    ),
    (
        r"different parameter 'ocsp-update'",
        "update-differs",
        "a certificate has ocsp-update on at one place, and not at another",
        "say the same at every line that loads it, or ocsp-update.mode on in global",
    ),
    (
        r"unknown keyword '([^']*)' in '([^']*)' section; did you mean '([^']*)'",
        "unknown-keyword",
        "{0!r} is no keyword of a {1} section",
        "did you mean {2!r}? Correct the word",
    ),
    (
        r"unknown (?:ssl )?keyword '?([^\s']+)'?(?: in '([^']*)' section)?",
        "unknown-keyword",
        "{0!r} is no keyword here",
        "look it up in the manual of this version (haproxy -vv): it may be of a newer one, or of "
        "another section",
    ),
    (
        r"'crt-list' : parsing \[[^\]]*\]: (.*)",
        "crt-list",
        "a line of the crt-list is not right: {0}",
        "write: file [options] names",
    ),
    (
        r"(?:Certificate ID does not match|Certificate ID not match)",
        "ocsp-of-another",
        "an .ocsp file speaks of another certificate than the one it lies beside, and is ignored",
        "fetch a new one: holdfast fetch CERT.pem -o CERT.pem.ocsp; is .issuer the right issuer?",
    ),
    (
        r"OCSP single response: no longer valid",
        "ocsp-ended",
        "the response in an .ocsp file has ended, and is ignored",
        "nobody renews it: use --mode keeper, or HAProxy 2.8 or newer",
    ),
    (
        r"OCSP single response: missing nextupdate",
        "ocsp-no-next-update",
        "the response in an .ocsp file says no nextUpdate, and is ignored",
        "the CA's responder must send nextUpdate: tell the CA",
    ),
    (
        r"contains multiple single responses",
        "ocsp-several",
        "a response in an .ocsp file speaks of several certificates, and is ignored",
        "have the responder asked about one certificate at a time",
    ),
    (
        r"Loading: (.*OCSP.*?)\.?\.? Content will be ignored",
        "ocsp-ignored",
        "an .ocsp file is ignored: {0}",
        "holdfast show FILE.ocsp says what it is; setup writes a fit one",
    ),
    (
        r"cannot bind UNIX socket \(([^)]*)\) \[([^\]]*)\]",
        "socket",
        "HAProxy cannot make its admin socket {1}: {0}",
        "its folder must be there and writable before HAProxy gives up root: install -d FOLDER",
    ),
    (
        r"cannot bind (?:socket|to) [^(\[]*\(?([^)\[]*)\)? ?\[([^\]]*)\]",
        "bind",
        "HAProxy cannot listen on {1}: {0}",
        "see who does (ss -ltnp), and which addresses this machine has",
    ),
    (
        r"'stats socket' ?: ?(.*)",
        "socket",
        "the line of the admin socket is not right: {0}",
        "write: stats socket /run/haproxy/admin.sock mode 600 level admin",
    ),
    (
        r"('bind [^']*' ?(?:in section '[^']*')? ?:.*(?:ssl|crt|verify|ca-file|certificate).*)",
        "bind-line",
        "a bind line is not right: {0}",
        "mend the line",
    ),
)
_COMPILED = tuple((re.compile(pattern), code, words, hint) for pattern, code, words, hint in _ROWS)


def explained(line: str) -> Trouble | None:
    """One line as a trouble; None when it has nothing to do with TLS or stapling."""
    found = _LINE.match(line)
    if found is None or found[1] == "NOTICE":
        return None
    said = found[2].strip()
    for pattern, code, words, hint in _COMPILED:
        match = pattern.search(said)
        if match is not None:
            filled = _filling(match)
            return Trouble(
                code=f"haproxy-{code}",
                message=filled(words),
                hint=filled(hint),
                place=_place(said),
                fatal=found[1] != "WARNING",
                said=said,
            )
    return None


def refusals(said: str) -> tuple[Trouble, ...]:
    """Why a configuration test failed, by all that it printed; never nothing."""
    found = [one for one in map(explained, said.splitlines()) if one is not None and one.fatal]
    others = [_other(line) for line in _alerts(said) if explained(line) is None]
    told = [*found, *others]
    if not told:
        last = said.strip().splitlines()[-1:] or ["it printed nothing"]
        told = [_refusal(last[0].strip(), None)]
    return tuple(dict.fromkeys(told))


def warnings(said: Iterable[str]) -> tuple[Trouble, ...]:
    """What HAProxy warns of and goes on."""
    found = (explained(line) for line in said)
    return tuple(dict.fromkeys(one for one in found if one is not None and not one.fatal))


def _alerts(said: str) -> Iterator[str]:
    for line in said.splitlines():
        found = _LINE.match(line)
        grave = found is not None and found[1] in ("ALERT", "EMERG")
        if found is not None and grave and not found[2].strip().startswith(_SUMMARY):
            yield line


def _other(line: str) -> Trouble:
    found = _LINE.match(line)
    said = line.strip() if found is None else found[2].strip()
    return _refusal(said, _place(said))


def _refusal(said: str, place: Place | None) -> Trouble:
    return Trouble(
        code="haproxy-config-test",
        message=f"HAProxy refuses its configuration: {said}",
        hint="mend what it names; `haproxy -c -f FILE` says when it is well",
        place=place,
        fatal=True,
        said=said,
    )


def _filling(match: re.Match[str]) -> Callable[[str], str]:
    groups = [group or "" for group in match.groups()]
    return lambda words: words.format(*groups)


def _place(said: str) -> Place | None:
    places = _PLACE.findall(said)
    return Place(Path(places[-1][0]), int(places[-1][1])) if places else None
