"""V4: signature algorithms by allow-list; SHA-1 and MD5 refused unless allowed; parameters."""

from __future__ import annotations

import hashlib
from typing import Any

from holdfast.ocsp import der
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from support.builders import (
    ECDSA_OIDS,
    HASH_OIDS,
    basic_response,
    by_key,
    pss_parameters,
    rsa_pkcs1,
    rsa_pss,
    signature,
    signed_response,
    wrapped,
)  # fmt: skip
from vectors.cast import BASE, BY_KIND, CA, RSA_CA, answer, case, data, delegate, says

WEAK, BAD = "weak-signature", "bad-signature"
RSA_ID = CertID.of(0x2001, RSA_CA.certificate)
TBS = data(says(of=RSA_ID), by=RSA_CA)
KEY = RSA_CA.key


def of_rsa(id: str, told: str, made: tuple[AlgorithmIdentifier, bytes], expect: str, *codes: str,
           twin: str = "rsa-sha256", **policy: Any) -> None:  # fmt: skip
    response = signed_response(KEY, TBS, made=made)
    case(
        id,
        "V4",
        told,
        response,
        expect,
        *codes,
        twin=twin,
        leaf="rsa-leaf",
        issuer="rsa-ca",
        **policy,
    )


def damaged(made: tuple[AlgorithmIdentifier, bytes]) -> tuple[AlgorithmIdentifier, bytes]:
    """The same with one bit in the middle of the signature flipped."""
    octets = bytearray(made[1])
    octets[len(octets) // 2] ^= 0x10
    return made[0], bytes(octets)


# -- RSA PKCS#1 v1.5 --------------------------------------------------------------------------

for digest in ("sha224", "sha256", "sha384", "sha512"):
    made = rsa_pkcs1(KEY, TBS, digest)
    of_rsa(f"rsa-{digest}", f"RSA with {digest}.", made, "good", twin=f"rsa-{digest}-damaged")
    of_rsa(
        f"rsa-{digest}-damaged",
        f"RSA with {digest}, one bit of the signature flipped.",
        damaged(made),
        "not good",
        BAD,
        twin=f"rsa-{digest}",
    )
of_rsa(
    "rsa-parameters-absent",
    "RSA with SHA-256, parameters absent instead of NULL.",
    rsa_pkcs1(KEY, TBS, "sha256", parameters=b""),
    "good",
    twin="rsa-parameters-odd",
)
of_rsa(
    "rsa-parameters-odd",
    "RSA with SHA-256, parameters an INTEGER.",
    rsa_pkcs1(KEY, TBS, "sha256", parameters=b"\x02\x01\x00"),
    "not good",
    WEAK,
    twin="rsa-parameters-absent",
)
of_rsa("rsa-sha1", "RSA with SHA-1.", rsa_pkcs1(KEY, TBS, "sha1"), "not good", WEAK)
of_rsa(
    "rsa-sha1-allowed",
    "RSA with SHA-1 and --allow-sha1.",
    rsa_pkcs1(KEY, TBS, "sha1"),
    "good",
    twin="rsa-sha1",
    allow_sha1=True,
)
of_rsa(
    "rsa-sha1-allowed-damaged",
    "Allowed, and damaged.",
    damaged(rsa_pkcs1(KEY, TBS, "sha1")),
    "not good",
    BAD,
    twin="rsa-sha1-allowed",
    allow_sha1=True,
)
of_rsa("rsa-md5", "RSA with MD5.", rsa_pkcs1(KEY, TBS, "md5"), "not good", WEAK)
of_rsa(
    "rsa-md5-sha1-allowed",
    "--allow-sha1 does not allow MD5.",
    rsa_pkcs1(KEY, TBS, "md5"),
    "not good",
    WEAK,
    twin="rsa-sha1-allowed",
    allow_sha1=True,
)
of_rsa(
    "rsa-hash-lies",
    "Signed over SHA-512, the algorithm says SHA-256.",
    (AlgorithmIdentifier("1.2.840.113549.1.1.11", der.NULL_DER), rsa_pkcs1(KEY, TBS, "sha512")[1]),
    "not good",
    BAD,
)

# -- RSA PSS ----------------------------------------------------------------------------------

for digest in ("sha256", "sha384", "sha512"):
    made = rsa_pss(KEY, TBS, digest)
    of_rsa(f"pss-{digest}", f"RSA-PSS with {digest}.", made, "good", twin=f"pss-{digest}-damaged")
    of_rsa(
        f"pss-{digest}-damaged",
        f"RSA-PSS with {digest}, damaged.",
        damaged(made),
        "not good",
        BAD,
        twin=f"pss-{digest}",
    )
of_rsa(
    "pss-salt-of-20",
    "RSA-PSS with SHA-256 and a salt of 20 octets, left away as the default.",
    rsa_pss(KEY, TBS, "sha256", salt=b"s" * 20),
    "good",
    twin="pss-salt-lies",
)
of_rsa(
    "pss-salt-lies",
    "The salt has 20 octets, the parameters say 32.",
    rsa_pss(KEY, TBS, "sha256", salt=b"s" * 20, parameters=pss_parameters("sha256", "sha256", 32)),
    "not good",
    BAD,
    twin="pss-salt-of-20",
)
of_rsa(
    "pss-sha1",
    "RSA-PSS with everything at its default, SHA-1.",
    rsa_pss(KEY, TBS, "sha1"),
    "not good",
    WEAK,
    twin="pss-sha1-allowed",
)
of_rsa(
    "pss-sha1-allowed",
    "The same with --allow-sha1.",
    rsa_pss(KEY, TBS, "sha1"),
    "good",
    twin="pss-sha1",
    allow_sha1=True,
)
of_rsa(
    "pss-mask-by-another-hash",
    "RSA-PSS with SHA-256, its mask by SHA-512.",
    rsa_pss(KEY, TBS, "sha256", mask="sha512"),
    "not good",
    WEAK,
    twin="pss-sha256",
)
of_rsa(
    "pss-mask-by-sha1",
    "RSA-PSS with SHA-256, its mask by SHA-1, which is the default.",
    rsa_pss(KEY, TBS, "sha256", mask="sha1"),
    "not good",
    WEAK,
    twin="pss-sha256",
)
of_rsa(
    "pss-without-parameters",
    "RSA-PSS with parameters absent, which RFC 4055 forbids.",
    rsa_pss(KEY, TBS, "sha256", parameters=b""),
    "not good",
    WEAK,
    twin="pss-sha256",
)
of_rsa(
    "pss-trailer-of-2",
    "RSA-PSS with a trailer field that is not 1.",
    rsa_pss(
        KEY,
        TBS,
        "sha256",
        parameters=der.sequence(
            *[pss_parameters("sha256", "sha256", 32)[2:], der.tlv(0xA3, der.encode_integer(2))]
        ),
    ),
    "not good",
    WEAK,
    twin="pss-sha256",
)
of_rsa(
    "pss-called-pkcs1",
    "A PSS signature under the name of PKCS#1.",
    (AlgorithmIdentifier("1.2.840.113549.1.1.11", der.NULL_DER), rsa_pss(KEY, TBS, "sha256")[1]),
    "not good",
    BAD,
)
of_rsa(
    "ecdsa-named-by-rsa-key",
    "The issuer's key is RSA, the algorithm says ECDSA.",
    (AlgorithmIdentifier(ECDSA_OIDS["sha256"]), rsa_pkcs1(KEY, TBS, "sha256")[1]),
    "not good",
    BAD,
)

# -- the other families -----------------------------------------------------------------------

SERIAL = 0x3003


def of_kind(id: str, kind: str, told: str, expect: str, *codes: str, digest: str = "",
            twin: str = "", damage: bool = False, **policy: Any) -> None:  # fmt: skip
    ca = BY_KIND[kind]
    tbs = data(says(of=CertID.of(SERIAL, ca.certificate)), by=ca)
    made = signature(ca.key, tbs, digest=digest)
    response = signed_response(ca.key, tbs, made=damaged(made) if damage else made)
    issuer = "ca" if kind == "ecdsa-p256" else f"{kind}-ca"
    case(
        id,
        "V4",
        told,
        response,
        expect,
        *codes,
        twin=twin or BASE,
        issuer=issuer,
        serial=SERIAL,
        **policy,
    )


for kind in ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521"):
    for digest in ("sha224", "sha256", "sha384", "sha512"):
        of_kind(
            f"{kind}-{digest}",
            kind,
            f"{kind} with {digest}.",
            "good",
            digest=digest,
            twin=f"{kind}-damaged",
        )
    of_kind(
        f"{kind}-damaged",
        kind,
        f"{kind}, one bit of the signature flipped.",
        "not good",
        BAD,
        damage=True,
        twin=f"{kind}-sha256",
    )
    of_kind(
        f"{kind}-sha1",
        kind,
        f"{kind} with SHA-1.",
        "not good",
        WEAK,
        digest="sha1",
        twin=f"{kind}-sha1-allowed",
    )
    of_kind(
        f"{kind}-sha1-allowed",
        kind,
        f"{kind} with SHA-1 and --allow-sha1.",
        "good",
        digest="sha1",
        twin=f"{kind}-sha1",
        allow_sha1=True,
    )
for kind in ("ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"):
    of_kind(kind, kind, f"{kind}.", "good", twin=f"{kind}-damaged")
    of_kind(
        f"{kind}-damaged",
        kind,
        f"{kind}, one bit of the signature flipped.",
        "not good",
        BAD,
        damage=True,
        twin=kind,
    )

P256 = data()
case(
    "ecdsa-null-parameters",
    "V4",
    "ECDSA with parameters NULL: RFC 5758 wants them absent.",
    signed_response(
        CA.key,
        P256,
        made=(AlgorithmIdentifier(ECDSA_OIDS["sha256"], der.NULL_DER), signature(CA.key, P256)[1]),
    ),
    "not good",
    WEAK,
)
case(
    "algorithm-unknown",
    "V4",
    "An algorithm that nobody knows.",
    signed_response(
        CA.key, P256, made=(AlgorithmIdentifier("1.3.6.1.4.1.99999.7"), signature(CA.key, P256)[1])
    ),
    "not good",
    WEAK,
)
case(
    "algorithm-is-a-hash",
    "V4",
    "The algorithm is SHA-256's, the signature the hash itself.",
    signed_response(
        CA.key, P256, made=(AlgorithmIdentifier(HASH_OIDS["sha256"]), hashlib.sha256(P256).digest())
    ),
    "not good",
    WEAK,
)
case(
    "algorithm-is-a-key",
    "V4",
    "The algorithm is id-ecPublicKey.",
    signed_response(
        CA.key, P256, made=(AlgorithmIdentifier("1.2.840.10045.2.1"), signature(CA.key, P256)[1])
    ),
    "not good",
    WEAK,
)
case(
    "algorithm-ed25519-by-ecdsa-key",
    "V4",
    "The algorithm says Ed25519, the key is ECDSA.",
    signed_response(
        CA.key, P256, made=(AlgorithmIdentifier("1.3.101.112"), signature(CA.key, P256)[1])
    ),
    "not good",
    BAD,
)

# -- the delegate's own certificate -----------------------------------------------------------

SHA1_SIGNER = delegate(RSA_CA, "sha1-signer", 140, digest="sha1")
MD5_SIGNER = delegate(RSA_CA, "md5-signer", 141, digest="md5")
for short, signer, allowed in (("sha1", SHA1_SIGNER, True), ("md5", MD5_SIGNER, False)):
    told = answer(says(of=RSA_ID), by=signer, named=by_key(signer.certificate))
    case(
        f"delegate-certificate-{short}",
        "V4",
        f"The delegate's certificate is signed with {short}.",
        told,
        "not good",
        WEAK if allowed else "signer-unauthorised",
        twin=f"delegate-certificate-{short}-allowed" if allowed else "delegate-of-rsa-issuer",
        leaf="rsa-leaf",
        issuer="rsa-ca",
    )
    case(
        f"delegate-certificate-{short}-allowed",
        "V4",
        "The same with --allow-sha1.",
        told,
        "good" if allowed else "not good",
        *(() if allowed else ("signer-unauthorised",)),
        twin=f"delegate-certificate-{short}" if allowed else "delegate-of-rsa-issuer",
        leaf="rsa-leaf",
        issuer="rsa-ca",
        allow_sha1=True,
    )
case(
    "delegate-of-rsa-issuer",
    "V4",
    "An ECDSA delegate of an RSA issuer.",
    answer(says(of=RSA_ID), by=delegate(RSA_CA, "rsa-ca-signer", 142)),
    "good",
    twin="delegate-certificate-sha1",
    leaf="rsa-leaf",
    issuer="rsa-ca",
)
case(
    "unused-bits",
    "V6",
    "The signature's BIT STRING says that one bit is unused.",
    wrapped(
        basic_response(
            P256,
            der.sequence(der.encode_oid(ECDSA_OIDS["sha256"])),
            der.tlv(3, b"\x01", signature(CA.key, P256)[1][:-1] + b"\x02"),
        )
    ),
    "malformed",
    "malformed",
)
