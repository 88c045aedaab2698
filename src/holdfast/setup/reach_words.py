"""What is said of a responder that was reached and gave no response: codes and cures, as tables."""

from __future__ import annotations

from holdfast.ocsp.response import ResponseStatus

BROKEN = {  # failure of an exchange -> (code, hint)
    "timeout": (
        "silent",
        "it is overloaded, or a firewall lets the connection through and not the answer: try "
        "again, and look at firewalls that inspect HTTP",
    ),
    "reset": ("reset", "a firewall that inspects HTTP cuts it, or the responder is in trouble"),
    "redirect": ("redirect", "the address may be out of date: ask the CA for the right one"),
    "address-refused": (
        "redirect",
        "it redirects to an address inside this network, which is not followed: a captive portal?",
    ),
    "oversized": ("not-ocsp", "what is there is no OCSP responder: look at the address"),
    "truncated": ("truncated", "something between cuts the answer: look at proxies and firewalls"),
    "proxy": ("proxy-unreachable", "look at the proxy, and at --proxy, http_proxy and no_proxy"),
    "tls": ("tls", "this machine does not trust its certificate, or it speaks no TLS"),
    "": ("not-http", "what listens there speaks no HTTP: look at the address and the port"),
}

REFUSED = {
    ResponseStatus.unauthorized: (
        "unauthorized",
        "it does not answer for this certificate: the issuer may be the wrong one, or the "
        "certificate too new, or ended",
    ),
    ResponseStatus.tryLater: ("try-later", "it is busy: run this again in some minutes"),
    ResponseStatus.internalError: (
        "internal-error",
        "it is in trouble: run this again later, and tell the CA if it stays",
    ),
    ResponseStatus.malformedRequest: (
        "malformed-request",
        "it does not understand plain requests with a SHA-1 CertID: tell the CA",
    ),
    ResponseStatus.sigRequired: (
        "sig-required",
        "it answers signed requests only, which no server makes: ask the CA for another one",
    ),
}
