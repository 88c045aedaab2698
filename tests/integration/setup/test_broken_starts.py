"""`holdfast setup` on servers that are wrong somehow: each ends in a working server, mended and
proved, or with every file as it was and the reason told.

One row a starting point: what is wrong, with which words the command is run, and how it ends. The
server runs before, from its package's stock layout, and must shake hands afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast.pki.pem import encode_certificates
from support.check_world import Web
from support.cli import holdfast
from support.keep_world import soon
from support.pki import a_key, a_root, an_intermediate, private
from support.ports import free_port
from support.servers.setup_world import Said, SetupWorld
from support.servers.stock_apache import PROGRAM as APACHE
from support.servers.stock_nginx import NGINX, StockNginx
from support.tls_world import YESTERDAY, Loop, a_loop, run

INVALID = "http://responder.invalid/"  # RFC 6761: never resolves
ENDS = {  # (exit code, state)
    "mended": (0, "works"),
    "pruned": (0, "pruned"),
    "refused": (2, "refused"),
    "rolled-back": (2, "rolled-back"),
    "left-out": (1, "nothing-to-do"),
}


@dataclass(frozen=True)
class Row:
    """`breaks` before the server starts, `then` while it runs. `code` must be told, with a place
    in `file` (its name's end) and, where `line` says so, in that line."""

    name: str
    kind: str
    ends: str
    code: str = ""
    breaks: Callable[[Any], object] = lambda world: None
    then: Callable[[Any], object] = lambda world: None
    words: Callable[[Any], list[str]] | tuple[str, ...] = ()
    file: str = ""
    line: str = ""


class Broken(SetupWorld):
    """A world in which things go wrong."""

    def __init__(self, kind: str, folder: Path, loop: Loop, web: Web, hold: Any) -> None:
        super().__init__(kind, folder, loop)
        self.web, self.hold = web, hold

    # -- certificates

    def certificate(self, *, whole: bool = True, **wishes: Any) -> None:
        """The site gets another; `whole`: with its chain."""
        issued = self.issue("localhost", **wishes)
        self.server.certificate("www", issued, chain=None if whole else issued.pem)

    def aia(self, path: str = "/ca.crt") -> list[str]:
        self.web.answers["/ca.crt"] = self.ca.certificate.der
        return [self.web.url + path]

    def fault(self, name: str) -> None:
        self.loop.run(self.responder.change({"fault": name}))

    def other_key(self) -> None:
        key = self.issue("localhost", key=a_key("somebody else")).key_pem()
        private(self.server.chain.with_suffix(".key"), key)

    # -- configuration

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text, (path, old)
        path.write_text(text.replace(old, new, 1))

    def in_site(self, *lines: str) -> None:
        """Lines at the end of the TLS site's own."""
        if isinstance(self.server, StockNginx):
            at, more = "include snippets/snakeoil.conf;\n", "".join(f"\t{x}\n" for x in lines)
        else:
            at, more = "SSLEngine on\n", "".join(f"\t\t{x}\n" for x in lines)
        self.edit(self.server.default, at, at + more)

    def outside(self, *lines: str) -> None:
        """Lines at the beginning of the main file."""
        name = "nginx.conf" if self.kind == "nginx" else "apache2.conf"
        path = self.server.conf / name
        path.write_text("".join(f"{line}\n" for line in lines) + path.read_text())

    def more_site(self, *, port: int, name: str, file: str = "a-more") -> None:
        chain = self.server.certificate(file, self.issue(name, who=file))
        key = chain.with_suffix(".key")
        if isinstance(self.server, StockNginx):
            self.server.site(
                file,
                f"server {{\n\tlisten 127.0.0.1:{port} ssl;\n\tserver_name {name};\n"
                f"\tssl_certificate {chain};\n\tssl_certificate_key {key};\n}}\n",
            )
        else:
            self.server.site(
                file,
                f"<VirtualHost *:{port}>\n\tServerName {name}\n\tSSLEngine on\n"
                f"\tSSLCertificateFile {chain}\n\tSSLCertificateKeyFile {key}\n</VirtualHost>\n",
            )

    def taken_port(self) -> int:
        """A port that another process listens on."""
        taken = self.hold(socket.create_server(("127.0.0.1", 0)))
        return int(taken.getsockname()[1])

    def wrapper(self, body: str) -> list[str]:
        """`--program` that does `body` first; the server's own name, as the kernel has it."""
        real = NGINX if self.kind == "nginx" else APACHE
        path = self.folder / "bin" / Path(real).name
        path.parent.mkdir()
        path.write_text(f'#!/bin/sh\n{body}\nexec {real} "$@"\n')
        path.chmod(0o755)
        return ["--program", str(path)]

    def test_fails_from(self, number: int) -> list[str]:
        """The configuration test fails from its `number`th run on."""
        count = self.folder / "count"
        word = "nginx: [emerg] out of luck in /nowhere:7" if self.kind == "nginx" else "out of luck"
        return self.wrapper(
            f'case " $* " in *" -t "*) echo x >>{count}; '
            f"if [ $(wc -l <{count}) -ge {number} ] && [ $(wc -l <{count}) -lt {number + 1} ]; "
            f"then echo '{word}' >&2; exit 1; fi;; esac"
        )

    def not_ours_to_write(self) -> None:
        for path in (self.server.conf, *self.server.conf.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o555)

    def anybody_serves(self) -> bool:
        """Whether the server shakes hands, whatever the certificate is worth."""
        port = self.server.port
        _, said = run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "x"])
        return "BEGIN CERTIFICATE" in said


