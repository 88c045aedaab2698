"""Other people's tools before one odd staple, each one's answer reduced to a word.

ok: it passes the staple. bad: it finds fault with it, or ends. none: it says that there was none.
crash: it died or says that it has a bug. time: it did not end in its time. Each tool is run as its
manual has it, with the CA's root as a trusted one, and read by the rule beside it; where its exit
code says less than its output, the output counts, which is to its favour.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import _peers

PLUGINS = Path("/usr/lib/nagios/plugins")  # where Debian has monitoring plugins
MAX_OUTPUT = 4_000_000  # bytes of a tool's output that are read
PATIENCE = 240.0  # seconds that a tool may take; testssl.sh takes 10 on an idle machine


@dataclass(frozen=True, slots=True)
class Ran:
    """How a tool ended and what it said. `code` None: it was ended when its time was over."""

    code: int | None
    out: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Cell:
    """A tool's word, its exit code and the line that the word was read from."""

    word: str
    code: int | None = None
    because: str = ""
    seconds: float = 0.0


Words = Callable[[str, int, Path, Path], Sequence[object]]
"""The command line, from the program, the port, the root's file and a folder to write in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool. `rule`: how it is read, for the reader of the table. `slow`: it takes seconds."""

    name: str
    program: str
    words: Words
    read: Callable[[Ran], tuple[str, str]]
    rule: str
    version: Sequence[str] = ("--version",)
    slow: bool = False

    def found(self, folder: Path | None) -> str | None:
        """Where the tool is, or None."""
        place = _peers.program(self.program, folder)
        beside = PLUGINS / self.program
        return place or (str(beside) if beside.exists() else None)

    def version_of(self, program: str) -> str:
        """What it says of itself."""
        with suppress(OSError, subprocess.TimeoutExpired):
            said = subprocess.run(
                [program, *self.version],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=30,
                check=False,
            )
            for line in (said.stdout + said.stderr).decode("utf-8", "replace").splitlines():
                number = re.search(r"\d+\.\d+(\.\d+)*\w*", line)
                if number:
                    return number[0]
        return "of unknown version"

    def look(self, program: str, port: int, roots: Path, folder: Path) -> Cell:
        """Run it at a server and read it."""
        begun = time.monotonic()
        code, out = _run([str(word) for word in self.words(program, port, roots, folder)])
        seconds = round(time.monotonic() - begun, 1)
        if code is None:
            return Cell("time", None, f"not ended after {PATIENCE:g} s", seconds)
        if code < 0 or "Traceback (most recent call last)" in out:
            how = f"ended by signal {-code}" if code < 0 else _line(out, "Error") or "a traceback"
            return Cell("crash", code, how, seconds)
        word, because = self.read(Ran(code, out, folder))
        return Cell(word, code, because[:160], seconds)


def _run(words: list[str]) -> tuple[int | None, str]:
    """(exit code, both streams); it and whatever it started are ended after `PATIENCE`."""
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, out[:MAX_OUTPUT].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        with suppress(ProcessLookupError):  # its own session, started above
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _line(out: str, *needles: str) -> str:
    """The first line of the output that holds one of `needles`, by their order."""
    for needle in needles:
        for line in out.splitlines():
            if needle in line:
                return line.strip()
    return ""


# -- one by one -----------------------------------------------------------------------------------


def _openssl_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost"),
        *("-status", "-verify_return_error", "-CAfile", roots),
    ]


def _openssl(ran: Ran) -> tuple[str, str]:
    if ran.code != 0:
        return "bad", _line(ran.out, "error:", "rror")
    if "OCSP response: no response sent" in ran.out:
        return "none", "OCSP response: no response sent"
    said = re.findall(r"Cert Status: (\w+)", ran.out)
    if not said:
        return "bad", _line(ran.out, "OCSP Response Status", "esponder Error", "OCSP response")
    return ("ok" if set(said) == {"good"} else "bad"), f"Cert Status: {', '.join(said)}"


def _gnutls_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "--x509cafile", roots, "--verify-hostname", "localhost"),
        *("--sni-hostname", "localhost", "-p", port, "127.0.0.1"),
    ]


def _gnutls(ran: Ran) -> tuple[str, str]:
    if ran.code != 0:
        return "bad", _line(ran.out, "- Status: The certificate is NOT", "*** ", "|<1>|")
    if "OCSP status request," not in ran.out:
        return "none", "no OCSP status request among its Options"
    return "ok", _line(ran.out, "- Status:")


def _curl_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "-sS", "--max-time", 20, "--cert-status", "--cacert", roots),
        *("--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}/"),
    ]


def _curl(ran: Ran) -> tuple[str, str]:
    if ran.code == 0:
        return "ok", "exit 0"
    because = _line(ran.out, "curl: (")
    return ("none" if "No OCSP response received" in because else "bad"), because


