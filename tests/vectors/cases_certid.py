"""V1: the answer is about this certificate: all four fields, whole serials, every single."""

from __future__ import annotations

import hashlib

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import GOOD, UNKNOWN, RevocationReason, Revoked
from vectors.cast import (
    AT,
    CA,
    HIGH_LEAF,
    IMPOSTOR,
    LEAF,
    LEAF_ID,
    LONG_LEAF,
    OTHER_ID,
    RENAMED,
    SECOND,
    SIBLING,
    THIS,
    answer,
    case,
    says,
)  # fmt: skip

WRONG = "wrong-certificate"
REVOKED = Revoked(THIS - SECOND, RevocationReason.KEY_COMPROMISE)
SERIAL = LEAF.certificate.serial


def about(serial: int) -> CertID:
    return LEAF_ID._replace(serial=serial)


def by(digest: str) -> CertID:
    return CertID.of(SERIAL, CA.certificate, digest)


case(
    "answers-the-certificate",
    "V1",
    "The plain right answer: SHA-1 CertID, signed by the issuer, named by key.",
    answer(),
    "good",
    twin="another-certificates-staple",
)
case(
    "answers-a-serial",
    "V1",
    "The same, asked by serial and issuer without a leaf.",
    answer(),
    "good",
    serial=SERIAL,
    twin="another-serial",
)
case(
    "another-serial",
    "V1",
    "The serial is one higher.",
    answer(says(of=about(SERIAL + 1))),
    "nothing",
    WRONG,
    serial=SERIAL,
)
case(
    "another-certificates-staple",
    "CVE-2020-8286",
    "A good staple of the same CA's other "
    "certificate: without a look at the CertID it passes (curl).",
    answer(says(of=OTHER_ID)),
    "nothing",
    WRONG,
)
case(
    "another-name-hash",
    "V1",
    "issuerNameHash is one bit off.",
    answer(says(of=LEAF_ID._replace(issuer_name_hash=b"\x00" * 20))),
    "nothing",
    WRONG,
)
case(
    "another-key-hash",
    "V1",
    "issuerKeyHash is of zeros.",
    answer(says(of=LEAF_ID._replace(issuer_key_hash=b"\x00" * 20))),
    "nothing",
    WRONG,
)
case(
    "another-key-same-name",
    "V1",
    "The CertID is of a CA with the same name and another key.",
    answer(says(of=CertID.of(SERIAL, IMPOSTOR.certificate))),
    "nothing",
    WRONG,
)
case(
    "another-name-same-key",
    "V1",
    "The CertID is of a CA with the same key and another name.",
    answer(says(of=CertID.of(SERIAL, RENAMED.certificate))),
    "nothing",
    WRONG,
)
case(
    "hashes-swapped",
    "V1",
    "issuerNameHash and issuerKeyHash have changed places.",
    answer(
        says(
            of=LEAF_ID._replace(
                issuer_name_hash=LEAF_ID.issuer_key_hash, issuer_key_hash=LEAF_ID.issuer_name_hash
            )
        )
    ),
    "nothing",
    WRONG,
)
case(
    "hash-cut-short",
    "V1",
    "issuerKeyHash is its own first 19 octets.",
    answer(says(of=LEAF_ID._replace(issuer_key_hash=LEAF_ID.issuer_key_hash[:19]))),
    "nothing",
    WRONG,
)
case(
    "hash-empty",
    "V1",
    "Both hashes are empty octet strings, which are a prefix of anything.",
    answer(says(of=LEAF_ID._replace(issuer_key_hash=b"", issuer_name_hash=b""))),
    "nothing",
    WRONG,
)
case(
    "hash-algorithm-lies",
    "V1",
    "The hashes are SHA-1's, the algorithm says SHA-256.",
    answer(says(of=LEAF_ID._replace(hash_algorithm="sha256"))),
    "nothing",
    WRONG,
)
case(
    "serial-is-a-prefix",
    "CVE-2016-7444",
    "The answered serial is the first four octets of the "
    "certificate's five (GnuTLS compared the shorter length).",
    answer(says(of=about(SERIAL >> 8))),
    "nothing",
    WRONG,
    twin="serial-of-20-octets",
)
case(
    "serial-is-longer",
    "CVE-2026-10098",
    "The answered serial begins with the certificate's and has one octet more.",
    answer(says(of=about(SERIAL << 8 | 0x66))),
    "nothing",
    WRONG,
    twin="serial-of-20-octets",
)
case(
    "serial-of-20-octets",
    "V1",
    "A serial of 20 octets is compared whole.",
    answer(says(of=CertID.of(LONG_LEAF.certificate.serial, CA.certificate))),
    "good",
    leaf="long-leaf",
    twin="serial-of-20-octets-last-bit",
)
case(
    "serial-of-20-octets-last-bit",
    "V1",
    "The last bit of 160 differs.",
    answer(says(of=CertID.of(LONG_LEAF.certificate.serial ^ 1, CA.certificate))),
    "nothing",
    WRONG,
    leaf="long-leaf",
    twin="serial-of-20-octets",
)
case(
    "serial-high-bit",
    "V1",
    "A serial whose first octet is above 7f: the DER has a zero before it.",
    answer(says(of=CertID.of(HIGH_LEAF.certificate.serial, CA.certificate))),
    "good",
    leaf="high-leaf",
    twin="serial-negative",
)
case(
    "serial-negative",
    "V1",
    "The same octets without the zero: a negative number, another serial.",
    answer(says(of=about(HIGH_LEAF.certificate.serial - (1 << 32)))),
    "nothing",
    WRONG,
    leaf="high-leaf",
    twin="serial-high-bit",
)
case(
    "parameters-absent",
    "V1",
    "The hash's parameters are absent instead of NULL: equal.",
    answer(says(of=LEAF_ID._replace(null_parameters=False))),
    "good",
    twin="parameters-absent-another-serial",
)
case(
    "parameters-absent-another-serial",
    "V1",
    "Absent parameters and another serial.",
    answer(says(of=about(SERIAL + 1)._replace(null_parameters=False))),
    "nothing",
    WRONG,
    twin="parameters-absent",
)
for digest in ("sha256", "sha384", "sha512"):
    case(
        f"certid-{digest}",
        "V1",
        f"The CertID is by {digest}: right, and a note for old clients.",
        answer(says(of=by(digest))),
        "good",
        "certid-sha256",
        twin=f"certid-{digest}-another-serial",
    )
    case(
        f"certid-{digest}-another-serial",
        "V1",
        f"By {digest}, and about another serial.",
        answer(says(of=by(digest)._replace(serial=SERIAL + 1))),
        "nothing",
        WRONG,
        twin=f"certid-{digest}",
    )
