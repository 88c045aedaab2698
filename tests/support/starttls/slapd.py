"""Debian's OpenLDAP server, slapd, with a database that is empty for ever."""

from __future__ import annotations

from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
include /etc/ldap/schema/core.schema
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_null
{tls}
database null
suffix "dc=test"
"""
TLS = "TLSCertificateFile {files.chain}\nTLSCertificateKeyFile {files.key}\n"


def slapd(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("ldap")
    configuration = folder / "slapd.conf"
    tls = TLS.format(files=files) if files else ""
    configuration.write_text(CONFIGURATION.format(folder=folder, tls=tls))
    at = f"ldap://127.0.0.1:{ports['ldap']}"
    return Daemon(folder, [program("slapd"), "-d", "0", "-f", configuration, "-h", at], ports)
