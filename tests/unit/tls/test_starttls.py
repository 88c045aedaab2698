"""Every row of the STARTTLS table: a transcript that agrees, and red twins that do not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PeerError
from holdfast.tls.starttls import (
    DIALOGUES,
    DIRECT,
    MAX_DIALOGUE,
    Injected,
    Refused,
    Starttls,
)

_MYSQL = b"\x4a\x00\x00\x00\x0a8.0.36\x00" + bytes(4) + b"abcdefgh\x00"
_MYSQL_REST = b"\xff\x02\x00\xff\xdf\x15" + bytes(10) + b"ijklmnopqrst\x00caching_sha2_password\x00"


def mysql(flags: bytes) -> bytes:
    body = _MYSQL[4:] + flags + _MYSQL_REST
    return len(body).to_bytes(3, "little") + b"\x00" + body


LDAP_OK = bytes.fromhex("300c02010178070a010004000400")
LDAP_LONG = bytes.fromhex("308400000010020101788400000007") + bytes.fromhex("0a010004000400")
LDAP_NO = bytes.fromhex("300c02010178070a010204000400")
RDP_OK = bytes.fromhex("030000130ed000001234000200080001000000")
RDP_NO = bytes.fromhex("030000130ed000001234000300080002000000")

# scheme, what the server says in turn (None: it waits for us), and what we must have said
GREEN = [
    (
        "smtp",
        [b"220-mail\r\n220 ESMTP\r\n", b"250-mail\r\n250-STARTTLS\r\n250 HELP\r\n", b"220 go\r\n"],
        [b"EHLO", b"STARTTLS\r\n"],
    ),
    ("smtp", [b"220 m\n", b"250-m\n250 starttls\n", b"220 go\n"], [b"EHLO"]),
    ("lmtp", [b"220 m\r\n", b"250-m\r\n250 STARTTLS\r\n", b"220 go\r\n"], [b"LHLO"]),
    ("imap", [b"* OK ready\r\n", b"* CAPABILITY X\r\na1 OK begin\r\n"], [b"a1 STARTTLS\r\n"]),
    ("pop3", [b"+OK ready\r\n", b"+OK begin\r\n"], [b"STLS\r\n"]),
    ("ftp", [b"220-Welcome\r\nto us\r\n220 ready\r\n", b"234 go\r\n"], [b"AUTH TLS\r\n"]),
    (
        "xmpp",
        [
            b"<?xml version='1.0'?><stream:stream id='1'><stream:features><starttls "
            b"xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ],
        [b"to='h.example'", b"jabber:client", b"<starttls"],
    ),
    (
        "xmpp-server",
        [
            b"<stream:stream><stream:features><starttls xmlns="
            b"'urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ],
        [b"jabber:server"],
    ),
    ("irc", [b"421 * CAP :Unknown command\r\n670 * :go\r\n"], []),
    ("ldap", [LDAP_OK], [b"1.3.6.1.4.1.1466.20037"]),
    ("ldap", [LDAP_LONG], []),
    ("postgres", [b"S"], [bytes.fromhex("0000000804d2162f")]),
    ("mysql", [mysql(b"\xff\xff")], [b"\x20\x00\x00\x01"]),
    (
        "sieve",
        [b'"IMPLEMENTATION" "x"\r\n"STARTTLS"\r\nOK "ready"\r\n', b'OK "begin"\r\n'],
        [b"STARTTLS\r\n"],
    ),
    ("nntp", [b"200 news\r\n", b"382 go\r\n"], [b"STARTTLS\r\n"]),
    (
        "irc",
        [
            b":irc NOTICE * :looking\r\n:irc CAP * LS :multi-prefix tls\r\n"
            b":irc NOTICE * :found\r\n:irc 670 * :go\r\n",
        ],
        [b"CAP LS\r\n", b"STARTTLS\r\n"],
    ),
    ("rdp", [RDP_OK], [b"\x03\x00\x00\x13"]),
]

RED = [
    ("smtp", [b"554 no\r\n"]),
    ("smtp", [b"220 m\r\n", b"250 HELP\r\n"]),
    ("smtp", [b"220 m\r\n", b"250-STARTTLSX\r\n250 HELP\r\n"]),
    ("smtp", [b"220 m\r\n", b"250 STARTTLS\r\n", b"454 not now\r\n"]),
    ("smtp", [b"SSH-2.0-OpenSSH_9.2\r\n"]),
    ("lmtp", [b"220 m\r\n", b"500 what\r\n"]),
    ("imap", [b"* BYE\r\n"]),
    ("imap", [b"* PREAUTH hello\r\n"]),
    ("imap", [b"* OK\r\n", b"a1 NO never\r\n"]),
    ("imap", [b"* OK\r\n", b"* a1 OK\r\na1 BAD what\r\n"]),
    ("pop3", [b"-ERR\r\n"]),
    ("pop3", [b"+OK\r\n", b"-ERR\r\n"]),
    ("ftp", [b"220 x\r\n", b"500 what\r\n"]),
    ("xmpp", [b"<stream:stream><stream:features><bind/></stream:features>"]),
    ("xmpp", [b"<stream:error><host-unknown/></stream:error>"]),
    (
        "xmpp",
        [
            b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
            b"</stream:features>",
            b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        ],
    ),
    ("xmpp-server", [b"<stream:features/>"]),
    ("ldap", [LDAP_NO]),
    ("ldap", [b"HTTP/1.1 400\r\n"]),
    ("postgres", [b"N"]),
    ("postgres", [b"E"]),
    ("mysql", [mysql(b"\xff\xf7")]),
    ("mysql", [b"\x45\x00\x00\x00\xffj\x04Host is not allowed" + bytes(60)]),
    ("sieve", [b'"IMPLEMENTATION" "x"\r\nOK\r\n']),
    ("sieve", [b'"STARTTLS"\r\nOK\r\n', b"NO\r\n"]),
    ("nntp", [b"400 closed\r\n"]),
    ("nntp", [b"200 x\r\n", b"580 no\r\n"]),
    ("irc", [b"CAP * LS :tls\r\n:irc 691 * :no\r\n"]),
    ("irc", [b"CAP * LS :tls=x\r\n:irc 421 * STARTTLS :Unknown command\r\n"]),
    ("irc", [b":irc CAP * LS :multi-prefix starttls tlsx\r\n"]),
    ("irc", [b":irc 421 * CAP :Unknown command\r\n:irc 451 * STARTTLS :Register first\r\n"]),
    ("irc", [b"ERROR :Closing link\r\n"]),
    ("rdp", [RDP_NO]),
    ("rdp", [bytes.fromhex("030000130ed000001234000200080000000000")]),
    ("rdp", [bytes.fromhex("0300000b06d00000123400")]),
]
# What a binary refusal is told as: numbers by their names
MEANT = [
    ("ldap", LDAP_NO, r"resultCode 2 \(protocolError\)$"),
    (
        "ldap",
        bytes.fromhex("3011020101780c0a013404000405") + b"later",
        r"resultCode 52 \(unavailable\), 'later'$",
    ),
    ("ldap", b"HTTP/1.1 400\r\n", "said 'HTTP/1.1 400'$"),
    ("postgres", b"N", "N, that is no TLS$"),
    ("postgres", b"E", "E, that is an error$"),
    ("mysql", mysql(b"\xff\xf7"), "said '8.0.36' without CLIENT_SSL$"),
    ("mysql", b"\x08\x00\x00\x00\xff\x6a\x04Hello", "error 1130, 'Hello'$"),
    ("mysql", b"\x03\x00\x00\x00\xff\x6a\x04", "error 1130, no more$"),
    ("rdp", RDP_NO, r"RDP_NEG_FAILURE 2 \(SSL_NOT_ALLOWED_BY_SERVER\)$"),
    ("rdp", bytes.fromhex("0300000b06d00000123400"), "RDP's own encryption, without TLS$"),
    ("rdp", b"SSH-2.0-x", "said 'SSH-2.0-x'$"),
]

# Nobody is told to turn TLS on where TLS was not refused
TURNED_AWAY = {
    b"E",
    b"HTTP/1.1 400\r\n",
    b"SSH-2.0-x",
    *(message for scheme, message, _ in MEANT if scheme == "mysql" and b"\xff\x6a" in message),
}


def talk(scheme: str, said: list[bytes], *, piece: int = 1 << 20) -> bytes:
    """Play the server; gives what the client said."""
    dialogue = Starttls(scheme, host="h.example")
    ours = dialogue.outgoing()
    for message in said:
        assert not dialogue.done
        for start in range(0, len(message), piece):
            dialogue.receive(message[start : start + piece])
        ours += dialogue.outgoing()
    assert dialogue.done
    return ours


def test_every_row_has_a_transcript_and_a_red_twin() -> None:
    assert {row[0] for row in GREEN} == set(DIALOGUES) == {row[0] for row in RED}


@pytest.mark.parametrize(("scheme", "said", "ours"), GREEN)
@pytest.mark.parametrize("piece", [1 << 20, 1])
def test_an_agreement_in_any_pieces(
    scheme: str, said: list[bytes], ours: list[bytes], piece: int
) -> None:
    spoken = talk(scheme, said, piece=piece)
    for words in ours:
        assert words in spoken


@pytest.mark.parametrize(("scheme", "said"), RED)
def test_red_a_refusal_is_told_with_the_servers_words(scheme: str, said: list[bytes]) -> None:
    with pytest.raises(Refused, match=f"^{scheme}: "):
        talk(scheme, said)


@pytest.mark.parametrize(("scheme", "message", "words"), MEANT)
def test_a_binary_refusal_is_told_in_words(scheme: str, message: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        Starttls(scheme, host="h.example").receive(message)
    of_tls = DIALOGUES[scheme].advice in caught.value.hint
    assert of_tls != ("wants nothing of this machine" in caught.value.hint)
    assert of_tls == (message not in TURNED_AWAY)


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("smtp", [b"554 no service\r\n"]),
        ("smtp", [b"220 m\r\n", b"550 who are you\r\n"]),
        ("imap", [b"* BYE full\r\n"]),
        ("ftp", [b"421 full\r\n"]),
        ("irc", [b"ERROR :banned\r\n"]),
    ],
)
def test_who_is_turned_away_is_not_told_to_turn_tls_on(scheme: str, said: list[bytes]) -> None:
    with pytest.raises(Refused) as caught:
        talk(scheme, said)
    assert "at whom it lets in" in caught.value.hint


@pytest.mark.parametrize("scheme", sorted(DIALOGUES))
def test_a_server_that_speaks_tls_at_once_is_told_by_its_scheme(scheme: str) -> None:
    row = DIALOGUES[scheme]
    assert row.direct in DIRECT
    with pytest.raises(Refused, match="record of TLS") as caught:
        Starttls(scheme, host="h.example").receive(b"\x15\x03\x01\x00\x02\x02\x46")
    assert f"{row.direct}://" in caught.value.hint
    silent = Starttls(scheme, host="h.example").advice
    assert (f"{row.direct}://" in silent) == row.greets
    assert (silent == row.advice) != row.greets


@pytest.mark.parametrize("scheme", sorted(DIALOGUES))
def test_every_row_has_its_specification_and_advice(scheme: str) -> None:
    row = DIALOGUES[scheme]
    assert row.spec
    assert row.advice
    assert "staple" in row.stapling
    assert 0 < row.port < 65536


def test_red_a_host_cannot_end_the_stream_header() -> None:
    said = Starttls("xmpp", host="h.example' from='evil{host}<x/>\r\n").outgoing()
    assert b"to='h.examplefromevilhostx' version" in said


@pytest.mark.parametrize(("scheme", "said", "ours"), GREEN)
def test_red_plain_text_after_the_agreement_is_refused(
    scheme: str, said: list[bytes], ours: list[bytes]
) -> None:
    """CVE-2011-0411: a command injected behind STARTTLS in one segment."""
    with pytest.raises(Injected, match="in the clear"):
        talk(scheme, [*said[:-1], said[-1] + b"\x16"])


@pytest.mark.parametrize("scheme", sorted(DIALOGUES))
def test_red_plain_text_in_a_segment_of_its_own_is_refused(scheme: str) -> None:
    dialogue = Starttls(scheme, host="h.example")
    dialogue.first_record(b"\x16\x03\x03\x00\x7a\x02")  # a ServerHello
    dialogue.first_record(b"\x15\x03\x03\x00\x02\x02\x28")  # an alert
    with pytest.raises(Injected, match=r"in the clear.*250 injected"):
        dialogue.first_record(b"250 injected\r\n")


@pytest.mark.parametrize("scheme", sorted(DIALOGUES))
def test_an_end_before_tls_is_a_refusal(scheme: str) -> None:
    """Also a server that speaks TLS from the first byte may end so."""
    with pytest.raises(Refused, match="closed the connection") as caught:
        Starttls(scheme, host="h.example").eof()
    assert f"{DIALOGUES[scheme].direct}://" in caught.value.hint


def test_a_mail_server_whose_tls_fails_is_not_told_to_turn_it_on() -> None:
    with pytest.raises(Refused, match="454 not now") as caught:
        talk("smtp", [b"220 m\r\n", b"250 STARTTLS\r\n", b"454 not now\r\n"])
    assert "tls_ocsp_file" in caught.value.hint
    assert "smtpd_tls_security_level" not in caught.value.hint


@pytest.mark.parametrize("scheme", sorted(DIALOGUES))
def test_endless_talk_is_cut_off(scheme: str) -> None:
    dialogue = Starttls(scheme, host="h.example")
    with pytest.raises(PeerError):
        dialogue.receive(b"220-" * (MAX_DIALOGUE // 4 + 1))


@given(st.sampled_from(sorted(DIALOGUES)), st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes_are_a_peers_error_or_waited_for(scheme: str, pieces: list[bytes]) -> None:
    dialogue = Starttls(scheme, host="h.example")
    with contextlib.suppress(PeerError):
        for piece in pieces:
            dialogue.receive(piece)
