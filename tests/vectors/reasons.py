"""Why an oracle's word differs from ours, case by case: written by hand.

`openssl` is `openssl ocsp` 3.0 as a careful caller runs it (with the issuer, the certificate, the
root, a skew and the instant); `cryptography` is its reader, which judges no signature.
"""

from __future__ import annotations

_OPENSSL = [  # (reason, ids)
    (
        "OCSP_basic_verify has no allow-list of algorithms: SHA-1 and MD5 are refused only by "
        "a security level, which `openssl ocsp` does not set.",
        "rsa-sha1 rsa-md5 rsa-md5-sha1-allowed pss-sha1 ecdsa-p256-sha1 ecdsa-p384-sha1 "
        "ecdsa-p521-sha1 delegate-certificate-sha1 delegate-certificate-md5 "
        "delegate-certificate-md5-allowed",
    ),
    (
        "OpenSSL verifies a PSS mask by another hash than the message's; RFC 4055 3.1 "
        "recommends the same hash and nobody signs otherwise, so ours are a closed table.",
        "pss-mask-by-another-hash pss-mask-by-sha1",
    ),
    (
        "OpenSSL does not look at the parameters of these algorithms; ours must be those of "
        "the algorithm's RFC.",
        "rsa-parameters-odd ecdsa-null-parameters",
    ),
    (
        "OpenSSL 3.0 knows no ML-DSA (it came with 3.5).",
        "ml-dsa-44 ml-dsa-65 ml-dsa-87",
    ),
    (
        "`openssl ocsp` reads the first single of the CertID and does not look for others "
        "(OpenSSL issue 32376).",
        "duplicate-good-revoked duplicate-revoked-good duplicate-good-unknown "
        "duplicate-unknown-revoked duplicate-old-revoked-new-good "
        "duplicate-by-two-hashes-revoked",
    ),
    (
        "`openssl ocsp` does not look at extensions, critical or not.",
        "critical-in-response critical-in-single critical-in-anothers-single "
        "critical-behind-known critical-longer-than-known",
    ),
    (
        "`openssl ocsp` compares a nonce only with a request's that it made itself, and reads "
        "a stored response here.",
        "nonce-of-another nonce-cut-short nonce-empty nonce-too-long nonce-bare",
    ),
    (
        "d2i_OCSP_RESPONSE reads one value and leaves what follows.",
        "trailing-bytes trailing-response trailing-newline trailing-in-octets",
    ),
    (
        "OpenSSL reads BER, and verifies over what it encodes again as DER.",
        "indefinite-outside indefinite-basic indefinite-name octets-in-pieces "
        "length-in-more-octets-outside length-of-five-octets critical-false-written-out "
        "critical-true-as-1",
    ),
    (
        "OpenSSL takes a default that is written out, and any version, as it comes.",
        "version-1-written-out version-2",
    ),
    (
        "OpenSSL does not hold these fields to their values (parameters of a hash, codes of "
        "reasons).",
        "certid-parameters-odd reason-7 reason-11",
    ),
    (
        "OpenSSL allows empty and repeated extensions, which RFC 5280 4.1 and 4.2 forbid.",
        "extensions-empty extension-twice single-extensions-empty",
    ),
    (
        "OpenSSL is lenient about GeneralizedTime where RFC 5280 4.1.2.5.2 gives one form.",
        "time-without-seconds time-of-year-0",
    ),
    (
        "`openssl ocsp`, having failed, tries again and trusts the issuers it was given "
        "(OCSP_TRUSTOTHER), in date or not.",
        "by-expired-issuer",
    ),
    (
        "OpenSSL parses every certificate in certs before anything else; we pass over what is "
        "no certificate.",
        "delegate-after-garbage",
    ),
    (
        "OpenSSL builds the delegate's chain by names; by the RFC's letter the key decides.",
        "delegate-of-renamed-issuer-rfc6960",
    ),
    (
        "OpenSSL accepts a delegate that is a CA; we only do in the profile rfc6960.",
        "delegate-is-ca delegate-is-ca-browser",
    ),
    (
        "X509_cmp_time counts an equal instant as past; RFC 5280 4.1.2.5 includes both ends.",
        "delegate-in-its-last-second",
    ),
    (
        "X509_cmp_time counts an equal instant as past, so that the second at which an age is "
        "reached is too old already.",
        "max-age-reached",
    ),
    (
        "OpenSSL takes the first certificate in certs that the responderID names and looks at "
        "no other.",
        "delegate-renewed delegate-after-forged-twin delegate-after-unreadable-key",
    ),
    (
        "A responder trusted with -VAfile is not asked whether it is in date.",
        "trusted-responder-expired",
    ),
    (
        "`openssl ocsp` knows no browser's limits of a window.",
        "no-next-update-browser-late window-of-thirty-days-browser",
    ),
    (
        "OpenSSL does not look at producedAt.",
        "produced-before-the-leaf produced-after-the-leaf",
    ),
]
_CRYPTOGRAPHY = [  # (reason, ids)
    (
        "cryptography holds algorithm parameters to their RFC when it reads; we read and then "
        "refuse with a finding.",
        "rsa-parameters-odd ecdsa-null-parameters algorithm-is-a-key",
    ),
    (
        "cryptography does not look at the unused bits until a signature is asked for as bytes.",
        "unused-bits",
    ),
    (
        "cryptography knows no MD5 CertID.",
        "certid-md5",
    ),
    (
        "cryptography leaves it to its caller to look for a second single of the CertID: this "
        "is the first.",
        "duplicate-good-revoked duplicate-good-unknown duplicate-unknown-revoked "
        "duplicate-by-two-hashes-revoked",
    ),
    (
        "cryptography reads no further than the error's code.",
        "error-with-an-answer",
    ),
    (
        "We bound a serial at 64 octets (RFC 5280 4.1.2.2: 20).",
        "serial-endless",
    ),
    (
        "cryptography reads an empty list of extensions, which RFC 5280 4.1 forbids.",
        "extensions-empty single-extensions-empty",
    ),
    (
        "cryptography does not hold KeyHash to the 20 octets of SHA-1.",
        "responder-key-of-19",
    ),
    (
        "cryptography parses every certificate in certs; we pass over what is no certificate.",
        "delegate-after-garbage only-garbage",
    ),
]
DIFFERS: dict[tuple[str, str], str] = {
    (oracle, case): reason
    for oracle, reasons in (("openssl", _OPENSSL), ("cryptography", _CRYPTOGRAPHY))
    for reason, cases in reasons
    for case in cases.split()
}
