"""A real server with a fault, `holdfast check` of it, and whoever follows its words.

    with a_hinted("nginx", folder, loop, web) as world:
        world.serve()                    # Apache, nginx or HAProxy with their packages' layouts
        told = world.check()             # a run of the command, as a person sees it
        follow(told.cure("staple-missing"), world.folder)

`follow` knows four kinds of lines: "$ COMMAND" is run, "take out the lines that begin with" and
"take out these words" and "put" change the file that is named. It knows nothing of servers but
where a block ends.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.sign import Signer
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Issued
from holdfast.pki.pem import encode_certificates
from support.check_world import Web
from support.cli import Outcome, holdfast
from support.keep_world import soon
from support.pki import a_server, a_signer, private
from support.servers.stock_apache import StockApache
from support.servers.stock_haproxy import StockHAProxy
from support.servers.stock_nginx import StockNginx
from support.staples import Desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, roots_file
from support.tls_world import run as tls_run

PROGRAMS = Path(sys.executable).parent  # where `holdfast` is
STEP = 60  # seconds for one command


@dataclass(frozen=True, slots=True)
class Told:
    """What `holdfast check` printed."""

    outcome: Outcome

    @property
    def codes(self) -> set[str]:
        found = re.findall(r"^  (?:note|warning|fault|fatal) +([a-z0-9-]+):", self.text, re.M)
        return set(found)

    @property
    def text(self) -> str:
        return self.outcome.out

    def cure(self, code: str) -> list[str]:
        """The lines below "cure:" of a finding, as far as the next; of "the same", its own."""
        blocks = re.split(r"^  (?=(?:note|warning|fault|fatal) )", self.text, flags=re.M)[1:]
        above: list[str] = []
        for block in blocks:
            lines = block.splitlines()
            at = [
                number for number, line in enumerate(lines) if line.startswith(" " * 10 + "cure:")
            ]
            cure = lines[at[0] :] if at else []
            above = above if cure and cure[0].endswith("cure: the same") else cure
            if re.match(rf"\w+ +{re.escape(code)}:", block):
                return above
        raise AssertionError((code, self.text))


class Hinted:
    """`kind` is nginx, apache or haproxy. Until `serve` its files may be made wrong."""

    def __init__(self, kind: str, folder: Path, loop: Loop, web: Web) -> None:
        self.kind, self.folder, self.loop, self.web = kind, folder, loop, web
        self.ca = a_ca()
        web.answers["/ca.crt"] = self.ca.certificate.der
        one = a_signer(self.ca, at=YESTERDAY)
        self.signer = Signer(certificate=one.certificate, key=one.key, issuer=self.ca.certificate)
        self.responder = LabResponder(Forge(self.ca, at=NOW, signer=self.signer))
        loop.run(self.responder.start())
        self.root = roots_file(self.ca, folder)
        self.issued = self.issue()
        self.server: StockNginx | StockApache | StockHAProxy
        if kind == "nginx":
            self.server = StockNginx(folder, self.issued)
        elif kind == "apache":
            self.server = StockApache(self.issued)
        else:
            self.server = StockHAProxy(folder, self.desk())
        # The record of setup is kept where the settings in this folder say
        (folder / "holdfast.toml").write_text(f'[keeper]\nstate = "{folder}/state"\n')

    # -- certificates and staples

    def issue(self, *names: str, **wishes: Any) -> Issued:
        wishes.setdefault("responder_urls", [self.responder.url])
        wishes.setdefault("issuer_urls", [self.web.url + "/ca.crt"])
        return a_server(self.ca, *(names or ("localhost",)), at=YESTERDAY, **wishes)

    def desk(self, issued: Issued | None = None) -> Desk:
        server = issued or self.issued
        subject = Subject.of(server.certificate, self.ca.certificate)
        return Desk(self.ca, server, subject, self.signer)

    def certificate(self, issued: Issued | None = None, *chain: Certificate) -> None:
        """The site's file: `issued` with `chain` after it, or with its own."""
        self.issued = issued or self.issued
        leaf = self.issued.certificate
        data = encode_certificates([leaf, *(chain or self.issued.chain)])
        if chain == (leaf,):  # no chain
            data = encode_certificates([leaf])
        if isinstance(self.server, StockHAProxy):
            self.server.pem.write_bytes(data + self.issued.key_pem())
        else:
            self.server.certificate("www", self.issued, chain=data)

    def staple_file(self, der: bytes) -> None:
        """The server sends `der`, whatever it is."""
        if isinstance(self.server, StockHAProxy):
            self.server.pem.with_suffix(".pem.ocsp").write_bytes(der)
            return
        path = self.folder / "staple.der"
        path.write_bytes(der)
        self.in_site("ssl_stapling on;", f"ssl_stapling_file {path};")

    def fault(self, name: str) -> None:
        self.loop.run(self.responder.change({"fault": name}))

    # -- configuration

    def in_site(self, *lines: str) -> None:
        """Lines of the TLS site's own."""
        server = self.server
        if isinstance(server, StockHAProxy):
            server.change(f" ssl crt {server.pem}", f" ssl crt {server.pem} {' '.join(lines)}")
            return
        nginx = isinstance(server, StockNginx)
        at = "include snippets/snakeoil.conf;\n" if nginx else "SSLEngine on\n"
        text = server.default.read_text()
        assert at in text
        more = "".join(f"\t{line}\n" for line in lines)
        server.default.write_text(text.replace(at, at + more, 1))

    def outside(self, *lines: str) -> None:
        """Lines at the beginning of Apache's main file."""
        assert isinstance(self.server, StockApache)
        path = self.server.conf / "apache2.conf"
        path.write_text("".join(f"{line}\n" for line in lines) + path.read_text())

    def key(self, issued: Issued) -> None:
        assert not isinstance(self.server, StockHAProxy)
        private(self.server.chain.with_suffix(".key"), issued.key_pem())

    # -- running

    @contextmanager
    def serving(self) -> Iterator[None]:
        if isinstance(self.server, StockHAProxy):
            with self.server.serving("-S", str(self.folder / "master.sock")):
                yield
            return
        with self.server:
            soon(self.serves)  # Apache reads its files a second time after it listens
            yield

    def serves(self) -> bool:
        """Whether it shakes hands, whatever its certificate is worth."""
        _, said = tls_run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.server.port}"])
        return "BEGIN CERTIFICATE" in said

    def server_pid(self) -> int:
        """Of the master."""
        if isinstance(self.server, StockHAProxy):
            return int(self.server.pid_file.read_text())
        assert self.server.pid is not None
        return self.server.pid

    def reload(self) -> None:
        """Until it is taken up: a HAProxy 2.6 that is about it forgets the next signal."""
        self.loop.run(self.server.kind().reload())

    def check(self, *more: object) -> Told:
        words = ["check", f"localhost:{self.server.port}", "--address", "127.0.0.1"]
        return Told(holdfast(*words, "--ca-file", self.root, *more))

    def close(self) -> None:
        if isinstance(self.server, StockApache):
            self.server.remove()
        self.loop.run(self.responder.close())


