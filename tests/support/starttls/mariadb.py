"""Debian's MariaDB without tables and accounts: what comes before TLS needs none."""

from __future__ import annotations

from getpass import getuser
from pathlib import Path

from support.ports import free_ports
from support.starttls.daemon import Daemon, Files, program


def mariadb(folder: Path, files: Files | None) -> Daemon:
    ports = free_ports("mysql")
    data = folder / "data"
    data.mkdir()
    tls = [f"--ssl-cert={files.chain}", f"--ssl-key={files.key}"] if files else ["--skip-ssl"]
    words = [
        *(program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--user={getuser()}"),
        *("--bind-address=127.0.0.1", f"--port={ports['mysql']}", f"--socket={folder}/socket"),
        *("--skip-grant-tables", "--skip-networking=0", f"--pid-file={folder}/pid"),
        # InnoDB would make 100 MB of files first
        *("--skip-innodb", "--default-storage-engine=MyISAM", *tls),
    ]
    return Daemon(folder, words, ports)
