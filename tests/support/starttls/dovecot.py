"""Debian's Dovecot with all it serves: IMAP, POP3, LMTP, ManageSieve; it cannot staple."""

from __future__ import annotations

import getpass
from os import getuid
from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap pop3 lmtp sieve
listen = 127.0.0.1
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail
{tls}
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}
}}
service imap-login {{
  {login}
  inet_listener imap {{
    port = {ports[imap]}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service pop3-login {{
  {login}
  inet_listener pop3 {{
    port = {ports[pop3]}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {ports[lmtp]}
  }}
}}
service managesieve-login {{
  {login}
  inet_listener sieve {{
    port = {ports[sieve]}
  }}
}}
"""
TLS = """\
ssl = yes
ssl_min_protocol = TLSv1.2
ssl_cert = <{files.chain}
ssl_key = <{files.key}
"""


def dovecot(folder: Path, files: Files | None) -> Daemon:
    """With TLS it listens for `imaps` as well."""
    ports = free_ports("imap", "pop3", "lmtp", "sieve", *(["imaps"] if files else []))
    configuration = folder / "dovecot.conf"
    tls, login = TLS.format(files=files) if files else "ssl = no\n", ""
    if getuid() != 0:  # it may then not change to its own users, nor lock itself in
        user = getpass.getuser()
        tls += f"default_internal_user = {user}\ndefault_login_user = {user}\n"
        login = "chroot ="
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder, tls=tls, ports=ports, imaps=ports.get("imaps", 0), login=login
        )
    )
    return Daemon(folder, [program("dovecot"), "-F", "-c", configuration], ports)
