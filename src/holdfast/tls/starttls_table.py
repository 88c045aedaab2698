"""The table of STARTTLS: one row for each protocol; and the schemes that need none.

Laws: a row is data, with its specification; the machine that plays it is `starttls.Starttls`. A
pattern of an agreement matches what the specification demands and nothing looser.
"""

from __future__ import annotations

from holdfast.tls.dialogue import (
    Dialogue,
    Expect,
    Send,
    Step,
    ber,
    ldap_result,
    line,
    mysql_greeting,
    mysql_packet,
    octet,
    postgres_answer,
    rdp_answer,
    reply,
    tpkt,
    until,
)

ANYTHING = b""  # a pattern that is in every message
OURS = "holdfast.invalid"  # how we name ourselves; RFC 2606


def _mail(greeting: bytes) -> tuple[Step, ...]:
    return (
        Expect(reply, rb"\A220", "a 220 greeting", turned_away=ANYTHING),
        Send(greeting + b" " + OURS.encode() + b"\r\n"),
        Expect(
            reply,
            rb"^250[- ]STARTTLS\s*$",
            "STARTTLS among the extensions",
            turned_away=rb"\A[45]",
        ),
        Send(b"STARTTLS\r\n"),
        Expect(
            reply,
            rb"\A220",
            "220 to STARTTLS",
            # Exim with GnuTLS: tls_ocsp_file is refused where it says expired or revoked
            advice="TLS is on there, but fails: look at its log for the certificate, the key and,"
            " in Exim, a tls_ocsp_file whose response is expired or says revoked",
        ),
    )


def _xmpp(namespace: bytes) -> tuple[Step, ...]:
    return (
        Send(
            b"<?xml version='1.0'?><stream:stream xmlns='" + namespace + b"'"
            b" xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
        ),
        Expect(
            until(
                rb"</stream:features>|<stream:features\s*/>"
                rb"|</stream:error>|<stream:error\s*/>|</stream:stream>"
            ),
            rb"<starttls\b[^>]*urn:ietf:params:xml:ns:xmpp-tls",
            "starttls among the stream's features",
        ),
        Send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        Expect(
            until(rb"<(?:\w+:)?(?:proceed|failure)\b[^>]*>(?:\s*</(?:\w+:)?proceed>)?"),
            rb"<(?:\w+:)?proceed\b",
            "proceed",
        ),
    )


_LDAP_OID = b"1.3.6.1.4.1.1466.20037"
_MYSQL_SSL = 0x0800 | 0x0200 | 0x8000  # CLIENT_SSL, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION
_OR_NOT = (
    "; where nothing demands a staple, nothing is to be done, and where something does, let it come"
    " by a proxy that staples, with TLS from the first byte (`holdfast proxy`)"
)
_DOVECOT = "in Dovecot set ssl = yes, ssl_cert and ssl_key (`doveconf -n` shows them)"
_PROSODY = (
    "in Prosody enable the module tls and give that host a certificate"
    " (`prosodyctl check certs`), in ejabberd set starttls: true; the domain is what comes after"
    " xmpp://, or --servername"
)

