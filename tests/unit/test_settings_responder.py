"""[responder]: what is accepted, and what is refused with file, line, column and a way out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.settings import Settings, read_settings
from holdfast.settings_responder import practice_of
from holdfast.settings_shown import show_settings
from holdfast.toml_places import place_of
from holdfast.wiring_responder_service import signer_places

WHOLE = """\
[responder]
listen = ["127.0.0.1:8888", "run/ocsp.sock"]
workers = 4
status = "127.0.0.1:9121"
audit = "audit.log"

[responder.limits]
idle = "5s"

[[responder.ca]]
certificate = "ca.pem"
prefix = "/one"
index = "index.txt"
profile = "webpki"
validity = "4d"
store = "shelf"
hashes = ["sha1", "sha256"]

[[responder.ca.signers]]
certificate = "old.pem"

[[responder.ca.signers]]
certificate = "new.pem"
key = "pkcs11:token=ocsp;object=new"
passphrase_file = "pin"
sessions = 9

[[responder.ca]]
certificate = "/etc/ca2.pem"
key = "ca2.key"
ledger = "postgresql://db/pki"
backdate = "1h"
compromised = 2026-03-01T12:00:00Z
archive_cutoff = "7d"
signed_requests = "required"
requestors = ["who.pem"]
"""
CA = '[[responder.ca]]\ncertificate = "c"\n'
INDEX = f'{CA}index = "i"\n'


def read(folder: Path, text: str) -> Settings:
    (folder / "holdfast.toml").write_text(text, encoding="utf-8")
    return read_settings(folder / "holdfast.toml")


def test_everything_with_paths_from_the_file(tmp_path: Path) -> None:
    table = read(tmp_path, WHOLE).responder
    one, two = table.ca
    assert table.listen == ["127.0.0.1:8888", str(tmp_path / "run/ocsp.sock")]
    assert (table.audit, table.limits.idle) == (
        str(tmp_path / "audit.log"),
        timedelta(seconds=5),
    )
    assert (one.certificate, one.index) == (str(tmp_path / "ca.pem"), str(tmp_path / "index.txt"))
    assert [signer.certificate for signer in one.signers] == [
        str(tmp_path / "old.pem"),
        str(tmp_path / "new.pem"),
    ]
    assert one.signers[1].key == "pkcs11:token=ocsp;object=new", "a URI is no path"
    assert one.signers[1].passphrase_file == str(tmp_path / "pin")
    assert [signer.sessions for signer in one.signers] == [4, 9]
    assert (two.certificate, two.ledger) == ("/etc/ca2.pem", "postgresql://db/pki")
    assert (two.backdate, two.validity) == (timedelta(hours=1), timedelta(hours=12))


def test_the_one_signer_is_the_only_one_of_signers(tmp_path: Path) -> None:
    """As most have it: `signer` and `key`, as the options of the command are called."""
    one = read(tmp_path, f'{INDEX}signer = "s.pem"\nkey = "s.key"\npassphrase_file = "pin"\n')
    several = read(
        tmp_path,
        f'{INDEX}signers = [{{ certificate = "s.pem", key = "s.key", passphrase_file = "pin" }}]\n',
    )
    assert one.responder == several.responder


def test_the_sessions_of_a_token_reach_it(tmp_path: Path) -> None:
    """R34: from each place where a key may stand; beside a file they would do nothing."""
    token = 'key = "pkcs11:object=a"\nsessions = 7\n'
    for text in (
        f'{INDEX}signer = "s.pem"\n{token}',
        f"{INDEX}{token}",
        f'{INDEX}[[responder.ca.signers]]\ncertificate = "s.pem"\n{token}',
    ):
        (place,) = signer_places(read(tmp_path, text).responder.ca[0])
        assert place.sessions == 7
        with pytest.raises(OperatorError, match="sessions: without a pkcs11: key") as caught:
            read(tmp_path, text.replace("pkcs11:object=a", "s.key"))
        assert "leave sessions out" in caught.value.hint


def test_what_is_shown_is_read_again(tmp_path: Path) -> None:
    table = read(tmp_path, WHOLE)
    assert read(tmp_path, show_settings(table)).responder == table.responder


def test_the_journal_is_no_file(tmp_path: Path) -> None:
    assert read(tmp_path, '[responder]\naudit = "journal"\n').responder.audit == "journal"


WEBPKI = f'{INDEX}profile = "webpki"\n'
ERRORS: dict[str, tuple[str, str, str]] = {
    "key": ("[responder]\nwrokers = 2\n", ":2:1: unknown key 'wrokers'", "'workers'"),
    "key of a CA": (
        f'{INDEX}[[responder.ca]]\ncertificate = "c"\nindxe = "i"\n',
        ":6:1: unknown key 'indxe' in ca of [responder]",
        "'index'",
    ),
    "key of a signer": (
        f'{INDEX}[[responder.ca.signers]]\ncertificate = "s"\n[[responder.ca.signers]]\n'
        'certificat = "s"\n',
        ":7:1: unknown key 'certificat' in ca.signers of [responder]",
        "'certificate'",
    ),
    "missing": (
        '[[responder.ca]]\nindex = "i"\n',
        ":1:3: [[responder.ca]] without 'certificate'",
        "add certificate",
    ),
    "choice": (f'{INDEX}profile = "web"\n', ":4:1: profile:", "one of , webpki"),
    "hash": (f'{INDEX}hashes = ["md5"]\n', ":4:1: hashes", "sha1, sha256"),
    "type": (f'{INDEX}crls = "x"\n', ":4:1: crls: expected array, not str", 'crls = ["..."]'),
    "duration": (f"{INDEX}validity = 12\n", ":4:1: validity: 12 is not a duration", "12h"),
    "limit": ('[responder.limits]\nidle = "x"\n', ":2:1: idle: 'x' is not a duration", "90s"),
    "listen": ('[responder]\nlisten = ["8888"]\n', ":2:1: listen: '8888'", "127.0.0.1:8888"),
    "status": ('[responder]\nstatus = "9121"\n', ":2:1: status", "127.0.0.1:9121"),
    "no ledger": (CA, ":1:3: no ledger", "index ="),
    "two ledgers": (f'{INDEX}crls = ["x"]\n', ":4:1: crls: index and crls are 2", "one of"),
    "query": (f'{INDEX}ledger_query = "x"\n', ":4:1: ledger_query: without", "ledger ="),
    "unlisted": (f'{INDEX}crl_unlisted = "good"\n', ":4:1: crl_unlisted: without crls", "leave"),
    "signed already": (
        f'{CA}responses = "r"\nkey = "k"\n',
        ":4:1: key: beside responses",
        "leave key out",
    ),
    "revoked by a CRL": (
        f'{CA}crls = ["x"]\nnever_issued = "revoked"\n',
        ":4:1: never_issued: with crls every valid certificate would be answered revoked",
        "crl_unlisted",
    ),
    "two keys": (
        f'{INDEX}key = "k"\nsigners = [{{ certificate = "s" }}]\n',
        ":4:1: key: of the CA itself, beside signers",
        "leave key out",
    ),
    "one signer and several": (
        f'{INDEX}signer = "s"\nsigners = [{{ certificate = "s" }}]\n',
        ":4:1: signer: one, beside several",
        "among signers",
    ),
    "nobody may sign": (
        f'{INDEX}signed_requests = "required"\n',
        ":4:1: signed_requests",
        "who.pem",
    ),
    "signed for nothing": (f'{INDEX}requestors = ["x"]\n', ":4:1: requestors", "verified"),
    "no zone": (f"{INDEX}compromised = 2026-03-01T12:00:00\n", ":4:1: compromised", "Z"),
    "no instant": (f'{INDEX}compromised = "x"\n', ":4:1: compromised", ""),
    "webpki signed": (
        f'{WEBPKI}signed_requests = "required"\nrequestors = ["x"]\n',
        ":5:1: signed_requests: relying parties ask with unsigned requests",
        "RFC 5019",
    ),
    "hash twice": (f'{INDEX}hashes = ["sha1", "sha1"]\n', ":4:1: hashes", "sha1"),
    "prefix": (f'{INDEX}prefix = "one"\n', ":4:1: prefix: 'one' is not a path", "slash"),
    "prefix twice": (
        f'{INDEX}prefix = "/a"\n{INDEX}prefix = "/a/"\n',
        ":8:1: prefix: two CAs answer under '/a'",
        "CertID",
    ),
    "webpki short": (f'{WEBPKI}validity = "7h"\n', ":5:1: validity: answers", "8h"),
    "webpki long": (f'{WEBPKI}validity = "11d"\n', ":5:1: validity: answers", "10d"),
    "webpki backdate": (
        f'{WEBPKI}validity = "10d"\nbackdate = "1h"\n',
        ":5:1: validity: answers that hold for 241h (backdate counted)",
        "4.9.10",
    ),
    "webpki unlisted": (
        f'{CA}crls = ["x"]\ncrl_unlisted = "good"\nprofile = "webpki"\n',
        ":4:1: crl_unlisted: a serial that was never issued would be answered good",
        "ledger that knows",
    ),
    "webpki delay": (
        f'{WEBPKI}store = "s"\ndelay = "1h"\n',
        ":6:1: delay: a new certificate is answered only 1h after",
        "15m",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_where_and_what_to_do(tmp_path: Path, case: str) -> None:
    """R31: the profile's refusals too name the key's line, and the requirement's section."""
    text, told, hint = ERRORS[case]
    with pytest.raises(OperatorError) as caught:
        read(tmp_path, text)
    assert f"holdfast.toml{told}" in caught.value.message
    assert hint in caught.value.hint + caught.value.message


