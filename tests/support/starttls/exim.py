"""Debian's Exim, an SMTP server that can staple: `tls_ocsp_file`.

With the line of our page on Exim: an option that is expanded is read for every connection, one that
is not is kept for seconds.
"""

from __future__ import annotations

import grp
import pwd
from os import getgid, getuid
from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program

TLS = """\
tls_advertise_hosts = *
tls_certificate = {files.chain}
tls_privatekey = {files.key}
tls_ocsp_file = ${{if exists{{{files.staple}}}{{{files.staple}}}{{}}}}
"""
CONFIGURATION = """\
primary_hostname = localhost
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
host_lookup =
rfc1413_hosts =
keep_environment =
{tls}
"""


def exim(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("smtp")
    configuration = folder / "exim.conf"
    tls = TLS.format(files=files) if files else "tls_advertise_hosts =\n"
    who = {"user": pwd.getpwuid(getuid()).pw_name, "group": grp.getgrgid(getgid()).gr_name}
    configuration.write_text(CONFIGURATION.format(folder=folder, tls=tls, **who))
    at = f"127.0.0.1:{ports['smtp']}"
    return Daemon(folder, [program("exim4"), "-C", configuration, "-bdf", "-oX", at], ports)
