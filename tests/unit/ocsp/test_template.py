"""Template: what it makes of parts is what `Signer.respond` makes of values, octet for octet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.ocsp.certid import CertID, Subject, serial_octets
from holdfast.ocsp.extension import Extension, encode_extensions
from holdfast.ocsp.response import (
    GOOD,
    UNKNOWN,
    CertificateStatus,
    Response,
    RevocationReason,
    Revoked,
    SingleResponse,
    assemble,
    encode_certificate_status,
    encode_response_data,
)
from holdfast.ocsp.sign import Signer
from holdfast.ocsp.template import Template
from holdfast.ocsp.verify import examine
from support.pki import AT, a_root, a_signer

CA = a_root()
SIGNERS = {
    name: Signer(who.certificate, who.key, CA.certificate, responder=responder, pss=False)  # type: ignore[arg-type]
    for name, who, responder in (
        ("rsa-2048", a_signer(CA, "RSA", key_type="rsa-2048"), "key"),
        ("ed25519", a_signer(CA, "Ed", key_type="ed25519"), "name"),
        ("p256, the CA itself", CA, "key"),
        ("p384", a_signer(CA, "P-384", key_type="ecdsa-p384"), "name"),
    )
}
HASHES = {"p256, the CA itself": hashes.SHA256(), "p384": hashes.SHA384()}
TEMPLATES: dict[object, Template] = {}  # kept over examples, so that what is cached is used

serials = st.one_of(
    st.integers(-(2**20), 2**20), st.integers(0, 2**160 - 1), st.integers(0, 2**400)
)
instants = st.integers(631_152_000, 4_070_908_800).map(  # 1990 to 2099
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
statuses: st.SearchStrategy[CertificateStatus] = st.one_of(
    st.just(GOOD),
    st.just(UNKNOWN),
    st.builds(Revoked, instants, st.sampled_from([None, *RevocationReason])),
)
extensions = st.lists(
    st.builds(
        Extension,
        st.sampled_from(["1.3.6.1.5.5.7.48.1.2", "1.2.3", "2.999.1"]),
        st.booleans(),
        st.binary(max_size=200),
    ),
    max_size=3,
    unique_by=lambda extension: extension.oid,
).map(tuple)
hash_lists = st.lists(
    st.sampled_from(["sha1", "sha256", "sha384", "sha512"]), min_size=1, max_size=3, unique=True
).map(tuple)


@settings(max_examples=300, deadline=None)
@given(
    who=st.sampled_from(sorted(SIGNERS)),
    serial=serials,
    certificate_status=statuses,
    times=st.tuples(instants, instants, instants),
    hashes=hash_lists,
    null=st.booleans(),
    of_single=extensions,
    of_response=extensions,
)
def test_octet_for_octet_what_the_signer_makes(
    *,
    who: str,
    serial: int,
    certificate_status: CertificateStatus,
    times: tuple[datetime, datetime, datetime],
    hashes: tuple[str, ...],
    null: bool,
    of_single: tuple[Extension, ...],
    of_response: tuple[Extension, ...],
) -> None:
    """R2, R3, R9, R28."""
    signer = SIGNERS[who]
    template = TEMPLATES.setdefault(
        (who, hashes, null), Template(signer, hashes, null_parameters=null)
    )
    produced_at, this_update, next_update = times
    moment = template.moment(
        produced_at=produced_at,
        this_update=this_update,
        next_update=next_update,
        single_extensions=of_single,
    )
    wanted = encode_certificate_status(certificate_status)
    made = moment.respond(serial_octets(serial), wanted, encode_extensions(1, of_response))
    certids = [
        CertID.of(serial, CA.certificate, name)._replace(null_parameters=null) for name in hashes
    ]
    singles = [
        SingleResponse(certid, certificate_status, this_update, next_update, of_single)
        for certid in certids
    ]
    if who in ("rsa-2048", "ed25519"):  # whose signatures are the same each time
        assert made == signer.respond(singles, produced_at=produced_at, extensions=of_response)
    tbs = encode_response_data(signer.responder_id, produced_at, tuple(singles), of_response)
    basic = Response.parse(made).basic
    assert basic is not None
    assert basic.tbs == tbs
    assert made == assemble(tbs, basic.signature_algorithm, basic.signature, signer.certificates)


@pytest.mark.parametrize("who", sorted(SIGNERS))
def test_clients_find_it_good_by_every_hash(who: str) -> None:
    """R28: signed once, judged by clients that ask with SHA-1 and with SHA-256."""
    moment = Template(SIGNERS[who], ("sha1", "sha256")).moment(
        produced_at=AT, this_update=AT, next_update=AT + timedelta(hours=12)
    )
    for serial in (5, 2**90 + 7):
        made = Response.parse(moment.respond(serial_octets(serial), b"\x80\x00"))
        assert examine(made, Subject(serial, CA.certificate), at=AT).good
        assert not examine(made, Subject(serial + 1, CA.certificate), at=AT).valid
        assert made.basic is not None
        assert [one.certid.hash_algorithm for one in made.basic.singles] == ["sha1", "sha256"]


def test_a_nonce_of_another_length_does_not_disturb_the_next() -> None:
    moment = Template(SIGNERS["rsa-2048"]).moment(
        produced_at=AT, this_update=AT, next_update=AT + timedelta(hours=12)
    )
    nonces = [
        encode_extensions(1, (Extension("1.3.6.1.5.5.7.48.1.2", False, bytes(n)),))
        for n in (1, 32, 128)
    ]
    plain = moment.respond(b"\x05", b"\x80\x00")
    for nonce in nonces:
        made = Response.parse(moment.respond(b"\x05", b"\x80\x00", nonce))
        assert examine(made, Subject(5, CA.certificate), at=AT).good
    assert moment.respond(b"\x05", b"\x80\x00") == plain


def test_many_at_once_are_what_each_is_alone() -> None:
    """Of serials of several lengths and statuses by turns, signatures of several lengths."""
    revoked = encode_certificate_status(Revoked(AT, RevocationReason.SUPERSEDED))
    keyed = encode_certificate_status(Revoked(AT, RevocationReason.KEY_COMPROMISE))
    rows = [
        (serial_octets(serial * step), said)
        for step in (1, 2**40, 2**150)
        for serial in range(1, 100)
        for said in [(b"\x80\x00", revoked, keyed, b"\x80" + b"\x00")[serial % 4]]
    ]
    for who, signer in SIGNERS.items():
        moment = Template(signer, ("sha1", "sha256")).moment(
            produced_at=AT, this_update=AT, next_update=AT + timedelta(hours=12)
        )
        made = moment.records(
            [serial for serial, _ in rows],
            lambda status_at, length: bytes((status_at >> 8, status_at & 255, length)),
            said=b"\x80\x00",
            otherwise={serial: said for serial, said in rows if said != b"\x80\x00"},
        )
        for (serial, said), value in zip(rows, made, strict=True):
            at = value[0] << 8 | value[1]
            response = value[35:]
            assert value[3:35] == sha256(response).digest()
            assert response[at : at + value[2]] == said
            certid = CertID.of(int.from_bytes(serial, "big"), CA.certificate, "sha1").encode()
            assert at == response.index(certid) + len(certid)
            if who in ("rsa-2048", "ed25519"):
                assert response == moment.respond(serial, said)
            else:
                basic, alone = (
                    Response.parse(one).basic for one in (response, moment.respond(serial, said))
                )
                assert basic is not None
                assert alone is not None
                assert basic.tbs == alone.tbs
                key = signer.certificate.public_key
                assert isinstance(key, ec.EllipticCurvePublicKey)
                key.verify(basic.signature, basic.tbs, ec.ECDSA(HASHES[who]))
