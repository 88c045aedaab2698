"""nginx's own words about TLS and stapling, as troubles with a place and a cure.

Laws: pure; a line is explained by one row of the table, the first that fits; lines that have
nothing to do with TLS or stapling are nothing. `[emerg]` is what keeps nginx from taking a
configuration. Wordings of 1.3.7 to 1.29: ngx_event_openssl_stapling.c, ngx_event_openssl.c,
ngx_http_ssl_module.c, ngx_conf_file.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.setup.words import Place, Trouble

MAX_SAID = 1000  # characters

_PLACE = re.compile(r" in (/[^\n]*?):(\d+)$")
_LEVEL = re.compile(r"\[(debug|info|notice|warn|error|crit|alert|emerg)\]")
_TIME = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ")
_PROCESS = re.compile(r"^\d+#\d+: (?:\*\d+ )?")
_CERTIFICATE = re.compile(r'(?:certificate:? |in the certificate )"([^"]+)"')
_ABOUT_TLS = re.compile(r'"ssl_|"ssl"|certificate|OCSP|stapl|SSL_CTX|SSL_load', re.IGNORECASE)
GRAVE = ("emerg", "alert", "crit")


@dataclass(frozen=True, slots=True)
class Row:
    """What a line looks like, and what it means: `{0}` is the first group of the pattern."""

    pattern: re.Pattern[str]
    code: str
    message: str
    hint: str


def _row(pattern: str, code: str, message: str, hint: str) -> Row:
    return Row(re.compile(pattern), code, message, hint)


ROWS = (
    _row(
        r'"ssl_stapling" ignored, issuer certificate not found',
        "nginx-issuer-missing",
        "nginx does not know the certificate's issuer, and so cannot ask about it",
        "append the issuer to the ssl_certificate file, after the certificate",
    ),
    _row(
        r'"ssl_stapling" ignored, no OCSP responder URL',
        "no-responder-url",
        "the certificate names no OCSP responder, so nginx has nobody to ask",
        "the CA does not do OCSP, which is no fault: take ssl_stapling out (--prune), or name a "
        "responder with ssl_stapling_responder",
    ),
    _row(
        r'"ssl_stapling" ignored, host not found in OCSP responder "([^"]*)"',
        "nginx-responder-host",
        "the responder's name {0} was not found when nginx read its configuration, and stapling is "
        "off until the next reload",
        "make the name resolve on this machine, then reload nginx",
    ),
    _row(
        r'"ssl_stapling" ignored, invalid URL prefix in OCSP responder "([^"]*)"',
        "nginx-responder-prefix",
        "nginx asks responders by http:// only, and {0} is not",
        "give an http:// address in ssl_stapling_responder, or staple with the keeper",
    ),
    _row(
        r'"ssl_stapling" ignored, (.+?) in OCSP responder "([^"]*)"',
        "nginx-responder-address",
        "nginx cannot use the responder's address {1}: {0}",
        "give another in ssl_stapling_responder, or staple with the keeper",
    ),
    _row(
        r'"ssl_stapling" ignored',
        "nginx-stapling-ignored",
        "nginx does not staple for this certificate",
        "its words say why",
    ),
    _row(
        r"OCSP_basic_verify\(\) failed",
        "nginx-response-unverified",
        "nginx threw a response away: it could not verify its signature up to a root",
        "name the root in ssl_trusted_certificate where no client is verified, else turn "
        "ssl_stapling_verify off",
    ),
    _row(
        r"no resolver defined to resolve (\S+?),?(?: while|$)",
        "nginx-no-resolver",
        "nginx keeps the address that {0} had when it was started, for want of a resolver",
        "add `resolver ADDRESS;` with a name server's address",
    ),
    _row(
        r"(\S+) could not be resolved \((.+?)\).*requesting certificate status",
        "nginx-responder-unresolved",
        "nginx's resolver does not find the responder's name {0}: {1}",
        "name a server that knows it in resolver; nginx does not read /etc/hosts",
    ),
    _row(
        r"OCSP responder timed out",
        "nginx-responder-timeout",
        "the OCSP responder did not answer in time",
        "look whether this machine may reach it: firewall, proxy",
    ),
    _row(
        r"OCSP response not successful \((.+?)\)",
        "nginx-responder-refuses",
        "the OCSP responder answered with an error: {0}",
        "ask the CA: it does not answer for this certificate (unauthorized) or not now (try later)",
    ),
    _row(
        r'certificate status "(.+?)" in the OCSP response',
        "nginx-status",
        "the responder says that the certificate is {0}, which nginx never staples",
        "replace the certificate",
    ),
    _row(
        r"certificate status not found in the OCSP response",
        "nginx-other-certificate",
        "the responder answered about another certificate",
        "ask the CA; is ssl_stapling_responder the right one?",
    ),
    _row(
        r"OCSP_check_validity\(\) failed",
        "nginx-response-outdated",
        "the responder's answer is past its end, or not valid yet",
        "look at this machine's clock; if it is right, ask the CA",
    ),
    _row(
        r"OCSP responder sent invalid|d2i_OCSP_RESPONSE\(\) failed|OCSP responder prematurely",
        "nginx-not-ocsp",
        "what the responder's address answers is no OCSP response",
        "look with `holdfast fetch` at what it says: a proxy's page, a captive portal?",
    ),
    _row(
        r"failed \((.+?)\) while requesting certificate status",
        "nginx-responder-unreachable",
        "nginx cannot reach the OCSP responder: {0}",
        "look whether this machine may reach it: firewall, proxy, address",
    ),
    _row(
        r"while requesting certificate status",
        "nginx-fetch-failed",
        "nginx could not get a response",
        "its words say why",
    ),
    _row(
        r'"(ssl_stapling\w*)" directive is duplicate',
        "nginx-duplicate",
        "{0} stands twice in one block",
        "keep one of them; a keeper's include file counts too",
    ),
    _row(
        r'"(ssl_stapling\w*|ssl_trusted_certificate)" directive is not allowed here',
        "nginx-wrong-context",
        "{0} does not belong into this block",
        "it belongs into a server block, or into http for all of them",
    ),
    _row(
        r'unknown directive "(s[sl]+[_-]?st\w*|ssl_\w*)"',
        "nginx-misspelled",
        "nginx knows no directive {0}",
        "a typing error? The stapling directives are ssl_stapling, ssl_stapling_verify, "
        "ssl_stapling_file and ssl_stapling_responder",
    ),
    _row(
        r'invalid value "(.*?)" in "(ssl_\w+)" directive',
        "nginx-bad-value",
        '{1} does not take "{0}"',
        'it must be "on" or "off"',
    ),
    _row(
        r'invalid number of arguments in "(ssl_\w+)" directive',
        "nginx-bad-value",
        "{0} has too few or too many arguments",
        'look for a missing ";" at its end',
    ),
    _row(
        r"key values mismatch",
        "nginx-key-mismatch",
        "the private key does not belong to the certificate",
        "the ssl_certificate file must begin with the site's own certificate, not with an issuer",
    ),
    _row(
        r'cannot load certificate key "([^"]+)"',
        "nginx-key-unreadable",
        "the private key {0} cannot be read",
        "put it there (PEM), or mend the path in ssl_certificate_key",
    ),
    _row(
        r'cannot load certificate "([^"]+)".*No such file',
        "nginx-certificate-missing",
        "the certificate {0} is not there",
        "put it there (PEM, leaf first), or mend the path in ssl_certificate",
    ),
    _row(
        r'cannot load certificate "([^"]+)"|SSL_CTX_use_certificate\w*\("([^"]+)"\) failed',
        "nginx-certificate-unreadable",
        "the certificate {0} cannot be read",
        "nginx reads PEM only, leaf first",
    ),
    _row(
        r'SSL_CTX_load_verify_locations\("([^"]+)"\) failed|SSL_load_client_CA_file\("([^"]+)"\)',
        "nginx-trust-unreadable",
        "the file of trusted certificates {0} cannot be read",
        "put it there (PEM), or take the directive out",
    ),
    _row(
        r'BIO_new_file\("([^"]+)"\) failed',
        "nginx-staple-file-missing",
        "the file {0} cannot be read",
        "put a response there, or take ssl_stapling_file out",
    ),
    _row(
        r'd2i_OCSP_RESPONSE_bio\("([^"]+)"\) failed',
        "nginx-staple-file-bad",
        "the file {0} is no OCSP response",
        "write a response there in DER, or take ssl_stapling_file out",
    ),
    _row(
        r'no "ssl_certificate" is defined',
        "nginx-no-certificate",
        "a server listens with ssl and has no certificate",
        "add ssl_certificate and ssl_certificate_key",
    ),
    _row(
        r'the "ssl" parameter requires ngx_http_ssl_module',
        "nginx-no-tls",
        "this nginx was built without TLS",
        "install a build with --with-http_ssl_module",
    ),
)

_UNEXPLAINED = Row(
    re.compile(""), "nginx-refused", "nginx refuses its configuration", "mend the line it names"
)


def explained(line: str) -> Trouble | None:
    """One line of nginx's output or error log; None when it is not about TLS or stapling."""
    words = said(line)
    for row in ROWS:
        if found := row.pattern.search(words):
            return _trouble(row, found, line, words)
    if level(line) in GRAVE and _ABOUT_TLS.search(words):
        return _trouble(_UNEXPLAINED, None, line, words)
    return None


