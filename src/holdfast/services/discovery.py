"""Which certificates this machine has, and who serves them: certbot's and acme.sh's folders, and
what nginx, Apache and HAProxy are configured with.

Laws: nothing is run and nothing is changed; a configuration is read as far as it can be; what is
passed over is said; every path is under `root`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from holdfast.conf.statements import (
    Statement,
    apache_statements,
    haproxy_statements,
    nginx_statements,
)
from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded

MAX_FILES = 5_000  # of one configuration
MAX_DEPTH = 16

NGINX = ("/etc/nginx/nginx.conf", "/usr/local/etc/nginx/nginx.conf")
APACHE = (
    ("/etc/apache2/apache2.conf", "/etc/apache2"),
    ("/etc/httpd/conf/httpd.conf", "/etc/httpd"),
)
HAPROXY = ("/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d/*.cfg")
CERTBOT = "/etc/letsencrypt/live/*/fullchain.pem"
HOMES = ("/root", "/home/*")
ACME_SH = ".acme.sh/*/fullchain.cer"
_NOT_CRT = (".key", ".ocsp", ".issuer", ".sctl", ".dh")

Parse = Callable[[str], Iterator[Statement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A certificate's file. `by`: certbot, acme.sh, nginx, apache, haproxy; `chain_file`: where
    its issuer is said to be; `beside`: how many others its nginx block has."""

    path: Path
    by: str
    chain_file: Path | None = None
    beside: int = 0


@dataclass(slots=True)
class Machine:
    """What was found. `sockets`: HAProxy's, of level admin; `notes`: what was passed over."""

    found: list[Found] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_around(root: str | os.PathLike[str] = "/", *, home: str | None = None) -> Machine:
    """Look at the machine whose files are under `root`. `home`: whose acme.sh is looked at too."""
    machine = Machine()
    looking = _Looking(Path(root), machine)
    for pattern in HAPROXY:
        for path in looking.matches(pattern):
            looking.haproxy(path)
    for config in NGINX:
        if looking.place(config).is_file():
            looking.nginx(config)
    for config, server_root in APACHE:
        if looking.place(config).is_file():
            looking.apache(config, server_root)
    looking.layout(CERTBOT, "certbot")
    for folder in (*HOMES, *([home] if home else [])):
        looking.layout(f"{folder}/{ACME_SH}", "acme.sh")
    return machine


class _Looking:
    def __init__(self, root: Path, machine: Machine) -> None:
        self._root = root
        self._machine = machine
        self._left = MAX_FILES
        self._defined: dict[str, str] = {}

    def place(self, path: str, folder: str = "/") -> Path:
        """Where `path` of a configuration lies: under the root, relative ones from `folder`."""
        whole = os.path.normpath(os.path.join(folder, path))
        return self._root / whole.lstrip("/")

    def matches(self, pattern: str, folder: str = "/") -> list[Path]:
        return [Path(path) for path in sorted(glob.glob(str(self.place(pattern, folder))))]

    def layout(self, pattern: str, by: str) -> None:
        for path in self.matches(pattern):
            self._found(path, by)

    # -- nginx -----------------------------------------------------------------------------------

    def nginx(self, config: str) -> None:
        folder = os.path.dirname(config)
        stack: list[list[str]] = [[]]
        for words in self._all(config, nginx_statements, "include", folder):
            if words[-1] == "{":
                stack.append([])
            elif words == ("}",):
                self._block(stack.pop() if len(stack) > 1 else [], folder)
            elif words[0] == "ssl_certificate" and len(words) > 1:
                stack[-1].append(words[1])
        for named in stack:
            self._block(named, folder)

    def _block(self, named: list[str], folder: str) -> None:
        for name in named:
            if "$" in name or name.startswith(("data:", "engine:")):
                self._machine.notes.append(f"nginx: ssl_certificate {name}: not a file that stays")
                continue
            self._found(self.place(name, folder), "nginx", beside=len(named) - 1)

    # -- Apache ----------------------------------------------------------------------------------

    def apache(self, config: str, server_root: str) -> None:
        certificates: list[str] = []
        chain: str | None = None
        self._defined = {"APACHE_CONFDIR": server_root}

        def ended() -> None:
            for name in certificates:
                path = self.place(name, server_root)
                file = None if chain is None else self.place(chain, server_root)
                self._found(path, "apache", chain_file=file)
            certificates.clear()

        for words in self._all(config, apache_statements, "include", server_root):
            said = words[0].lower()
            if said == "define" and len(words) > 2:
                self._defined[words[1]] = words[2]
            elif said == "serverroot" and len(words) > 1:
                server_root = self._filled(words[1])
            elif said in ("<virtualhost", "</virtualhost>"):
                ended()
                chain = None
            elif said == "sslcertificatefile" and len(words) > 1:
                certificates.append(self._filled(words[1]))
            elif said == "sslcertificatechainfile" and len(words) > 1:
                chain = self._filled(words[1])
        ended()

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda it: self._defined.get(it[1], it[0]), text)

    # -- HAProxy ---------------------------------------------------------------------------------

    def haproxy(self, config: Path) -> None:
        base = ""
        for words in haproxy_statements(self._text(config)):
            if words[0] == "crt-base" and len(words) > 1:
                base = words[1]
            elif words[:2] == ("stats", "socket") and len(words) > 2 and "admin" in words:
                if words[2] not in self._machine.sockets:
                    self._machine.sockets.append(words[2])
            elif words[0] == "bind" and "ssl" in words:
                for word, value in pairwise(words):
                    if word == "crt":
                        self._crt(value, base)
                    elif word == "crt-list":
                        self._crt_list(value, base)

    def _crt(self, name: str, base: str) -> None:
        path = self.place(name, base or "/")
        if not path.is_dir():
            self._found(path, "haproxy")
            return
        for one in sorted(path.iterdir()):
            if one.is_file() and not one.name.startswith(".") and one.suffix not in _NOT_CRT:
                self._found(one, "haproxy")

    def _crt_list(self, name: str, base: str) -> None:
        for words in haproxy_statements(self._text(self.place(name))):
            self._crt(words[0], base)

    # -- files -----------------------------------------------------------------------------------

    def _all(
        self, file: str, parse: Parse, include: str, folder: str, depth: int = 0
    ) -> Iterator[Statement]:
        """The statements of `file`, and of what it includes in the place of that."""
        yield from self._statements(self.place(file), parse, include, folder, depth)

    def _statements(
        self, path: Path, parse: Parse, include: str, folder: str, depth: int
    ) -> Iterator[Statement]:
        for words in parse(self._text(path)):
            said = words[0].lower()
            if said not in (include, f"{include}optional") or len(words) < 2:
                yield words
                continue
            if depth >= MAX_DEPTH:
                self._machine.notes.append(f"{path}: includes too deep: {words[1]}")
                continue
            for inner in self.matches(self._filled(words[1]), folder):
                files = sorted(inner.iterdir()) if inner.is_dir() else [inner]
                for one in files:
                    if one.is_file():
                        yield from self._statements(one, parse, include, folder, depth + 1)

    def _text(self, path: Path) -> str:
        self._left -= 1
        if self._left < 0:
            return ""
        try:
            return read_bounded(path).decode("utf-8", "replace")
        except OperatorError as error:
            self._machine.notes.append(error.message)
            return ""

    def _found(
        self, path: Path, by: str, *, chain_file: Path | None = None, beside: int = 0
    ) -> None:
        found = Found(path=path, by=by, chain_file=chain_file, beside=beside)
        if found not in self._machine.found:
            self._machine.found.append(found)
