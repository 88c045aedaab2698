"""Apache's words of every age, with place and cure. The lines are as the programs wrote them; what
today's Apache says is provoked in tests/integration/setup/test_apache_kind.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.setup.apache_words import explained, refusals
from holdfast.setup.words import Place

STAMP = "[Fri Nov 27 07:08:38.139284 2026] [ssl:error] [pid 10185:tid 10185] "
OLD = "[Tue Mar 05 11:22:33 2013] [error] "
HERE = Place(Path("/etc/apache2/sites-enabled/a.conf"), 3)
PLACES = {"a.test:443": HERE}
LINES = {
    f"{STAMP}AH02217: ssl_stapling_init_cert: can't retrieve issuer certificate! "
    "[subject: CN=a.test / issuer: CN=CA]": "apache-issuer-missing",
    f"{OLD}ssl_stapling_init_cert: Can't retrieve issuer certificate!": "apache-issuer-missing",
    f"{STAMP}AH02218: ssl_stapling_init_cert: no OCSP URI in certificate and no "
    "SSLStaplingForceURL set [subject: CN=a.test]": "no-responder",
    f"{STAMP}AH02814: ssl_stapling_init_cert: no OCSP URI in certificate and no "
    "SSLStaplingForceURL configured for server a.test:443": "no-responder",
    f"{OLD}ssl_stapling_init_cert: no responder URL": "no-responder",
    f"{STAMP}AH02604: Unable to configure certificate a.test:443:0 for stapling": (
        "apache-certificate-not-stapled"
    ),
    f"{STAMP}AH02235: Unable to configure server certificate for stapling": (
        "apache-certificate-not-stapled"
    ),
    f"{OLD}Unable to configure server certificate for stapling": "apache-certificate-not-stapled",
    f"{STAMP}AH01958: SSLStapling: no stapling cache available": "apache-no-cache",
    f"{OLD}SSLStapling: no stapling cache available": "apache-no-cache",
    f"{STAMP}AH01872: Could not initialize stapling cache. Exiting.": "apache-cache-unwritable",
    f"{STAMP}AH01959: SSLStapling: cannot initialise stapling mutex": "apache-stapling-mutex",
    f"{STAMP}AH01915: Init: (a.test:80) You configured HTTPS(443) on the standard HTTP(80) port!": (
        "apache-https-on-http-port"
    ),
    f"{STAMP}AH01916: Init: (a.test:443) You configured HTTP(80) on the standard "
    "HTTPS(443) port!": "apache-http-on-https-port",
    f"{STAMP}AH01926: stapling_get_certinfo: stapling not supported for certificate": (
        "apache-certificate-not-stapled"
    ),
    f"{STAMP}AH01928: OCSP stapling response too big (70001 bytes)": "apache-response-too-big",
    f"{STAMP}AH01929: stapling_cache_response: OCSP response session store error!": (
        "apache-cache-full"
    ),
    f"{STAMP}AH01935: stapling_check_response: certificate ID not present in response!": (
        "apache-response-of-another"
    ),
    f"{STAMP}AH01936: stapling_check_response: response times invalid": "apache-response-times",
    f"{STAMP}AH02969: stapling_check_response: response has certificate status revoked (reason: "
    "keyCompromise) for serial number 01": "apache-certificate-status",
    f"{STAMP}AH01940: stapling_renew_response: Unsupported uri https://x/": (
        "apache-https-responder"
    ),
    f"{STAMP}AH01972: could not resolve address of OCSP responder ocsp.test": "responder-dns",
    f"{STAMP}AH01974: could not connect to OCSP responder 'ocsp.test'": "responder-connect",
    f"{STAMP}AH01980: bad response from OCSP server: HTTP/1.0 503 x": "responder-http",
    f"{STAMP}AH01944: stapling_renew_response: responder error tryLater": "responder-refuses",
    f"{STAMP}AH01941: stapling_renew_response: responder error": "apache-no-response",
    f"{STAMP}AH02562: Failed to configure certificate a.test:443:0 (with chain), check /c.pem": (
        "apache-certificate-unreadable"
    ),
    f"{STAMP}AH02565: Certificate and private key a.test:443:0 from /c.pem and /k.pem do not "
    "match": "apache-key-mismatch",
}
FATAL = ("apache-no-cache", "apache-cache-unwritable", "apache-stapling-mutex")


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split("] ")[-1][:40])
def test_a_line_is_explained_with_a_cure(line: str) -> None:
    found = explained(line, PLACES)
    assert found is not None
    assert found.code == LINES[line]
    assert found.hint
    assert "{" not in found.message + found.hint
    assert not found.said.startswith("[")
    assert found.said in line
    if found.code in FATAL:
        assert found.fatal


def test_the_site_that_a_line_names_is_its_place() -> None:
    line = f"{STAMP}AH02604: Unable to configure certificate a.test:443:0 for stapling"
    found = explained(line, PLACES)
    assert found is not None
    assert found.place == HERE
    assert "a.test:443" in found.message


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"{STAMP}AH00094: Command line: 'apache2 -d /x'",
        f"{STAMP}AH01933: stapling_get_cached_response: cache hit",
        "[Fri Nov 27 2026] [mpm_event:notice] AH00489: Apache configured -- resuming",
        f"{STAMP}AH02032: Hostname provided via SNI and hostname via HTTP are different",
    ],
)
def test_other_lines_are_nothing(line: str) -> None:
    assert explained(line, PLACES) is None


REFUSED = {
    "SSLStaplingCache cannot occur within <VirtualHost> section": "apache-cache-in-virtual-host",
    "SSLUseStapling not allowed in <Directory> context": "apache-stapling-in-directory",
    "SSLStaplingCache takes one argument, SSL Stapling Response Cache storage (`dbm:/path')": (
        "apache-cache-stray-space"
    ),
    "SSLStaplingCache: 'shmcb' stapling cache not supported (known names: ) Maybe you need to load "
    "the appropriate socache module (mod_socache_shmcb?)": "apache-cache-module-missing",
    "SSLStaplingCache: Invalid argument: size has to be >= 8192 bytes": "apache-cache-value",
    "Invalid command 'SSLStaplingCahe', perhaps misspelled or defined by a module not included in "
    "the server configuration": "apache-directive-misspelled",
    "Invalid command 'SSLUseStapling', perhaps misspelled or defined by a module not included in "
    "the server configuration": "apache-mod-ssl-missing",
    "Invalid command 'SSLEngine', perhaps misspelled or defined by a module not included in the "
    "server configuration": "apache-mod-ssl-missing",
    "Invalid command 'Foo', perhaps misspelled": "apache-refused",
    "SSLUseStapling must be On or Off": "apache-value-wrong",
    "SSLCertificateFile: file '/c' does not exist or is empty": "apache-certificate-missing",
    "SSLProtocol: Illegal protocol 'x'": "apache-tls-refused",
    "</Directory> without matching <Directory> section": "apache-refused",
}


@pytest.mark.parametrize("words", REFUSED, ids=lambda words: words[:40])
def test_a_refusal_has_the_place_of_the_line_before(words: str) -> None:
    said = f"AH00558: no name\nAH00526: Syntax error on line 12 of /etc/a b.conf:\n{words}\n"
    (found,) = refusals(said)
    assert (found.code, found.fatal) == (REFUSED[words], True)
    assert found.place == Place(Path("/etc/a b.conf"), 12)
    assert found.hint
    assert "{" not in found.message + found.hint


def test_of_places_within_each_other_the_innermost_counts() -> None:
    said = (
        "apache2: Syntax error on line 222 of /etc/apache2/apache2.conf: Syntax error on line 3 of "
        "/etc/apache2/sites-enabled/a.conf: Invalid command 'SSLStaplingCahe', perhaps misspelled"
    )
    (found,) = refusals(said)
    assert (found.code, found.place) == ("apache-directive-misspelled", HERE)


def test_a_macros_line_is_counted_in_its_file() -> None:
    said = (
        "AH00526: Syntax error on line 3 of macro 'v' (defined on line 9 of \"/etc/m.conf\") used "
        'on line 16 of "/etc/m.conf":\nSSLUseStapling must be On or Off'
    )
    (found,) = refusals(said)
    assert (found.code, found.place) == ("apache-value-wrong", Place(Path("/etc/m.conf"), 12))


@pytest.mark.parametrize("said", ["", "Action 'configtest' failed.\nThe Apache error log"])
def test_a_refusal_without_words_is_one_all_the_same(said: str) -> None:
    (found,) = refusals(said)
    assert (found.code, found.fatal) == ("apache-refused", True)
