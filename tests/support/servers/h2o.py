"""Debian's h2o, whose `ocsp-update-cmd` asks the keeper's state folder by `holdfast staple`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from holdfast.pki.issue import Issued
from support.pki import written
from support.ports import free_port
from support.servers.process import Process
from support.servers.shift import Shift

H2O = "/usr/bin/h2o"

CONFIGURATION = """
num-threads: 1
pid-file: {folder}/h2o.pid
error-log: {folder}/error.log
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {chain}
    key-file: {key}
    ocsp-update-cmd: {folder}/holdfast-staple
    ocsp-update-interval: 1
    ocsp-max-failures: 0
hosts:
  default:
    paths:
      /:
        file.dir: {folder}
{user}"""

# Exit 75 is "later" to h2o: it asks again. Any other failure ends its asking for good.
SCRIPT = """#!/bin/sh
{holdfast} staple "$1" --state {state} || exit 75
"""


class H2o(Process):
    """One h2o; it asks for the staple of `site` in the state folder `state`, every second."""

    ends_by = signal.SIGKILL  # else it waits for connections

    def __init__(self, folder: Path, issued: Issued, *, state: Path, shift: Shift) -> None:
        folder = folder / "h2o"
        folder.mkdir()
        port = free_port()
        self.chain, key = written(issued, folder, "site")
        script = folder / "holdfast-staple"
        holdfast = f"{sys.executable} -m holdfast.cli.main"
        script.write_text(SCRIPT.format(holdfast=holdfast, state=state))
        script.chmod(0o755)
        config = folder / "h2o.conf"
        config.write_text(
            CONFIGURATION.format(
                folder=folder,
                port=port,
                chain=self.chain,
                key=key,
                user="user: root\n" if os.getuid() == 0 else "",
            )
        )
        super().__init__(folder, [H2O, "-c", config], port, shift=shift)
