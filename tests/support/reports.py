"""Reports for tests of what is made of them, judged by the real rules from minted certificates.

HOSTILE is a report in which everything that others name is an attack on whoever shows it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from cryptography import x509
from cryptography.x509.oid import NameOID

from holdfast.ocsp.statuses import Revoked
from holdfast.pki.issue import Issued
from holdfast.plan.checking import Judge, ResponderAnswer, Seen, report
from holdfast.plan.report import Report
from holdfast.tls.observation import Failure, Observation
from support.answers import an_answer
from support.pki import AT, a_root, a_server, an_intermediate

ROOT = a_root()
CA = an_intermediate(ROOT)
URL = "http://ocsp.example/"
NAME = "www.example.com"
SITE = a_server(CA, NAME, responder_urls=[URL])
MUST = a_server(CA, NAME, responder_urls=[URL], must_staple=True)
BARE = a_server(CA, NAME, responder_urls=[])
JUDGE = Judge(servername=NAME, at=AT, roots=(ROOT.certificate,))
ATTACK = "\"'><script>alert(1)</script>&\x1b[31m\u202e\x00]]>|$(x)`"
SHORT = '"><img src=x onerror=alert(1)>\x1b[2J|`id`'  # a common name has at most 64 characters


def shown(staple: bytes | None, site: Issued, **more: Any) -> Observation:
    more.setdefault("chain", (site.certificate.der, CA.certificate.der))
    return Observation(
        address="192.0.2.1:443",
        sni=NAME,
        asked="1.3",
        tls="TLSv1.3",
        cipher="TLS_AES_256_GCM_SHA384",
        key_type="ECDSA P-256",
        milliseconds=3.25,
        staples=(staple, None),
        **more,
    )


def judged(target: str, *observations: Observation, **seen: Any) -> Report:
    return report(target, Seen(observations=observations, **seen), JUDGE)


def a_good(target: str = NAME) -> Report:
    staple = an_answer(CA, SITE, at=AT)
    return judged(target, shown(staple, SITE), shown(staple, SITE))


def a_revoked(target: str = "revoked.example.com") -> Report:
    staple = an_answer(CA, SITE, Revoked(AT - timedelta(days=1)), at=AT)
    return judged(target, shown(staple, SITE))


def an_expired(target: str = "expired.example.com") -> Report:
    staple = an_answer(CA, SITE, at=AT - timedelta(days=5))
    return judged(target, shown(staple, SITE))


def a_missing(target: str = "missing.example.com") -> Report:
    return judged(target, shown(None, SITE))


def a_must_staple(target: str = "must.example.com") -> Report:
    return judged(target, shown(None, MUST))


def a_not_applicable(target: str = "bare.example.com") -> Report:
    return judged(target, shown(None, BARE))


def an_unreachable(target: str = "gone.example.com") -> Report:
    return judged(target, unresolved=Failure("unreachable", f"{target}: refused", "refused"))


def a_hostile() -> Report:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SHORT)])
    evil = an_intermediate(ROOT, cast("str", name), who="evil")
    site = a_server(evil, NAME, responder_urls=["http://ocsp.example/" + "%22<script>" + "'\""])
    staple = an_answer(evil, site, at=AT)
    seen = shown(staple, site, chain=(site.certificate.der, evil.certificate.der))
    gone = Observation(
        address="192.0.2.2:443", asked="1.3", error=Failure("tls-handshake-failed", ATTACK)
    )
    answers = {
        site.certificate.sha256: (
            ResponderAnswer(
                url=ATTACK, failure="refused", problem=ATTACK + "\nlines\r\nof its own"
            ),
        )
    }
    return judged(ATTACK, seen, gone, responders=answers)


ALL = (
    a_good,
    a_revoked,
    an_expired,
    a_missing,
    a_must_staple,
    a_not_applicable,
    an_unreachable,
    a_hostile,
)