def stray(world: Broken) -> str:
    return f"SSLStaplingCache shmcb: {world.server.folder}/run/st(128000)"


def stapling_on(world: Broken) -> object:
    world.in_site("ssl_stapling on;" if world.kind == "nginx" else "SSLUseStapling on")
    if world.kind == "apache":
        world.outside(f"SSLStaplingCache shmcb:{world.server.folder}/run/st(128000)")
    return None


def how(**wishes: Any) -> dict[str, Any]:
    return wishes


def ended(world: Broken) -> None:
    world.certificate(lifetime=timedelta(hours=1))
    world.fault("unauthorized")


def same_name_issuer(world: Broken) -> None:
    """The chain has a CA of the issuer's name, with another key."""
    issued = world.issue("localhost")
    twin = an_intermediate(a_root(at=YESTERDAY, who="another"), at=YESTERDAY, who="another")
    chain = encode_certificates([issued.certificate, twin.certificate])
    world.server.certificate("www", issued, chain=chain)


def no_mod_ssl(world: Broken) -> None:
    for name in ("ssl.load", "ssl.conf"):
        (world.server.conf / "mods-enabled" / name).unlink()


MEND = ("--mend",)
DEFAULT = "sites-enabled/default"
SSL = "sites-enabled/default-ssl.conf"

ONE = "responder-"  # found out before the server is touched: each with one of the servers
BOTH = [
    ("chain-from-aia", "mended", "", how(
        breaks=lambda w: w.certificate(whole=False, issuer_urls=w.aia()))),
    ("chain-aia-dead", "refused", "chain-incomplete", how(
        breaks=lambda w: w.certificate(whole=False, issuer_urls=w.aia("/gone.crt")))),
    ("chain-no-aia", "refused", "chain-incomplete", how(
        breaks=lambda w: w.certificate(whole=False))),
    ("issuer-of-the-same-name", "refused", "chain-incomplete", how(breaks=same_name_issuer)),
    ("responder-refuses-connections", "refused", "responder-refused", how(
        breaks=lambda w: w.fault("refused"))),
    ("responder-hangs", "refused", "responder-silent", how(
        breaks=lambda w: w.fault("hang"), words=("--timeout", "0.5"))),
    ("responder-unresolved", "refused", "responder-", how(
        breaks=lambda w: w.certificate(responder_urls=[INVALID]))),
    ("responder-https", "refused", "responder-tls-only", how(
        breaks=lambda w: w.certificate(responder_urls=["https://127.0.0.1:9/"]))),
    ("responder-web-page", "refused", "responder-web-page", how(
        breaks=lambda w: w.fault("html"))),
    ("responder-500", "refused", "responder-http-5xx", how(
        breaks=lambda w: w.fault("http-500"))),
    ("responder-try-later", "refused", "responder-try-later", how(
        breaks=lambda w: w.fault("tryLater"))),
    ("responder-unauthorized", "refused", "responder-unauthorized", how(
        breaks=lambda w: w.fault("unauthorized"))),
    ("responder-lies", "refused", "responder-response-rejected", how(
        breaks=lambda w: w.fault("bad-signature"))),
    ("revoked", "refused", "responder-says-revoked", how(
        breaks=lambda w: w.fault("revoked"))),
    ("no-url", "left-out", "no-responder-url", how(
        breaks=lambda w: w.certificate(responder_urls=[]))),
    ("must-staple-no-url", "refused", "no-responder-url", how(
        breaks=lambda w: w.certificate(responder_urls=[], must_staple=True))),
    ("dead-lines-pruned", "pruned", "no-responder-url", how(
        breaks=lambda w: (w.certificate(responder_urls=[]), stapling_on(w)),
        words=("--prune",))),
    ("certificate-ended", "refused", "certificate-ended", how(breaks=ended)),
    ("key-of-another", "refused", "key-mismatch", how(then=lambda w: w.other_key())),
    ("certificate-gone", "refused", "certificate-missing", how(
        then=lambda w: w.server.chain.unlink())),
    ("test-fails-before", "refused", "refused", how(
        words=lambda w: w.test_fails_from(1))),
    ("test-fails-after", "rolled-back", "refused", how(
        words=lambda w: w.test_fails_from(2))),
    ("unwritable", "refused", "not-writable", how(breaks=lambda w: w.not_ours_to_write())),
    ("pid-file-of-the-dead", "refused", "pid-unknown", how(
        words=lambda w: ["--pid-file", str(dead_pid(w))])),
]  # fmt: skip

