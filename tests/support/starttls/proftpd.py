"""Debian's ProFTPD with mod_tls, which staples: it asks the certificate's responder itself."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
ServerName localhost
ServerType standalone
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
User {user}
Group {group}
PidFile {folder}/pid
ScoreboardFile {folder}/scoreboard
SystemLog {folder}/system.log
WtmpLog off
DelayEngine off
{tls}
"""
TLS = """\
ModulePath /usr/lib/proftpd
LoadModule mod_tls.c
TLSEngine on
TLSRequired off
TLSLog {folder}/tls.log
TLSProtocol TLSv1.2 TLSv1.3
TLSECCertificateFile {files.chain}
TLSECCertificateKeyFile {files.key}
TLSCertificateChainFile {files.chain}
TLSStapling on
TLSStaplingOptions NoNonce
"""


def proftpd(folder: Path, files: Files | None) -> Daemon:
    """The key in `files` is an ECDSA key."""
    ports = free_ports("ftp")
    configuration = folder / "proftpd.conf"
    mine = os.getuid(), os.getgid()
    user = pwd.getpwuid(mine[0]).pw_name if mine[0] else "nobody"
    group = grp.getgrgid(mine[1]).gr_name if mine[0] else "nogroup"
    tls = TLS.format(folder=folder, files=files) if files else ""
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=ports["ftp"], user=user, group=group, tls=tls)
    )
    return Daemon(folder, [program("proftpd"), "-n", "-q", "-c", configuration], ports)
