"""Programs that others wrote, asked whether they accept a server's staple.

Each row: the words to run, and how its output and exit code tell acceptance. They are looked for on
this machine and passed over when they are not there; the tests have them all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 15.0  # seconds for one program
OUTPUT = 1 << 20  # bytes of output that are read


@dataclass(frozen=True, slots=True)
class Client:
    """`words(host, port, roots)` runs it; `accepts(exit code, output)` reads it.

    `refuses_revoked`: it judges staples, and does not only print them.
    """

    name: str
    program: str
    words: Callable[[str, int, Path], list[str]]
    accepts: Callable[[int, str], bool]
    refuses_revoked: bool = True

    @property
    def installed(self) -> bool:
        return shutil.which(self.program) is not None

    async def accepts_server(self, host: str, port: int, roots: Path) -> bool:
        """True when the program, trusting the file `roots`, accepts the server and its staple."""
        # A machine's own trust settings must not decide: only `roots` does.
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
        }
        process = await asyncio.create_subprocess_exec(
            self.program,
            *self.words(host, port, roots),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            return False
        return self.accepts(process.returncode or 0, output[:OUTPUT].decode(errors="replace"))


CLIENTS = (
    Client(
        "openssl s_client",
        "openssl",
        lambda host, port, roots: [
            *("s_client", "-connect", f"{host}:{port}", "-servername", "localhost"),
            *("-status", "-verify_return_error", "-CAfile", str(roots)),
        ],
        # It prints the staple and verifies only the chain.
        lambda code, output: (
            "OCSP Response Status: successful" in output
            and "Cert Status: good" in output
            and "Verify return code: 0 (ok)" in output
        ),
        refuses_revoked=False,
    ),
    Client(
        "gnutls-cli",
        "gnutls-cli",
        lambda host, port, roots: [
            *("--x509cafile", str(roots), "--port", str(port), "--sni-hostname", "localhost"),
            *("--verify-hostname", "localhost", host),
        ],
        lambda code, output: code == 0 and "Handshake was completed" in output,
    ),
    Client(
        "curl --cert-status",
        "curl",
        lambda host, port, roots: [
            *("--silent", "--show-error", "--output", os.devnull, "--cert-status"),
            *(
                "--noproxy",
                "*",
                "--cacert",
                str(roots),
                "--connect-to",
                f"localhost:{port}:{host}:{port}",
            ),
            f"https://localhost:{port}/",
        ],
        lambda code, output: code == 0,
    ),
)