case(
    "certid-sha256-absent-parameters",
    "V1",
    "By SHA-256 with parameters absent, as RFC 5754 has it.",
    answer(says(of=by("sha256")._replace(null_parameters=False))),
    "good",
    "certid-sha256",
    twin="certid-sha256-another-serial",
)
case(
    "certid-md5",
    "V1",
    "A CertID by MD5 names nothing for us.",
    answer(
        says(
            of=CertID(
                "1.2.840.113549.2.5",
                *(
                    hashlib.md5(part, usedforsecurity=False).digest()
                    for part in (CA.certificate.subject_der, CA.certificate.key_octets)
                ),
                SERIAL,
            )
        )
    ),
    "nothing",
    WRONG,
    twin="certid-sha256",
)

# -- several singles --------------------------------------------------------------------------

case(
    "several-second-is-good",
    "V1",
    "The first entry is another certificate's and revoked, the second is ours and good.",
    answer(says(REVOKED, of=OTHER_ID), says()),
    "good",
    twin="several-second-is-revoked",
)
case(
    "several-second-is-revoked",
    "CVE-2026-3832",
    "The first entry is another certificate's and "
    "good, the second is ours and revoked: read at index 0 it passes (GnuTLS).",
    answer(says(of=OTHER_ID), says(REVOKED)),
    "revoked",
    "revoked",
    twin="several-second-is-good",
)
case(
    "several-middle-is-unknown",
    "V1",
    "Of three entries the middle one is ours: unknown.",
    answer(says(of=OTHER_ID), says(UNKNOWN), says(of=about(7))),
    "unknown",
    "unknown",
    twin="several-last-is-good",
)
case(
    "several-last-is-good",
    "V1",
    "Of three entries the last one is ours: good.",
    answer(says(REVOKED, of=OTHER_ID), says(UNKNOWN, of=about(7)), says()),
    "good",
    twin="several-middle-is-unknown",
)
case(
    "several-none-is-ours",
    "V1",
    "Three entries, none ours.",
    answer(says(of=OTHER_ID), says(of=about(7)), says(of=CertID.of(SERIAL, SIBLING.certificate))),
    "nothing",
    WRONG,
    twin="several-last-is-good",
)
case(
    "duplicate-good-revoked",
    "OpenSSL 32376",
    "Ours stands twice, good then revoked: revoked wins and the contradiction is told.",
    answer(says(), says(REVOKED)),
    "not revoked",
    "revoked",
    "conflicting-singles",
    twin="duplicate-good-good",
)
case(
    "duplicate-revoked-good",
    "OpenSSL 32376",
    "Ours stands twice, revoked then good.",
    answer(says(REVOKED), says()),
    "not revoked",
    "revoked",
    "conflicting-singles",
    twin="duplicate-good-good",
)
case(
    "duplicate-good-unknown",
    "OpenSSL 32376",
    "Ours stands twice, good then unknown.",
    answer(says(), says(UNKNOWN)),
    "not unknown",
    "unknown",
    "conflicting-singles",
    twin="duplicate-good-good",
)
case(
    "duplicate-unknown-revoked",
    "OpenSSL 32376",
    "Ours stands twice, unknown then revoked.",
    answer(says(UNKNOWN), says(REVOKED)),
    "not revoked",
    "revoked",
    "conflicting-singles",
    twin="duplicate-good-good",
)
case(
    "duplicate-old-revoked-new-good",
    "OpenSSL 32376",
    "Revoked yesterday, good today, in one answer: newness does not undo a revocation.",
    answer(says(REVOKED, this=THIS - 3600 * SECOND), says()),
    "not revoked",
    "revoked",
    "conflicting-singles",
    twin="duplicate-good-good",
)
case(
    "duplicate-by-two-hashes-revoked",
    "OpenSSL 32376",
    "Good by its SHA-1 CertID and revoked by its SHA-256 CertID.",
    answer(says(), says(REVOKED, of=by("sha256"))),
    "not revoked",
    "revoked",
    "conflicting-singles",
    "certid-sha256",
    twin="two-hashes-good",
)
case(
    "duplicate-good-good",
    "V1",
    "Ours stands twice and both say good: no contradiction.",
    answer(says(), says()),
    "good",
    twin="duplicate-good-revoked",
)
case(
    "two-hashes-good",
    "V1, R28",
    "One answer for clients of both kinds: SHA-1 and SHA-256 CertID.",
    answer(says(), says(of=by("sha256"))),
    "good",
    twin="duplicate-by-two-hashes-revoked",
)
case(
    "two-hashes-good-sha256-first",
    "V1, R28",
    "The same with the SHA-256 CertID first: clients that know only SHA-1 find theirs, so no note.",
    answer(says(of=by("sha256")), says()),
    "good",
    twin="duplicate-by-two-hashes-revoked",
)
case(
    "one-is-newer",
    "V1",
    "Ours stands twice, both good: the newer window counts.",
    answer(says(this=THIS - 3600 * SECOND), says()),
    "good",
    twin="one-has-ended",
)
case(
    "one-has-ended",
    "V3",
    "Ours stands twice, both good, and the older window has ended: clients take the first.",
    answer(says(this=THIS - 3600 * SECOND, until=AT - 3600 * SECOND), says()),
    "not good",
    "expired",
    twin="one-is-newer",
)
case(
    "one-is-newer-but-revoked",
    "V1",
    "Ours stands twice, both revoked.",
    answer(says(REVOKED), says(REVOKED, this=THIS + SECOND)),
    "revoked",
    "revoked",
    "produced-before-this-update",
    twin="one-is-newer",
)

# -- what is said -----------------------------------------------------------------------------

case(
    "revoked",
    "V1",
    "A verified revoked is valid, and not good.",
    answer(says(REVOKED)),
    "revoked",
    "revoked",
)
case(
    "revoked-without-reason",
    "V1",
    "Revoked, no reason told.",
    answer(says(Revoked(THIS - SECOND))),
    "revoked",
    "revoked",
)
for reason in RevocationReason:
    case(
        f"revoked-{reason.text.lower()}",
        "V1",
        f"Revoked because of {reason.text}.",
        answer(says(Revoked(THIS - SECOND, reason))),
        "revoked",
        "revoked",
    )
case("unknown", "V1", "Unknown is not good.", answer(says(UNKNOWN)), "unknown", "unknown")
case(
    "nothing-optional",
    "V1",
    "Good, with every optional field left away.",
    answer(says(GOOD, until=None)),
    "good",
    "no-next-update",
    twin="unknown",
)
