"""Apache's own words about TLS and stapling, as troubles with a place and a cure.

Laws: pure; a line is explained by one row of the table, the first that fits; lines that have
nothing to do with TLS or stapling are nothing. Wordings of 2.3.3 to 2.4.71: ssl_util_stapling.c,
ssl_util_ocsp.c, ssl_engine_init.c, ssl_engine_config.c; before 2.4 they have no numbers.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.conf.apache_stapling import STAPLING
from holdfast.setup.words import Place, Trouble

MAX_SAID = 1000  # characters

_STAMP = re.compile(r"^(?:\[[^\]]*\] )+")
_SYNTAX = re.compile(r"[Ss]yntax error on line (\d+) of (.*?):(?=\s|$)")
_MACRO = re.compile(r'macro \'[^\']*\' \(defined on line (\d+) of "([^"]*)"\).*', re.DOTALL)
_INVALID = re.compile(r"Invalid command '([^']*)'")
_NEARLY = 0.85


@dataclass(frozen=True, slots=True)
class Row:
    """What a line looks like, and what it means: `{0}` is the first group of the pattern.
    `fatal`: Apache does not start, or takes the configuration not up."""

    pattern: re.Pattern[str]
    code: str
    message: str
    hint: str
    fatal: bool = False


def _row(pattern: str, code: str, message: str, hint: str, *, fatal: bool = False) -> Row:
    return Row(re.compile(pattern), code, message, hint, fatal)


LOG = (
    _row(
        r"AH02217|ssl_stapling_init_cert: [Cc]an't retrieve issuer certificate",
        "apache-issuer-missing",
        "Apache does not find the certificate's issuer, and so cannot ask about it",
        "append the issuer to the file of SSLCertificateFile (before 2.4.8: of "
        "SSLCertificateChainFile)",
    ),
    _row(
        r"AH02218|AH02814|ssl_stapling_init_cert: no (?:responder URL|OCSP URI)|AH02621",
        "no-responder",
        "the certificate names no OCSP responder, so Apache has nobody to ask",
        "the CA does not do OCSP, which is no fault: take the stapling lines out (--prune), or "
        "name a responder with SSLStaplingForceURL",
    ),
    _row(
        r"AH02815",
        "apache-certid",
        "Apache could not make a question about the certificate",
        "look at the certificate and its issuer: `holdfast show FILE`",
    ),
    _row(
        r"(?:AH02604: )?Unable to configure certificate (\S+?):\d+ for stapling",
        "apache-certificate-not-stapled",
        "Apache does not staple for {0}; the line before says why",
        "most often the issuer is missing in the certificate's file",
    ),
    _row(
        r"AH02235|Unable to configure server certificate for stapling",
        "apache-certificate-not-stapled",
        "Apache does not staple for a certificate; the line before says why",
        "most often the issuer is missing in the certificate's file",
    ),
    _row(
        r"AH01958|SSLStapling: no stapling cache available",
        "apache-no-cache",
        "SSLUseStapling is on and there is no SSLStaplingCache: Apache does not start",
        "add SSLStaplingCache outside every <VirtualHost>",
        fatal=True,
    ),
    _row(
        r"AH01872|Could not initialize stapling cache",
        "apache-cache-unwritable",
        "Apache cannot make the file of SSLStaplingCache",
        "let it lie in a folder that exists and that Apache may write, as its run folder",
        fatal=True,
    ),
    _row(
        r"AH01959|cannot initialise stapling mutex",
        "apache-stapling-mutex",
        "Apache cannot make the lock of its stapling cache",
        "look at Mutex in its configuration, and at the folder it names",
        fatal=True,
    ),
    _row(
        r"AH01915: Init: \((\S+?)\) You configured HTTPS\((\d+)\)",
        "apache-https-on-http-port",
        "{0} speaks TLS on port {1}, which is for plain HTTP",
        "is SSLEngine on in the virtual host that was meant?",
    ),
    _row(
        r"AH01916: Init: \((\S+?)\) You configured HTTP\((\d+)\)",
        "apache-http-on-https-port",
        "{0} speaks plain HTTP on port {1}, which is for TLS",
        "add SSLEngine on to that virtual host",
    ),
    _row(
        r"AH01926|stapling not supported for certificate",
        "apache-certificate-not-stapled",
        "Apache does not staple for a certificate; it said why when it started",
        "look for AH02217 and AH02218 where its error log tells of the start",
    ),
    _row(
        r"AH01928|OCSP stapling response too big \((\d+) bytes\)",
        "apache-response-too-big",
        "the response is larger than what Apache's cache takes, and is fetched for each handshake",
        "ask the CA for smaller responses: fewer certificates within them",
    ),
    _row(
        r"AH01929|AH01945|response session store error|error caching response",
        "apache-cache-full",
        "Apache could not keep a response in its cache",
        "give SSLStaplingCache more bytes, the number in brackets",
    ),
    _row(
        r"AH01934|stapling_check_response: Error Parsing Response",
        "apache-response-unreadable",
        "the responder sent what Apache cannot read",
        "ask it yourself: `holdfast fetch`",
    ),
    _row(
        r"AH01935|certificate ID not present in response",
        "apache-response-of-another",
        "the response is about another certificate",
        "ask the CA; `holdfast fetch` shows what the responder answers",
    ),
    _row(
        r"AH01936|response times invalid",
        "apache-response-times",
        "the response is out of date, or this machine's clock is wrong",
        "compare the clock; `holdfast fetch` shows the response's times",
    ),
    _row(
        r"AH02969: .*certificate status (\S+)",
        "apache-certificate-status",
        "the responder says of the certificate: {0}",
        "ask the CA, and get a new certificate if it was revoked",
    ),
    _row(
        r"AH01939|AH01940|Unsupported uri (\S+)|Error parsing uri (\S+)",
        "apache-https-responder",
        "Apache cannot ask at the responder's address; handshakes that ask for a staple break",
        "write http:// in SSLStaplingForceURL",
    ),
    _row(
        r"AH01972: could not resolve address of OCSP responder (\S+)",
        "responder-dns",
        "the responder's name {0} does not resolve on this machine",
        "mend name resolution, or staple with the keeper through a proxy",
    ),
    _row(
        r"AH01974: could not connect to OCSP responder '(\S+?)'",
        "responder-connect",
        "Apache cannot connect to the OCSP responder {0}",
        "let it through the firewall, or name a proxy with SSLOCSPProxyURL",
    ),
    _row(
        r"AH019(?:76|77|78|79|80|82|83|85|86|88)(?:: )?(.*)",
        "responder-http",
        "the OCSP responder did not answer as one: {0}",
        "ask it yourself: `holdfast fetch` tells proxy, firewall, HTTP and OCSP apart",
    ),
    _row(
        r"AH01944: .*responder error (\S+)",
        "responder-refuses",
        "the OCSP responder answered with an error: {0}",
        "it does not know this certificate, or is out of order: ask the CA",
    ),
    _row(
        r"AH01941|AH01943|AH01955|stapling_renew_response: responder error|"
        r"stapling_renew_response: error in ret",
        "apache-no-response",
        "Apache got no response that it could use from the responder",
        "the lines before say why; `holdfast fetch` asks the same",
    ),
    _row(
        r"AH02(?:561|562): Failed to configure certificate (\S+?)(?: \(with chain\))?, check (\S+)",
        "apache-certificate-unreadable",
        "Apache cannot use the certificate in {1}",
        "it must be PEM, the site's own certificate first; `holdfast show FILE` reads it",
        fatal=True,
    ),
    _row(
        r"AH02565: Certificate and private key \S+ from (\S+) and (\S+) do not match",
        "apache-key-mismatch",
        "the certificate in {0} and the key in {1} do not belong together",
        "the site's own certificate must be the first in its file",
        fatal=True,
    ),
    _row(
        r"AH02(?:572|573|574|579)|AH01903",
        "apache-certificate-unreadable",
        "Apache cannot use a site's certificate, chain or key",
        "look at the files that the site names: they must be there, PEM, and belong together",
        fatal=True,
    ),
    _row(
        r"AH02311|AH02312|AH00016",
        "apache-mod-ssl-fatal",
        "mod_ssl could not start, and Apache with it",
        "the lines before say why",
        fatal=True,
    ),
)

REFUSALS = (
    _row(
        r"SSLStaplingCache cannot occur within|SSLStaplingCache not allowed",
        "apache-cache-in-virtual-host",
        "SSLStaplingCache stands inside a <VirtualHost>; Apache has one cache for all",
        "move the line out of the <VirtualHost>, above it",
    ),
    _row(
        r"(SSL(?:Use)?Stapling\w*) (?:not allowed|cannot occur)[^<]*(<\w+>?)",
        "apache-stapling-in-directory",
        "{0} stands inside {1}, where Apache refuses it",
        "move it to the <VirtualHost>, or take it out",
    ),
    _row(
        r"SSLStaplingCache takes one argument",
        "apache-cache-stray-space",
        "SSLStaplingCache takes one argument: there is a stray space in it, or none",
        "write it without spaces, as shmcb:/run/apache2/ssl_stapling(128000)",
    ),
    _row(
        r"'(\S+)' stapling cache not supported",
        "apache-cache-module-missing",
        "mod_socache_{0}, which SSLStaplingCache asks for, is not loaded",
        "load it (Debian: a2enmod socache_{0})",
    ),
    _row(
        r"SSLStaplingCache: (.+)",
        "apache-cache-value",
        "SSLStaplingCache: {0}",
        "write it as shmcb:/run/apache2/ssl_stapling(128000)",
    ),
    _row(
        r"(SSL(?:Use)?Stapling\w*) must be On or Off",
        "apache-value-wrong",
        "{0} takes on or off",
        "write on or off",
    ),
    _row(
        r"SSLCertificateFile: file '([^']*)' does not exist or is empty",
        "apache-certificate-missing",
        "there is no certificate in {0}",
        "put the certificate there, or name its file",
    ),
    _row(r"(SSL\w+): (.+)", "apache-tls-refused", "{0}: {1}", "mend what it names"),
    _row(
        r"(SSL\w+) (takes .+|not allowed .+|cannot occur .+)",
        "apache-tls-refused",
        "{0} {1}",
        "mend that line",
    ),
)


def explained(line: str, places: Mapping[str, Place]) -> Trouble | None:
    """`places`: where virtual hosts are, by host:port as Apache calls them."""
    if _SYNTAX.search(line):
        trouble = refused(line)
        return trouble if trouble.code != "apache-refused" else None
    said = _said(line)
    for row in LOG:
        if found := row.pattern.search(said):
            named = next((text for text in found.groups() if text), "")
            return _trouble(row, found, said, places.get(named))
    return None


def refusals(said: str) -> tuple[Trouble, ...]:
    """What a configuration test that failed said: its mistake follows the line with its place."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if _SYNTAX.search(line):
            return (refused(" ".join(lines[number : number + 2])),)
    wrong = [line for line in lines if not line.startswith(("AH00558", "Action '", "The Apache"))]
    return (refused(wrong[-1] if wrong else ""),)