@pytest.mark.parametrize("case", [case for case in ERRORS if case.startswith("webpki")])
def test_without_the_profile_it_is_the_operators_to_decide(tmp_path: Path, case: str) -> None:
    """The red twin's twin: the same settings are read when no profile is asked for."""
    text = ERRORS[case][0].replace('profile = "webpki"\n', "")
    assert len(read(tmp_path, text).responder.ca) == 1


@pytest.mark.parametrize(
    "line",
    [
        'signed_requests = "required"\nrequestors = ["who.pem"]',
        "compromised = 2026-03-01T12:00:00Z",
        'archive_cutoff = "7d"',
        'tell = ["crl"]',
    ],
)
def test_answers_signed_elsewhere_keep_no_rule_of_signing(tmp_path: Path, line: str) -> None:
    """R7, R12, R14: refused, for passed over in silence they would be believed to hold; the same
    line beside a ledger is read."""
    key = line.partition(" ")[0]
    with pytest.raises(OperatorError, match=f":4:1: {key}: beside responses"):
        read(tmp_path, f'{CA}responses = "r"\n{line}\n')
    assert len(read(tmp_path, f"{INDEX}{line}\n").responder.ca) == 1


def test_the_practice_of_a_store_counts_its_delay(tmp_path: Path) -> None:
    (live,) = read(tmp_path, f'{INDEX}delay = "5m"\n').responder.ca
    (stored,) = read(tmp_path, f'{INDEX}store = "s"\ndelay = "5m"\n').responder.ca
    assert practice_of(live).noticed_within == timedelta(0)
    assert practice_of(stored).noticed_within == timedelta(minutes=5)


def test_places_in_arrays_within_arrays() -> None:
    text = WHOLE
    lines = text.splitlines()
    for path, expected in (
        (("responder", "limits", "idle"), 'idle = "5s"'),
        (("responder", "ca", 0, "prefix"), 'prefix = "/one"'),
        (("responder", "ca", 0, "signers", 1, "certificate"), 'certificate = "new.pem"'),
        (("responder", "ca", 1, "key"), 'key = "ca2.key"'),
    ):
        found = place_of(text, path)
        assert found is not None
        assert lines[found[0] - 1] == expected
