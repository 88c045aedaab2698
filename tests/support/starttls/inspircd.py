"""Debian's InspIRCd, an IRC server with the module starttls."""

from __future__ import annotations

import shutil
from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
<config format="xml">
<server name="irc.localhost" description="test" network="test" id="1AA">
<admin name="test" nick="test" email="test@localhost">
<path configdir="{folder}" datadir="{folder}" logdir="{folder}" runtimedir="{folder}"
      moduledir="/usr/lib/inspircd/modules">
<pid file="{folder}/pid">
<bind address="127.0.0.1" port="{port}" type="clients">
<connect name="main" allow="*" resolvehostnames="no" useident="no">
<module name="cap">
{tls}
"""
TLS = """\
<module name="ssl_gnutls">
<sslprofile name="Clients" provider="gnutls" certfile="{files.chain}" keyfile="{files.key}">
<module name="starttls">
<starttls provider="Clients">
"""


def inspircd(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("irc")
    configuration = folder / "inspircd.conf"
    tls = TLS.format(files=files) if files else ""
    configuration.write_text(CONFIGURATION.format(folder=folder, port=ports["irc"], tls=tls))
    # Debian's AppArmor profile, which goes by the path, lets it read its own folders alone
    own = folder / "inspircd"
    shutil.copy(program("inspircd"), own)
    words = [own, "--nofork", "--nolog", "--runasroot", f"--config={configuration}"]
    return Daemon(folder, words, ports)