def refusals(printed: str) -> tuple[Trouble, ...]:
    """Why `nginx -t` failed, whatever it is about; all of them fatal."""
    return tuple(_refusals(printed.splitlines())) or (
        Trouble(
            code="nginx-refused",
            message="nginx refuses its configuration, without saying why",
            hint="run `nginx -t`",
            fatal=True,
            said=printed.strip()[-MAX_SAID:],
        ),
    )


def _refusals(lines: Iterable[str]) -> Iterator[Trouble]:
    for line in lines:
        if level(line) not in GRAVE:
            continue
        words = said(line)
        fitting = ((row, row.pattern.search(words)) for row in ROWS)
        row, found = next(((r, f) for r, f in fitting if f), (_UNEXPLAINED, None))
        yield _trouble(row, found, line, words)


def level(line: str) -> str:
    """How grave nginx thinks it is: "emerg"; "" when the line has none."""
    found = _LEVEL.search(line)
    return found[1] if found else ""


def said(line: str) -> str:
    """The words of a line, without time, level and process."""
    words = _TIME.sub("", line.strip().removeprefix("nginx: "))
    words = _LEVEL.sub("", words, count=1).strip()
    return _PROCESS.sub("", words)[:MAX_SAID]


def _trouble(row: Row, found: re.Match[str] | None, line: str, words: str) -> Trouble:
    groups = [group for group in found.groups() if group is not None] if found else []
    at = _PLACE.search(words)
    message = row.message.format(*groups)
    if row is _UNEXPLAINED:
        message = f"{message}: {words}"
    about = _CERTIFICATE.search(words)
    if about and about[1] not in message:
        message = f"{message} ({about[1]})"
    return Trouble(
        code=row.code,
        message=message,
        hint=row.hint,
        place=Place(Path(at[1]), int(at[2])) if at else None,
        fatal=level(line) in GRAVE,
        said=words,
    )