def refused(said: str) -> Trouble:
    """One refusal of the configuration, its place in the same line."""
    place, rest = _place(said)
    if found := _INVALID.search(rest):
        return _invalid(found[1], place, said)
    for row in REFUSALS:
        if found := row.pattern.search(rest):
            trouble = _trouble(row, found, _said(said), place)
            return Trouble(
                code=trouble.code,
                message=trouble.message,
                hint=trouble.hint,
                place=place,
                fatal=True,
                said=trouble.said,
            )
    return Trouble(
        code="apache-refused",
        message=f"Apache refuses its configuration: {rest.strip()[:MAX_SAID] or 'it says no why'}",
        hint="mend the line that it names",
        place=place,
        fatal=True,
        said=_said(said),
    )


def _place(said: str) -> tuple[Place | None, str]:
    """The innermost place of several, and what follows it."""
    found = list(_SYNTAX.finditer(said))
    if not found:
        return None, said
    last = found[-1]
    file, line = last[2], int(last[1])
    if macro := _MACRO.match(file):
        file, line = macro[2], int(macro[1]) + line
    return Place(Path(file), line), said[last.end() :]


def _invalid(command: str, place: Place | None, said: str) -> Trouble:
    near = difflib.get_close_matches(command.lower(), STAPLING, n=1, cutoff=_NEARLY)
    if near and command.lower() not in STAPLING:
        code = "apache-directive-misspelled"
        message = f"Apache has no directive {command}; {STAPLING[near[0]]} is meant"
        hint = f"write {STAPLING[near[0]]}"
    elif command.lower().startswith("ssl"):
        code = "apache-mod-ssl-missing"
        message = f"Apache does not know {command}: mod_ssl is not loaded"
        hint = "load it (Debian: a2enmod ssl; Red Hat: install mod_ssl)"
    else:
        code, message = "apache-refused", f"Apache has no directive {command}"
        hint = "mend it, or load the module that has it"
    return Trouble(code=code, message=message, hint=hint, place=place, fatal=True, said=_said(said))


def _trouble(row: Row, found: re.Match[str], said: str, place: Place | None) -> Trouble:
    groups = [text or "" for text in found.groups()]
    return Trouble(
        code=row.code,
        message=row.message.format(*groups),
        hint=row.hint.format(*groups),
        place=place,
        fatal=row.fatal,
        said=said,
    )


def _said(line: str) -> str:
    """Without the time and the process, which differ for the same thing."""
    return _STAMP.sub("", line.strip())[:MAX_SAID]