OWN = [
    Row("misspelled", "nginx", "refused", "nginx-misspelled", file=DEFAULT, line="ssl_staplng",
        then=lambda w: w.in_site("ssl_staplng on;")),
    Row("misspelled-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.in_site("ssl_staplng on;")),
    Row("wrong-place", "nginx", "refused", "nginx-wrong-context", file="nginx.conf",
        line="ssl_stapling", then=lambda w: w.outside("ssl_stapling on;")),
    Row("wrong-place-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.outside("ssl_stapling on;")),
    Row("twice", "nginx", "refused", "nginx-duplicate", file=DEFAULT, line="ssl_stapling",
        then=lambda w: w.in_site("ssl_stapling on;", "ssl_stapling on;")),
    Row("twice-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.in_site("ssl_stapling on;", "ssl_stapling on;")),
    Row("value", "nginx", "refused", "nginx-bad-value", file=DEFAULT, line="ssl_stapling",
        then=lambda w: w.in_site("ssl_stapling yes;")),
    Row("value-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.in_site("ssl_stapling yes;")),
    Row("stray-space-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.in_site("ssl_stapling o n;")),
    Row("no-semicolon", "nginx", "refused", "nginx-", file=DEFAULT,
        then=lambda w: w.in_site("ssl_stapling on")),
    Row("no-brace", "nginx", "refused", "nginx-syntax",
        then=lambda w: w.outside("events {")),
    Row("unrelated-error", "nginx", "refused", "nginx-refused", file=DEFAULT, line="no_such",
        then=lambda w: w.in_site("no_such_directive on;")),
    Row("include-gone", "nginx", "refused", "nginx-", file=DEFAULT, line="gone.conf",
        then=lambda w: w.in_site("include snippets/gone.conf;")),
    Row("verify-without-root", "nginx", "mended",
        breaks=lambda w: w.in_site("ssl_stapling on;", "ssl_stapling_verify on;")),
    Row("https-responder-line-mend", "nginx", "mended", words=MEND,
        breaks=lambda w: w.in_site("ssl_stapling on;",
                                   "ssl_stapling_responder https://127.0.0.1:9/;")),
    Row("staple-file-gone-mend", "nginx", "mended", words=MEND,
        then=lambda w: w.in_site(f"ssl_stapling_file {w.folder}/gone.der;")),
    Row("port-of-another-process", "nginx", "rolled-back", "reload-failed",
        then=lambda w: w.more_site(port=w.taken_port(), name="more.test")),
    Row("two-of-one-name", "nginx", "rolled-back", "another-certificate-shown", file="twin",
        breaks=lambda w: [w.more_site(port=w.server.port, name="more.test", file=file)
                          for file in ("more", "twin")]),
    Row("resolver-dead", "nginx", "rolled-back", "staple-missing", file=DEFAULT,
        breaks=lambda w: (w.certificate(
            responder_urls=[w.responder.url.replace("127.0.0.1", "localhost")]),
                          w.in_site("resolver 127.0.0.1:9;"))),
    Row("stands-behind-another", "apache", "rolled-back", "another-certificate-shown", file=SSL,
        breaks=lambda w: w.more_site(port=w.server.port, name="localhost")),
    Row("force-url-dead", "apache", "rolled-back", "responder-connect",
        breaks=lambda w: (stapling_on(w), w.in_site("SSLStaplingForceURL http://127.0.0.1:9/"))),
    Row("misspelled", "apache", "refused", "apache-directive-misspelled", file="apache2.conf",
        line="SSLStaplingCahe",
        then=lambda w: w.outside(f"SSLStaplingCahe shmcb:{w.server.folder}/run/st(128000)")),
    Row("misspelled-mend", "apache", "mended", words=MEND,
        then=lambda w: w.outside(f"SSLStaplingCahe shmcb:{w.server.folder}/run/st(128000)")),
    Row("cache-in-site", "apache", "refused", "apache-cache-in-virtual-host", file=SSL,
        line="SSLStaplingCache",
        then=lambda w: w.in_site(f"SSLStaplingCache shmcb:{w.server.folder}/run/st(128000)")),
    Row("cache-in-site-mend", "apache", "mended", words=MEND,
        then=lambda w: w.in_site(f"SSLStaplingCache shmcb:{w.server.folder}/run/st(128000)")),
    Row("stray-space", "apache", "refused", "apache-cache-stray-space", file="apache2.conf",
        line="shmcb: ", then=lambda w: w.outside(stray(w))),
    Row("stray-space-mend", "apache", "mended", words=MEND, then=lambda w: w.outside(stray(w))),
    Row("no-cache", "apache", "mended", then=lambda w: w.in_site("SSLUseStapling on")),
    Row("value", "apache", "refused", "apache-value-wrong", file=SSL, line="SSLUseStapling",
        then=lambda w: w.in_site("SSLUseStapling yes")),
    Row("https-force-url-mend", "apache", "mended", words=MEND,
        breaks=lambda w: (stapling_on(w), w.in_site(
            "SSLStaplingForceURL " + w.responder.url.replace("http:", "https:")))),
    Row("cache-folder-gone", "apache", "refused", "apache-cache-unwritable", file="apache2.conf",
        line="SSLStaplingCache",
        then=lambda w: w.outside("SSLStaplingCache shmcb:/nowhere/at/all/st(128000)")),
    Row("unrelated-error", "apache", "refused", "apache-refused", file=SSL, line="NoSuch",
        then=lambda w: w.in_site("NoSuchDirective on")),
    Row("section-open", "apache", "refused", "apache-", file=SSL,
        then=lambda w: w.in_site("<IfModule mod_ssl.c>")),
    Row("cache-module-gone", "apache", "refused", "apache-cache-module-missing",
        then=lambda w: (w.server.conf / "mods-enabled" / "socache_shmcb.load").unlink()),
    Row("cache-module-gone-mend", "apache", "mended", words=MEND,
        then=lambda w: (w.server.conf / "mods-enabled" / "socache_shmcb.load").unlink()),
    Row("module-gone", "apache", "refused", "apache-mod-ssl-missing",
        then=no_mod_ssl),
    Row("module-gone-mend", "apache", "mended", words=MEND, then=no_mod_ssl),
    Row("nobody-listens", "apache", "mended", "apache-nobody-listens",
        breaks=lambda w: w.more_site(port=free_port(), name="more.test")),
]  # fmt: skip


def dead_pid(world: Broken) -> Path:
    path = world.folder / "old.pid"
    path.write_text(f"{2**22 - 1}\n")  # PID_MAX_LIMIT: none is that high here
    return path


ROWS = [
    *(Row(name, kind, ends, code, **more)
      for number, (name, ends, code, more) in enumerate(BOTH)
      for kind in (("nginx", "apache")[number % 2 :][:1] if ONE in name else ("nginx", "apache"))),
    *OWN,
]  # fmt: skip


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with a_loop() as loop:
        yield loop


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}-{row.name}")
def test_a_broken_start_ends_in_a_working_server(
    row: Row, tmp_path: Path, loop: Loop, web: Web
) -> None:
    with contextlib.ExitStack() as stack:
        world = Broken(row.kind, tmp_path, loop, web, stack.enter_context)
        stack.callback(world.close)
        row.breaks(world)
        with world.server:
            soon(world.anybody_serves)
            row.then(world)
            before = world.server.everything()
            own = row.words(world) if callable(row.words) else list(row.words)
            said = ran(world, row, world.words("--within", "1.5", *own))
            story = (said.code, said.document, said.stderr)
            assert world.anybody_serves(), story
            assert (said.code, said.state) == ENDS[row.ends], story
            if row.ends in ("mended", "pruned"):
                assert world.stapled() == (row.ends == "mended"), story
            else:
                assert world.server.everything() == before, story
            if row.code:
                told_with_a_place(row, said, before)


def ran(world: Broken, row: Row, words: list[str]) -> Said:
    """The command: its own process where it needs to be another user, so to say."""
    if row.name == "unwritable":
        return world.setup(words=as_root_without_privilege(words))
    outcome = holdfast(*words[3:], "--json")
    return Said(outcome.code, json.loads(outcome.stdout or b"{}"), outcome.err)


def as_root_without_privilege(words: list[str]) -> list[str]:
    """Modes hold for root, too, without these."""
    if os.geteuid() != 0:
        return words
    less = "-dac_override,-dac_read_search"
    return ["setpriv", "--bounding-set", less, "--inh-caps", less, *words]


def told_with_a_place(row: Row, said: Said, before: dict[Path, Any]) -> None:
    told = [one for one in said.document["troubles"] if row.code in one["code"]]
    assert told, said.codes
    assert all(one["message"] and one["hint"] for one in told), told
    if not row.file:
        return
    (one,) = [one for one in told if (one["file"] or "").endswith(row.file)][:1]
    if row.line:
        text = Path(one["file"]).read_text().splitlines()
        assert row.line in text[one["line"] - 1], one
