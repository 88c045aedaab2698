"""What HAProxy says, as it says it: 2.6's own lines, and some of older and newer versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.setup.haproxy_said import explained, refusals, warnings
from holdfast.setup.words import Place

BIND = "config : parsing [h.cfg:9] : 'bind 127.0.0.1:18443' in section 'frontend'"
ALERTS = {
    "ocsp-issuer-unknown": f"{BIND} :  '/c/x.pem.ocsp' is present and activates OCSP but it is "
    "impossible to compute the OCSP certificate ID (maybe the issuer could not be found)'.",
    "issuer-unreadable": f"{BIND} : '/c/x.pem.issuer' cannot be read or parsed'.",
    "no-key": f"{BIND} : No Private Key found in '/c/x.pem.key'.",
    "certificate-unreadable": f"{BIND} : unable to stat SSL certificate from file '/c/x.pem' : No "
    "such file or directory.",
    "too-old-for-update": "config : parsing [h.cfg:9] : unknown keyword 'ocsp-update.mode' in "
    "'global' section",
    "unknown-keyword": "config : parsing [h.cfg:9] : unknown keyword 'stas' in 'global' section; "
    "did you mean 'stats' maybe ?",
    "socket": "config : parsing [h.cfg:9] : 'stats socket' : ''user' : unknown user name 'x''",
    "update-differs": f"{BIND} : '/c/x.pem' different parameter 'ocsp-update', previously 'off'.",
}


@pytest.mark.parametrize("code", ALERTS)
def test_an_alert_has_place_and_cure(code: str) -> None:
    trouble = explained(f"[ALERT]    (6949) : {ALERTS[code]}")
    assert trouble is not None
    assert trouble.code == f"haproxy-{code}"
    assert trouble.fatal
    assert trouble.hint
    assert trouble.place == Place(Path("h.cfg"), 9)
    assert trouble.said == ALERTS[code].strip()
    assert "{" not in trouble.message + trouble.hint


def test_the_form_of_older_versions() -> None:
    line = (
        "[ALERT] 330/070931 (6949) : parsing [h.cfg:9] : 'bind :443' : unable to load SSL private "
        "key from PEM file '/c/x.pem'."
    )
    trouble = explained(line)
    assert trouble is not None
    assert trouble.place == Place(Path("h.cfg"), 9)


def test_the_innermost_place_counts() -> None:
    line = (
        "[ALERT]    (1) : config : parsing [h.cfg:5] : 'bind :444' in section 'frontend' : "
        "'crt-list' : parsing [/c/l.txt:7]: too many '['"
    )
    trouble = explained(line)
    assert trouble is not None
    assert trouble.code == "haproxy-crt-list"
    assert trouble.place == Place(Path("/c/l.txt"), 7)
    unknown = explained(line.replace("too many '['", "unknown ssl keyword ocsp-update"))
    assert unknown is not None
    assert unknown.code == "haproxy-too-old-for-update"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            "OCSP single response: Certificate ID does not match certificate and issuer.",
            "of-another",
        ),
        ("OCSP single response: no longer valid..", "ended"),
        ("OCSP single response: missing nextupdate.", "no-next-update"),
        ("OCSP response ignored because contains multiple single responses (2).", "several"),
        ("Unable to parse OCSP response.", "ignored"),
        ("OCSP single response: certificate status is unknown.", "ignored"),
    ],
)
def test_a_warning_is_told_and_not_fatal(said: str, code: str) -> None:
    line = f"[WARNING]  (6982) : config : Loading: {said} Content will be ignored."
    trouble = explained(line)
    assert trouble is not None
    assert trouble.code == f"haproxy-ocsp-{code}"
    assert not trouble.fatal
    assert trouble.hint
    assert warnings([line, line]) == (trouble,)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[NOTICE]   (6949) : path to executable is /usr/sbin/haproxy",
        "[WARNING]  (1) : config : missing timeouts for frontend 'f'.",
        "   | While not properly invalid, you will certainly encounter various problems",
        "Configuration file is valid",
        "Nov 26 12:00:00 host haproxy[1]: 10.0.0.1:1 [..] tls~ app/s 0/0/0/1/1 200",
    ],
)
def test_what_has_nothing_to_do_with_it(line: str) -> None:
    assert explained(line) is None


def test_a_refusal_is_never_without_a_reason() -> None:
    printed = (
        "[NOTICE]   (1) : haproxy version is 2.6.12\n"
        "[ALERT]    (1) : config : parsing [h.cfg:3] : 'maxconn' expects an integer argument.\n"
        f"[ALERT]    (1) : {ALERTS['no-key']}\n"
        "[ALERT]    (1) : config : Error(s) found in configuration file : h.cfg\n"
        "[ALERT]    (1) : config : Fatal errors found in configuration.\n"
    )
    key, other = refusals(printed)
    assert key.code == "haproxy-no-key"
    assert other.code == "haproxy-config-test"
    assert other.place == Place(Path("h.cfg"), 3)
    assert "expects an integer" in other.message
    for odd in ("", "Segmentation fault"):
        (only,) = refusals(odd)
        assert only.fatal
        assert only.code == "haproxy-config-test"