DIALOGUES: dict[str, Dialogue] = {
    "smtp": Dialogue(
        port=25,
        spec="RFC 3207 4",
        steps=_mail(b"EHLO"),
        direct="smtps",
        advice="in Postfix set smtpd_tls_security_level = may and smtpd_tls_chain_files, in Exim"
        " tls_advertise_hosts = * and tls_certificate",
        stapling="Exim can staple (tls_ocsp_file, which `holdfast keep` fills), Postfix cannot"
        + _OR_NOT,
    ),
    "lmtp": Dialogue(
        port=24,
        spec="RFC 2033 4.1, RFC 3207 4",
        steps=_mail(b"LHLO"),
        direct="tls",
        advice=_DOVECOT,
        stapling="Dovecot cannot staple" + _OR_NOT,
    ),
    "imap": Dialogue(
        port=143,
        spec="RFC 9051 6.2.1",
        steps=(
            Expect(line, rb"\A\* OK", "an OK greeting", turned_away=ANYTHING),
            Send(b"a1 STARTTLS\r\n"),
            Expect(until(rb"^a1 [^\n]*\n"), rb"^a1 OK", "OK to STARTTLS"),
        ),
        direct="imaps",
        advice=_DOVECOT,
        stapling="Dovecot cannot staple" + _OR_NOT,
    ),
    "pop3": Dialogue(
        port=110,
        spec="RFC 2595 4",
        steps=(
            Expect(line, rb"\A\+OK", "a +OK greeting", turned_away=ANYTHING),
            Send(b"STLS\r\n"),
            Expect(line, rb"\A\+OK", "+OK to STLS"),
        ),
        direct="pop3s",
        advice=_DOVECOT,
        stapling="Dovecot cannot staple" + _OR_NOT,
    ),
    "ftp": Dialogue(
        port=21,
        spec="RFC 4217 4",
        steps=(
            Expect(reply, rb"\A220", "a 220 greeting", turned_away=ANYTHING),
            Send(b"AUTH TLS\r\n"),
            Expect(reply, rb"\A234", "234 to AUTH TLS"),
        ),
        direct="ftps",
        advice="in ProFTPD load mod_tls and set TLSEngine on, in vsftpd set ssl_enable=YES",
        stapling="ProFTPD can staple (TLSStapling on), vsftpd cannot" + _OR_NOT,
    ),
    "xmpp": Dialogue(
        port=5222,
        spec="RFC 6120 5",
        steps=_xmpp(b"jabber:client"),
        direct="tls",
        advice=_PROSODY,
        stapling="Prosody cannot staple" + _OR_NOT,
    ),
    "xmpp-server": Dialogue(
        port=5269,
        spec="RFC 6120 5",
        steps=_xmpp(b"jabber:server"),
        direct="tls",
        advice=_PROSODY,
        stapling="Prosody cannot staple" + _OR_NOT,
    ),
    "ldap": Dialogue(
        port=389,
        spec="RFC 4511 4.14",
        steps=(
            # LDAPMessage 1, ExtendedRequest [APPLICATION 23] with requestName [0]
            Send(b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + _LDAP_OID),
            # messageID 1, ExtendedResponse [APPLICATION 24], resultCode ENUMERATED success
            Expect(
                ber,
                rb"\A\x30.{1,5}?\x02\x01\x01\x78(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x0a\x01\x00",
                "resultCode success",
                ldap_result,
                turned_away=rb"\A[^\x30]",
            ),
        ),
        direct="ldaps",
        advice="in OpenLDAP's slapd set olcTLSCertificateFile and olcTLSCertificateKeyFile in"
        " cn=config (TLSCertificateFile and TLSCertificateKeyFile in slapd.conf)",
        stapling="OpenLDAP's slapd cannot staple" + _OR_NOT,
    ),
    "postgres": Dialogue(
        port=5432,
        spec="PostgreSQL manual, Message Flow: SSL Session Encryption",
        steps=(
            Send(bytes.fromhex("0000000804d2162f")),  # SSLRequest
            Expect(octet, rb"\AS", "S to SSLRequest", postgres_answer, rb"\A[^N]"),
        ),
        direct="tls",
        advice="set ssl = on, ssl_cert_file and ssl_key_file in postgresql.conf, then"
        " `SELECT pg_reload_conf()`; if PgBouncer answers there, client_tls_sslmode",
        stapling="PostgreSQL cannot staple" + _OR_NOT,
    ),
    "mysql": Dialogue(
        port=3306,
        spec="MySQL Client/Server Protocol: HandshakeV10, SSLRequest",
        steps=(
            # version text, thread id, 8 bytes, 0, then the low capability flags; CLIENT_SSL is
            # bit 3 of their high byte
            Expect(
                mysql_packet,
                rb"\A...\x00\x0a[^\x00]*\x00.{4}.{8}\x00."
                rb"[\x08-\x0f\x18-\x1f\x28-\x2f\x38-\x3f\x48-\x4f\x58-\x5f\x68-\x6f\x78-\x7f"
                rb"\x88-\x8f\x98-\x9f\xa8-\xaf\xb8-\xbf\xc8-\xcf\xd8-\xdf\xe8-\xef\xf8-\xff]",
                "a handshake with CLIENT_SSL",
                mysql_greeting,
                turned_away=rb"\A(?!....\x0a)",
            ),
            Send(
                b"\x20\x00\x00\x01"
                + _MYSQL_SSL.to_bytes(4, "little")
                + (1 << 24).to_bytes(4, "little")
                + b"\x2d"
                + bytes(23)
            ),
        ),
        direct="tls",
        advice="set ssl_cert and ssl_key under [mysqld] and start the server anew",
        stapling="MariaDB and MySQL cannot staple" + _OR_NOT,
    ),
    "sieve": Dialogue(
        port=4190,
        spec="RFC 5804 2.2",
        steps=(
            Expect(
                until(rb"^(?:OK|NO|BYE)\b[^\n]*\n"), rb'^"STARTTLS"', "STARTTLS as a capability"
            ),
            Send(b"STARTTLS\r\n"),
            Expect(until(rb"^(?:OK|NO|BYE)\b[^\n]*\n"), rb"^OK", "OK to STARTTLS"),
        ),
        direct="tls",
        advice=_DOVECOT,
        stapling="Dovecot cannot staple" + _OR_NOT,
    ),
    "nntp": Dialogue(
        port=119,
        spec="RFC 4642 2.2",
        steps=(
            Expect(reply, rb"\A20[01]", "a 200 greeting", turned_away=ANYTHING),
            Send(b"STARTTLS\r\n"),
            Expect(reply, rb"\A382", "382 to STARTTLS"),
        ),
        direct="nntps",
        advice="in INN set tlscertfile and tlskeyfile in inn.conf",
        stapling="INN cannot staple" + _OR_NOT,
    ),
    "irc": Dialogue(
        port=6667,
        spec="IRCv3 tls, capability negotiation",
        steps=(
            # A server that cannot do STARTTLS may leave that unanswered, but says what it can
            Send(b"CAP LS\r\nSTARTTLS\r\n"),
            Expect(
                until(
                    rb"^(?::\S+ )?(?:(?:670|691|4\d\d \S+ (?!CAP\b)|ERROR)\b[^\n]*"
                    rb"|CAP \S+ LS\b(?![^\n]*[ :]tls[ =\r\n])[^\n]*)\n"
                ),
                rb"^(?::\S+ )?670\b",
                "670 to STARTTLS",
                turned_away=rb"(?m)^(?::\S+ )?ERROR\b",
            ),
        ),
        direct="ircs",
        advice="in InspIRCd load the module starttls; most IRC servers offer TLS on a port of its"
        " own alone",
        stapling="InspIRCd cannot staple" + _OR_NOT,
    ),
    "rdp": Dialogue(
        port=3389,
        spec="MS-RDPBCGR 2.2.1.1, 2.2.1.2",
        steps=(
            # X.224 connection request with RDP_NEG_REQ for TLS and CredSSP
            Send(bytes.fromhex("030000130ee000000000000100080003000000")),
            # RDP_NEG_RSP whose selectedProtocol is not PROTOCOL_RDP, which has no TLS
            Expect(
                tpkt,
                rb"\A\x03\x00..\x0e\xd0.{5}\x02.\x08\x00[^\x00]",
                "RDP_NEG_RSP with TLS",
                rdp_answer,
                turned_away=rb"\A[^\x03]",
            ),
        ),
        direct="tls",
        advice="in Windows give the listener a certificate and set SecurityLayer to 2, in xrdp set"
        " security_layer=tls",
        stapling="xrdp cannot staple" + _OR_NOT,
    ),
}

DIRECT: dict[str, int] = {
    "https": 443,
    "tls": 443,
    "smtps": 465,
    "imaps": 993,
    "pop3s": 995,
    "ftps": 990,
    "ldaps": 636,
    "nntps": 563,
    "ircs": 6697,
}
"""Schemes that speak TLS from the first byte, and their ports."""
