"""Debian's xrdp, a server of remote desktops; no desktop is ever begun."""

from __future__ import annotations

from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:{port}
{tls}
[Logging]
LogFile={folder}/xrdp.log
LogLevel=WARNING
EnableSyslog=false
[Xvnc]
name=none
"""
TLS = """\
security_layer=tls
ssl_protocols=TLSv1.2, TLSv1.3
certificate={files.chain}
key_file={files.key}
"""


def xrdp(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("rdp")
    configuration = folder / "xrdp.ini"
    tls = TLS.format(files=files) if files else "security_layer=rdp\n"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=ports["rdp"], tls=tls))
    return Daemon(folder, [program("xrdp"), "--nodaemon", "--config", configuration], ports)