@contextmanager
def a_hinted(kind: str, folder: Path, loop: Loop, web: Web) -> Iterator[Hinted]:
    folder.chmod(0o755)
    with ExitStack() as stack:
        world = Hinted(kind, folder, loop, web)
        stack.callback(world.close)
        yield world


# -- who follows the words ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What somebody knows who follows the words for a server that check saw from outside alone:
    what stands for the words in capitals, where each place that is told of is, and how the server
    here is told what its package's command would tell it."""

    blanks: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[Path, int]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)


def follow(cure: list[str], folder: Path, *, by: Person | None = None) -> list[str]:
    """Do what `cure` says, line by line, in `folder`; what was done."""
    by = by or Person()
    lines = [filled(line, by.blanks) for line in cure]
    done: list[str] = []
    file, start = Path(), 0
    puts: list[str] | None = None
    where = ""
    for line in [*lines, ""]:
        text = line.strip()
        if puts is not None and line.startswith(" " * 18):
            puts.append(text)
            continue
        if puts is not None:
            put(file, start, puts, instead="instead" in where)
            done.append(f"put into {file}")
            puts = None
        if text.startswith("$ "):
            run(by.commands.get(text[2:], shlex.split(text[2:])), folder)
            done.append(text)
        elif (known := re.fullmatch(r"in (.+):", text)) and known[1] in by.places:
            file, start = by.places[known[1]]
        elif found := re.fullmatch(r"in (/\S+), in .* that begins in line (\d+):", text):
            file, start = Path(found[1]), int(found[2])
        elif found := re.fullmatch(r"in (/\S+):", text):
            file, start = Path(found[1]), 0
        elif found := re.fullmatch(r"take out the lines that begin with (.+)", text):
            take_lines(file, start, tuple(found[1].split(" or ")))
            done.append(text)
        elif found := re.fullmatch(r"take out these words: (.+)", text):
            content = file.read_text()
            for words in found[1].split(", "):
                content = re.sub(rf"[ \t]+{re.escape(words)}\b", "", content)
            file.write_text(content)
            done.append(text)
        elif found := re.fullmatch(r"put (after|instead of) line (\d+):", text):
            where, start, puts = found[1], int(found[2]), []
        elif text == "put:" and file.name:
            where, puts = "after", []
    assert done, cure
    return done


def filled(line: str, blanks: dict[str, str]) -> str:
    for name, value in blanks.items():
        line = line.replace(name, value)
    return line


def run(words: list[str], folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=STEP,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)


def put(file: Path, line: int, more: list[str], *, instead: bool) -> None:
    lines = file.read_text().splitlines(keepends=True)
    at = line - 1 if instead else line
    lines[at : at + instead] = [f"{one}\n" for one in more]
    file.write_text("".join(lines))


def take_lines(file: Path, start: int, begins: tuple[str, ...]) -> None:
    """From the block that begins in line `start`; 0: from no block, so that there is none."""
    lines = file.read_text().splitlines(keepends=True)
    end = block_end(lines, start)
    kept = [
        line
        for number, line in enumerate(lines, 1)
        if not (start <= number <= end and line.strip().startswith(begins))
    ]
    file.write_text("".join(kept))


def block_end(lines: list[str], start: int) -> int:
    depth = 0
    braces = "<VirtualHost" not in lines[start - 1]
    for number, line in enumerate(lines[start - 1 :], start):
        bare = line.partition("#")[0]
        if not braces and "</VirtualHost" in bare:
            return number
        depth += bare.count("{") - bare.count("}")
        if braces and "}" in bare and depth <= 0:
            return number
    return len(lines)
