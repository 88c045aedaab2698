"""From observations to a report, without a network: the rules that real servers seldom show."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from holdfast.errors import OperatorError
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.statuses import Revoked
from holdfast.pki.issue import Issued, raw
from holdfast.plan.checking import Judge, ResponderAnswer, Seen, report
from holdfast.plan.report import Report, document
from holdfast.plan.target import Target, parse_list, protocol_of
from holdfast.tls.observation import Failure, Observation
from holdfast.tls.starttls import DIALOGUES
from support.answers import an_answer
from support.pki import AT, a_root, a_server, a_signer, an_intermediate

ROOT = a_root()
CA = an_intermediate(ROOT, responder_urls=["http://ocsp.example/ca"])
URL = "http://ocsp.example/"
SITE = a_server(CA, "www.example.com", responder_urls=[URL])
GOOD = an_answer(CA, SITE, at=AT)
JUDGE = Judge(servername="www.example.com", at=AT, roots=(ROOT.certificate,))


def shown(
    staple: bytes | None = GOOD, *, site: Issued = SITE, address: str = "192.0.2.1:443", **more: Any
) -> Observation:
    more.setdefault("chain", (site.certificate.der, CA.certificate.der))
    more.setdefault("tls", "TLSv1.3")
    more.setdefault("staples", (staple, None))
    return Observation(address=address, sni="www.example.com", asked="1.3", **more)


def failed(kind: Any, failure: str = "", *, address: str = "192.0.2.1:443") -> Observation:
    return Observation(address=address, asked="1.3", error=Failure(kind, "why", failure))


def judged(*observations: Observation, judge: Judge = JUDGE, **seen: Any) -> Report:
    return report("www.example.com", Seen(observations=observations, **seen), judge)


def codes(found: Report) -> dict[str, str]:
    return {f.code: f.severity.text for f in found.findings}


def test_good_with_the_absent_intermediate_noted() -> None:
    found = judged(shown(), shown())
    assert found.verdict == "good"
    assert codes(found) == {"staple-absent-intermediate": "note"}
    assert all(client.accepts for client in found.clients)


def test_an_intermediates_staple_is_judged_by_its_own_issuer() -> None:
    """RFC 8446 4.4.2.1: every CertificateEntry may carry one."""
    about_ca = an_answer(ROOT, CA.issued, at=AT)
    found = judged(shown(staples=(GOOD, about_ca)))
    assert codes(found) == {}
    assert [(s.position, s.valid) for s in found.staples] == [(0, True), (1, True)]
    revoked = an_answer(ROOT, CA.issued, Revoked(AT - timedelta(days=1)), at=AT)
    assert judged(shown(staples=(GOOD, revoked))).verdict == "bad"
    swapped = judged(shown(staples=(GOOD, GOOD)))
    assert codes(swapped)["staple-wrong-certificate"] == "fatal"


def accepting(found: Report) -> dict[str, bool]:
    return {row.client: row.accepts for row in found.clients}


def test_the_root_that_issued_the_leaf_is_not_superfluous() -> None:
    """curl makes the CertID from the issuer that was sent."""
    site = a_server(ROOT, "www.example.com", responder_urls=[URL])
    staple = an_answer(ROOT, site, at=AT)
    leaf, root = site.certificate.der, ROOT.certificate.der
    with_root = judged(shown(staple, site=site, chain=(leaf, root), staples=(staple,)))
    assert "chain-superfluous" not in codes(with_root)
    assert accepting(with_root)["curl --cert-status"]
    alone = judged(shown(staple, site=site, chain=(leaf,), staples=(staple,)))
    assert alone.verdict == "good"
    because = {row.client: row.because for row in alone.clients if not row.accepts}
    assert because == {"curl --cert-status": "issuer-not-sent"}
    above = (SITE.certificate.der, CA.certificate.der, root)
    assert "chain-superfluous" in codes(judged(shown(chain=above)))


def test_of_a_staple_about_several_certificates_nothing_is_said_of_gnutls() -> None:
    """GnuTLS 3.7 reads the first of them alone; later versions look for the right one."""
    other = a_server(CA, "other.example.com", responder_urls=[URL])
    singles = []
    for site in (other, SITE):
        basic = Response.parse(an_answer(CA, site, at=AT)).basic
        assert basic is not None
        singles += basic.singles
    signer = Signer(CA.certificate, CA.key, CA.certificate)
    both = signer.respond(singles, produced_at=AT)
    assert "gnutls-cli" not in accepting(judged(shown(both)))
    assert accepting(judged(shown()))["gnutls-cli"]


def test_an_empty_staple_is_none_and_worse() -> None:
    """Clients that cannot read it end the connection, those that pass it over have none."""
    found = judged(shown(b""))
    assert {"staple-missing", "staple-malformed"} <= set(codes(found))
    assert found.verdict == "bad"
    refusing = {name for name, accepts in accepting(found).items() if not accepts}
    assert refusing == {"firefox", "curl --cert-status", "gnutls-cli", "go", "java"} | {
        "openssl s_client"
    }
    ended = Failure("tls-handshake-failed", "bad packet")
    assert "tls-handshake-failed" not in codes(judged(shown(b"", error=ended)))
    assert "tls-handshake-failed" in codes(judged(shown(GOOD, error=ended)))


@pytest.mark.parametrize("answers", [True, False])
def test_firefox_asks_the_responder_where_a_staple_is_old(answers: bool) -> None:
    stale = an_answer(CA, SITE, at=AT - timedelta(days=30))
    now = ResponderAnswer(url=URL, response=Response.parse(GOOD))
    late = ResponderAnswer(url=URL, failure="timeout", problem="late")
    asked = {SITE.certificate.sha256: (now if answers else late,)}
    assert accepting(judged(shown(stale), responders=asked))["firefox"] is answers
    assert accepting(judged(shown(stale)))["chrome"]


def test_chrome_and_safari_refuse_what_a_valid_staple_tells_revoked_and_no_other() -> None:
    told = Revoked(AT - timedelta(days=1))
    proven = accepting(judged(shown(an_answer(CA, SITE, told, at=AT))))
    assert (proven["chrome"], proven["safari"], proven["go"]) == (False, False, True)
    stale = accepting(judged(shown(an_answer(CA, SITE, told, at=AT - timedelta(days=30)))))
    assert (stale["chrome"], stale["safari"], stale["firefox"]) == (True, True, False)


def test_without_sni_is_judged_where_the_certificate_is_the_names() -> None:
    other = a_server(CA, "other.example.com", responder_urls=[URL])
    nameless = shown(None, site=other, without_sni=True)
    found = judged(shown(), nameless)
    assert codes(found)["without-sni-differs"] == "note"
    assert "staple-missing" not in codes(found)
    assert len(found.leaves) == 1
    refused = Failure("tls-handshake-failed", "no such name")
    silent = Observation(address="192.0.2.1:443", asked="1.3", error=refused, without_sni=True)
    found = judged(shown(), silent)
    assert codes(found)["without-sni-differs"] == "note"
    assert "tls-handshake-failed" not in codes(found)
    assert "staple-intermittent" in codes(judged(shown(), shown(None, without_sni=True)))


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ({"address": "192.0.2.2:443"}, "none from 192.0.2.2:443"),
        ({"tls": "TLSv1.2"}, "none over TLSv1.2"),
    ],
)
def test_what_handshakes_without_a_staple_have_in_common_is_told(
    lacking: dict[str, Any], told: str
) -> None:
    found = judged(shown(), shown(), shown(None, **lacking), shown(None, **lacking))
    message = next(f.message for f in found.findings if f.code == "staple-intermittent")
    assert message == f"2 of 4 handshakes carried a staple, and {told}"


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"at": AT, "lifetime": timedelta(days=6)}, "too short to be worth revoking"),
        ({"crl_urls": ["http://crl.example/"]}, "by CRL alone"),
        ({}, "its CA offers none"),
    ],
)
def test_why_a_certificate_names_no_responder(wishes: dict[str, Any], told: str) -> None:
    bare = a_server(CA, "www.example.com", responder_urls=[], **wishes)
    found = judged(shown(None, site=bare))
    assert found.verdict == "not-applicable"
    assert told in found.findings[0].message


def test_near_expiry_is_told_from_four_fifths_of_the_window_on() -> None:
    early = an_answer(CA, SITE, at=AT, window=timedelta(minutes=76))
    late = an_answer(CA, SITE, at=AT, window=timedelta(minutes=74))
    assert "staple-near-expiry" not in codes(judged(shown(early)))
    assert codes(judged(shown(late)))["staple-near-expiry"] == "warning"


def test_nothing_reached_is_unreachable_and_a_failed_handshake_is_bad() -> None:
    assert judged(failed("unreachable", "refused")).verdict == "unreachable"
    unresolved = judged(unresolved=Failure("unreachable", "no such name", "dns"))
    assert (unresolved.verdict, codes(unresolved)) == ("unreachable", {"unreachable": "fatal"})
    assert judged(failed("tls-handshake-failed")).verdict == "bad"
    assert codes(judged(failed("starttls-refused"))) == {"starttls-refused": "fault"}


def test_what_the_protocol_before_tls_advises_is_the_hint() -> None:
    refused = replace(failed("starttls-refused"), error=Failure("starttls-refused", "no", hint="x"))
    assert judged(refused).findings[0].hint == "x"
    assert judged(failed("starttls-refused")).findings[0].hint.startswith("turn STARTTLS on")


@pytest.mark.parametrize(
    ("target", "protocol"),
    [
        ("imap://mail.example.com:1143", "imap"),
        ("imaps://mail.example.com", "imap"),
        ("IMAPS://mail.example.com:1993", "imap"),
        ("mail.example.com:993", "imap"),
        ("postgres://mail.example.com", "postgres"),
        ("https://mail.example.com:993", ""),
        ("tls://mail.example.com:9930", ""),
        ("mail.example.com", ""),
        ("mail example", ""),
    ],
)
def test_nobody_is_told_to_turn_on_what_a_server_cannot_do(target: str, protocol: str) -> None:
    assert protocol_of(target) == protocol
    (found,) = report(target, Seen(observations=(shown(None),)), JUDGE).findings
    assert found.code == "staple-missing"
    if protocol:
        assert found.hint == DIALOGUES[protocol].stapling
    else:
        assert found.hint.startswith("turn stapling on")


def test_an_address_this_machine_cannot_route_to_is_no_fault_of_the_server() -> None:
    found = judged(shown(), failed("unreachable", "unreachable", address="[2001:db8::1]:443"))
    assert codes(found)["unreachable"] == "note"
    assert found.verdict == "good"
    dead = judged(shown(), failed("unreachable", "refused", address="192.0.2.2:443"))
    assert codes(dead)["unreachable"] == "fatal"


def test_the_address_families_must_be_alike() -> None:
    six = "[2001:db8::1]:443"
    other = a_server(CA, "www.example.com", responder_urls=[URL], who="other")
    apart = judged(shown(), shown(an_answer(CA, other, at=AT), site=other, address=six))
    assert codes(apart)["address-family-differs"] == "warning"
    half = judged(shown(), shown(None, address=six))
    assert "address-family-differs" in codes(half)
    deaf = judged(shown(), failed("tls-handshake-failed", address=six))
    assert "address-family-differs" in codes(deaf)
    alike = judged(shown(), shown(address=six))
    assert "address-family-differs" not in codes(alike)


def test_a_version_or_kind_of_key_that_is_not_offered_is_no_finding() -> None:
    found = judged(shown(tls="TLSv1.2"), failed("tls-handshake-failed"))
    assert found.verdict == "good"


def test_tls_1_1_is_old() -> None:
    assert codes(judged(shown(tls="TLSv1.1")))["tls-version-old"] == "warning"
    assert "tls-version-old" not in codes(judged(shown(tls="TLSv1.2")))


def test_a_certificate_that_cannot_be_read_is_told() -> None:
    assert "tls-handshake-failed" in codes(judged(shown(chain=(b"\x30\x00",), staples=(None,))))


@pytest.mark.parametrize("oid", ["1.3.6.1.5.5.7.1.1", "2.5.29.17", "2.5.29.31", "2.5.29.19"])
def test_a_certificate_with_garbage_in_an_extension_is_told_not_raised(oid: str) -> None:
    broken = a_server(CA, "www.example.com", extensions=[raw(oid, b"garbage")])
    found = judged(shown(None, site=broken))
    assert codes(found)["tls-handshake-failed"] == "fatal"
    document([found])
    chain = (SITE.certificate.der, broken.certificate.der, CA.certificate.der)
    assert judged(shown(chain=chain, staples=(GOOD, None, None))).verdict == "good"


def test_a_must_staple_leaf_that_is_stapled_half_the_time_is_a_fault() -> None:
    must = a_server(CA, "www.example.com", responder_urls=[URL], must_staple=True)
    staple = an_answer(CA, must, at=AT)
    found = judged(shown(staple, site=must), shown(None, site=must))
    assert codes(found)["staple-intermittent"] == "fault"


@pytest.mark.parametrize(
    ("failure", "code", "severity"),
    [
        ("dns", "responder-unreachable", "warning"),
        ("timeout", "responder-unreachable", "warning"),
        ("http-4xx", "responder-http-error", "warning"),
        ("try-later", "responder-error-response", "warning"),
        ("unauthorized", "responder-error-response", "warning"),
        ("html", "responder-invalid-response", "fault"),
    ],
)
def test_each_failure_of_a_responder_has_its_code(failure: str, code: str, severity: str) -> None:
    answer = ResponderAnswer(url=URL, failure=failure, problem="why", http_status=404)
    found = judged(shown(), responders={SITE.certificate.sha256: (answer,)})
    assert codes(found)[code] == severity
    told = next(f for f in found.findings if f.code == code)
    assert "(" not in told.message.replace("(s)", ""), "a fact was not given"


def test_a_slow_responder_and_one_that_answers_for_another_certificate() -> None:
    other = a_server(CA, "other.example.com", responder_urls=[URL])
    slow = ResponderAnswer(url=URL, milliseconds=1500.0, response=Response.parse(GOOD))
    wrong = ResponderAnswer(
        url=URL, milliseconds=5.0, response=Response.parse(an_answer(CA, other, at=AT))
    )
    found = judged(shown(), responders={SITE.certificate.sha256: (slow, wrong)})
    assert codes(found)["responder-slow"] == "warning"
    assert codes(found)["responder-invalid-response"] == "fault"
    assert [r.certificate_status for r in found.responders] == ["good", None]


def test_a_delegates_staple_and_its_json() -> None:
    signed = an_answer(CA, SITE, at=AT, signer=a_signer(CA))
    shape: Any = document([judged(shown(signed))])
    staple = shape["reports"][0]["staples"][0]
    assert staple["signer"] == "delegate"
    assert staple["this_update"] == "2026-06-01T11:00:00Z"
    assert shape["schema"] == "holdfast.check/1"
    assert Subject.of(SITE.certificate, CA.certificate).name == "www.example.com"


def test_findings_are_told_once_gravest_first() -> None:
    stale = an_answer(CA, SITE, at=AT - timedelta(days=30))
    found = judged(shown(stale), shown(stale), judge=Judge(servername="x.example", at=AT))
    severities = [f.severity for f in found.findings]
    assert severities == sorted(severities, reverse=True)
    assert len({(f.code, f.message) for f in found.findings}) == len(found.findings)
    assert {"staple-expired", "chain-untrusted", "certificate-name-mismatch"} <= set(codes(found))


@pytest.mark.parametrize(
    ("text", "host", "port", "starttls"),
    [
        ("example.com", "example.com", 443, None),
        ("Example.COM:8443", "example.com", 8443, None),
        ("https://example.com/path?x=1", "example.com", 443, None),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443, None),
        ("2001:db8::1", "2001:db8::1", 443, None),
        ("192.0.2.1", "192.0.2.1", 443, None),
        ("smtp://mail.example.com", "mail.example.com", 25, "smtp"),
        ("imaps://mail.example.com", "mail.example.com", 993, None),
        ("xmpp-server://example.com", "example.com", 5269, "xmpp-server"),
        ("postgres://db.example.com:5433", "db.example.com", 5433, "postgres"),
        ("bücher.example", "xn--bcher-kva.example", 443, None),
    ],
)
def test_a_target_in_its_spellings(text: str, host: str, port: int, starttls: str | None) -> None:
    target = Target.parse(text)
    assert (target.host, target.port, target.starttls) == (host, port, starttls)
    assert str(target) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gopher://x",
        "a b",
        "host:0",
        "host:70000",
        "host:x",
        "user@host",
        "://",
        "[::1",
    ],
)
def test_what_names_no_server_is_the_operators_error(text: str) -> None:
    with pytest.raises(OperatorError):
        Target.parse(text)


def test_a_list_of_targets_names_the_line_that_is_wrong() -> None:
    assert [t.host for t in parse_list("# x\na.example # y\n\nb.example\n", name="f")] == [
        "a.example",
        "b.example",
    ]
    with pytest.raises(OperatorError, match=r"hosts\.txt, line 2"):
        parse_list("a.example\ngopher://b\n", name="hosts.txt")
