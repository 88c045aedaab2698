"""nginx's own words, of its output and its log, as troubles."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.setup.nginx_words import ROWS, explained, refusals
from holdfast.setup.words import Place

LOG = "2026/11/27 06:00:00 [error] 31#31: "
FETCHING = ' while requesting certificate status, responder: ocsp.test, certificate: "/e/w.pem"'

# (line, code, a piece of the message)
LINES = [
    (
        'nginx: [warn] "ssl_stapling" ignored, issuer certificate not found for certificate '
        '"/e/w.pem"',
        "nginx-issuer-missing",
        "/e/w.pem",
    ),
    (
        '[warn] "ssl_stapling" ignored, issuer certificate not found',
        "nginx-issuer-missing",
        "issuer",
    ),
    (
        'nginx: [warn] "ssl_stapling" ignored, no OCSP responder URL in the certificate "/e/w.pem"',
        "no-responder-url",
        "/e/w.pem",
    ),
    (
        'nginx: [warn] "ssl_stapling" ignored, host not found in OCSP responder "ocsp.test/x" in '
        'the certificate "/e/w.pem"',
        "nginx-responder-host",
        "ocsp.test/x",
    ),
    (
        'nginx: [warn] "ssl_stapling" ignored, invalid URL prefix in OCSP responder '
        '"https://ocsp.test" in the certificate "/e/w.pem"',
        "nginx-responder-prefix",
        "https://ocsp.test",
    ),
    (
        'nginx: [warn] "ssl_stapling" ignored, invalid port in OCSP responder "ocsp.test:x" in '
        'the certificate "/e/w.pem"',
        "nginx-responder-address",
        "ocsp.test:x: invalid port",
    ),
    (
        'nginx: [warn] "ssl_stapling" ignored, not supported',
        "nginx-stapling-ignored",
        "does not staple",
    ),
    (
        LOG + "OCSP_basic_verify() failed (SSL: error:13800065:OCSP routines::certificate verify "
        "error:Verify error: unable to get local issuer certificate)" + FETCHING,
        "nginx-response-unverified",
        "/e/w.pem",
    ),
    (
        "2026/11/27 06:00:00 [warn] 31#31: no resolver defined to resolve ocsp.test" + FETCHING,
        "nginx-no-resolver",
        "ocsp.test had",
    ),
    (
        LOG + "ocsp.test could not be resolved (3: Host not found)" + FETCHING,
        "nginx-responder-unresolved",
        "3: Host not found",
    ),
    (
        LOG + "OCSP responder timed out (110: Connection timed out)" + FETCHING,
        "nginx-responder-timeout",
        "in time",
    ),
    (
        LOG + "OCSP response not successful (6: unauthorized)" + FETCHING,
        "nginx-responder-refuses",
        "6: unauthorized",
    ),
    (
        LOG + 'certificate status "revoked" in the OCSP response' + FETCHING,
        "nginx-status",
        "revoked",
    ),
    (
        LOG + "certificate status not found in the OCSP response" + FETCHING,
        "nginx-other-certificate",
        "another",
    ),
    (
        LOG + "OCSP_check_validity() failed (SSL: error:1380007D)" + FETCHING,
        "nginx-response-outdated",
        "past its end",
    ),
    (
        LOG + 'OCSP responder sent invalid "Content-Type" header: "text/html"' + FETCHING,
        "nginx-not-ocsp",
        "no OCSP response",
    ),
    (
        LOG + "connect() failed (111: Connection refused)" + FETCHING,
        "nginx-responder-unreachable",
        "111: Connection refused",
    ),
    (LOG + "something" + FETCHING, "nginx-fetch-failed", "could not get"),
    (
        'nginx: [emerg] "ssl_stapling" directive is duplicate in /e/n.conf:7',
        "nginx-duplicate",
        "ssl_stapling",
    ),
    (
        'nginx: [emerg] "ssl_stapling_verify" directive is not allowed here in /e/n.conf:7',
        "nginx-wrong-context",
        "ssl_stapling_verify",
    ),
    (
        'nginx: [emerg] unknown directive "ssl_staplng" in /e/n.conf:7',
        "nginx-misspelled",
        "ssl_staplng",
    ),
    (
        'nginx: [emerg] unknown directive "sls_stapling" in /e/n.conf:7',
        "nginx-misspelled",
        "sls_stapling",
    ),
    (
        'nginx: [emerg] invalid value "yes" in "ssl_stapling" directive, it must be "on" or "off" '
        "in /e/n.conf:7",
        "nginx-bad-value",
        'ssl_stapling does not take "yes"',
    ),
    (
        'nginx: [emerg] invalid number of arguments in "ssl_stapling" directive in /e/n.conf:7',
        "nginx-bad-value",
        "arguments",
    ),
    (
        'nginx: [emerg] SSL_CTX_use_PrivateKey("/e/w.key") failed (SSL: error:05800074:x509 '
        "certificate routines::key values mismatch)",
        "nginx-key-mismatch",
        "private key",
    ),
    (
        'nginx: [emerg] cannot load certificate key "/e/w.key": BIO_new_file() failed',
        "nginx-key-unreadable",
        "/e/w.key",
    ),
    (
        'nginx: [emerg] cannot load certificate "/e/w.pem": BIO_new_file() failed (SSL: '
        "error:80000002:system library::No such file or directory:calling fopen)",
        "nginx-certificate-missing",
        "/e/w.pem",
    ),
    (
        'nginx: [emerg] cannot load certificate "/e/w.pem": PEM_read_bio_X509_AUX() failed (SSL: '
        "error:0480006C:PEM routines::no start line)",
        "nginx-certificate-unreadable",
        "/e/w.pem",
    ),
    (
        'nginx: [emerg] SSL_CTX_load_verify_locations("/e/r.pem") failed (SSL: error:80000002)',
        "nginx-trust-unreadable",
        "/e/r.pem",
    ),
    (
        'nginx: [emerg] BIO_new_file("/e/w.der") failed (SSL: error:80000002)',
        "nginx-staple-file-missing",
        "/e/w.der",
    ),
    (
        'nginx: [emerg] d2i_OCSP_RESPONSE_bio("/e/w.der") failed (SSL: error:0680008E)',
        "nginx-staple-file-bad",
        "/e/w.der",
    ),
    (
        'nginx: [emerg] no "ssl_certificate" is defined for the "listen ... ssl" directive in '
        "/e/n.conf:7",
        "nginx-no-certificate",
        "no certificate",
    ),
    (
        'nginx: [emerg] the "ssl" parameter requires ngx_http_ssl_module in /e/n.conf:7',
        "nginx-no-tls",
        "without TLS",
    ),
    (
        'nginx: [emerg] SSL_CTX_set_cipher_list("x") failed (SSL: error:0A0000B9)',
        "nginx-refused",
        "SSL_CTX_set_cipher_list",
    ),
]


@pytest.mark.parametrize(("line", "code", "piece"), LINES)
def test_a_line_is_explained(line: str, code: str, piece: str) -> None:
    trouble = explained(line)
    assert trouble is not None
    assert trouble.code == code
    assert piece in trouble.message
    assert trouble.hint
    assert trouble.fatal == ("[emerg]" in line)
    assert trouble.place == (Place(Path("/e/n.conf"), 7) if "/e/n.conf" in line else None)
    assert trouble.said
    assert "nginx:" not in trouble.said
    assert "31#31" not in trouble.said


def test_every_row_of_the_table_has_a_line() -> None:
    assert {row.code for row in ROWS} <= {code for _, code, _ in LINES}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok",
        'nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored',
        "2026/11/27 06:00:00 [notice] 31#31: signal process started",
        LOG + 'open() "/srv/certificate.html" failed (2: No such file or directory)',
        'nginx: [emerg] unknown directive "sendfille" in /e/n.conf:7',
        "2026/11/27 06:00:00 [info] 31#31: *5 client sent invalid request",
    ],
)
def test_what_has_nothing_to_do_with_tls_is_nothing(line: str) -> None:
    assert explained(line) is None


def test_why_a_test_failed_is_told_whatever_it_is_about() -> None:
    printed = (
        'nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored\n'
        'nginx: [emerg] unknown directive "sendfille" in /e/n.conf:7\n'
        "nginx: configuration file /e/n.conf test failed\n"
    )
    (trouble,) = refusals(printed)
    assert (trouble.code, trouble.fatal) == ("nginx-refused", True)
    assert trouble.place == Place(Path("/e/n.conf"), 7)
    assert 'unknown directive "sendfille"' in trouble.message
    (silent,) = refusals("\n")
    assert (silent.code, silent.fatal) == ("nginx-refused", True)