def _sslyze_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "--certinfo", "--certinfo_ca_file", roots, "--mozilla_config", "disable"),
        *("--json_out", folder / "sslyze.json", f"localhost:{port}"),
    ]


def _sslyze(ran: Ran) -> tuple[str, str]:
    try:
        told: Any = json.loads((ran.folder / "sslyze.json").read_bytes())
        server = told["server_scan_results"][0]
        if server["scan_status"] != "COMPLETED":
            trace = server["connectivity_error_trace"] or server["connectivity_status"]
            return "bad", str(trace).strip().splitlines()[-1]
        certificate = server["scan_result"]["certificate_info"]
        if certificate["status"] != "COMPLETED":
            trace = str(certificate["error_trace"]).strip().splitlines()
            return "crash", f"{certificate['error_reason']}: {trace[-1]}"
        shown = certificate["result"]["certificate_deployments"][0]
    except (OSError, ValueError, LookupError, TypeError) as error:
        return "crash", f"no report ({error.__class__.__name__})"
    answer, trusted = shown["ocsp_response"], shown["ocsp_response_is_trusted"]
    if answer is None:
        return "none", "ocsp_response: null"
    said = f"{answer['response_status']}, {answer['certificate_status']}, trusted: {trusted}"
    good = (answer["response_status"], answer["certificate_status"], trusted)
    return ("ok" if good == ("SUCCESSFUL", "GOOD", True) else "bad"), said


def _testssl_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "-S", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"),
        *("--ip", "127.0.0.1", "--add-ca", roots, "--jsonfile", folder / "testssl.json"),
        f"localhost:{port}",
    ]


def _testssl(ran: Ran) -> tuple[str, str]:
    try:
        rows = json.loads((ran.folder / "testssl.json").read_bytes())
        told = {row["id"].partition(" ")[0]: row["finding"] for row in rows}
    except (OSError, ValueError, LookupError, TypeError):
        return "crash", "no report"
    stapled, status = told.get("OCSP_stapling"), told.get("cert_ocspRevoked")
    if stapled is None:
        return "bad", _line(ran.out, "rror", "atal") or "nothing said of stapling"
    said = stapled if status is None else f"{stapled}, {status}"
    if "not offered" in stapled:
        return "none", said
    return ("ok" if stapled == "offered" and status in (None, "not revoked") else "bad"), said


def _check_ssl_cert_words(program: str, port: int, roots: Path, folder: Path) -> list[object]:
    return [
        *(program, "-H", "localhost", "-p", port, "-r", roots, "--match", "localhost"),
        *("--require-ocsp-stapling", "--ignore-ocsp", "--ignore-sct", "-t", int(PATIENCE) - 20),
    ]


def _check_ssl_cert(ran: Ran) -> tuple[str, str]:
    because = _line(ran.out, "SSL_CERT").partition("|")[0]
    if "OCSP stapling not enabled" in because:
        return "none", because
    return ("ok" if ran.code == 0 else "bad"), because


PEERS = (
    Peer(
        name="openssl s_client",
        program="openssl",
        words=_openssl_words,
        read=_openssl,
        version=("version",),
        rule="ok: exit 0 and every `Cert Status` is good; none: `OCSP response: no response sent`; "
        "bad: any other status, no status, or any other exit code (it verifies no staple)",
    ),
    Peer(
        name="gnutls-cli",
        program="gnutls-cli",
        words=_gnutls_words,
        read=_gnutls,
        rule="ok: exit 0 and `OCSP status request` among its Options; none: exit 0 without; bad: "
        "any other exit code",
    ),
    Peer(
        name="curl --cert-status",
        program="curl",
        words=_curl_words,
        read=_curl,
        rule="ok: exit 0; none: `No OCSP response received`; bad: any other exit code",
    ),
    Peer(
        name="sslyze --certinfo",
        program="sslyze",
        words=_sslyze_words,
        read=_sslyze,
        version=("--help",),
        rule="from its JSON: ok: SUCCESSFUL, GOOD and `ocsp_response_is_trusted`; none: no "
        "`ocsp_response`; crash: the scan ended by its own error; bad: anything else",
        slow=True,
    ),
    Peer(
        name="check_ssl_cert",
        program="check_ssl_cert",
        words=_check_ssl_cert_words,
        read=_check_ssl_cert,
        rule="with `--require-ocsp-stapling`: ok: exit 0; none: `OCSP stapling not enabled`; bad: "
        "any other exit code",
        slow=True,
    ),
    Peer(
        name="testssl.sh -S",
        program="testssl",
        words=_testssl_words,
        read=_testssl,
        rule="from its JSON: ok: OCSP_stapling is offered, and cert_ocspRevoked is absent or says "
        "not revoked; none: not offered; bad: anything else (its exit code says less)",
        slow=True,
    ),
)
