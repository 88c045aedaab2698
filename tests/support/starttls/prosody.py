"""Debian's Prosody, an XMPP server for clients and for other servers, of the domain localhost."""

from __future__ import annotations

from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
run_as_root = true
pidfile = "{folder}/pid"
data_path = "{folder}"
log = {{ warn = "*console" }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {ports[xmpp]} }}
s2s_ports = {{ {ports[xmpp-server]} }}
c2s_direct_tls_ports = {{}}
s2s_direct_tls_ports = {{}}
http_ports = {{}}
https_ports = {{}}
modules_enabled = {{ "saslauth", "dialback"{tls} }}
modules_disabled = {{ "s2s_auth_certs"{no_tls} }}
allow_unencrypted_plain_auth = true
c2s_require_encryption = false
s2s_require_encryption = false
{files}
VirtualHost "localhost"
"""


def prosody(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("xmpp", "xmpp-server")
    configuration = folder / "prosody.cfg.lua"
    given = f'ssl = {{ key = "{files.key}", certificate = "{files.chain}" }}\n' if files else ""
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            ports=ports,
            files=given,
            tls=', "tls"' if files else "",
            no_tls="" if files else ', "tls"',
        )
    )
    return Daemon(folder, [program("prosody"), "-F", "--config", configuration], ports)
