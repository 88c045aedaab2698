"""nginx's TLS sites with their certificates: what is proposed is decided on these.

Laws: made of a configuration's files alone, so that deciding reads nothing; a certificate that
cannot be read is told, never passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.conf.nginx_reading import MappingFiles, Reading, Statement, read
from holdfast.conf.nginx_servers import STAPLING, Server, tls_servers
from holdfast.conf.text import line_of, read_text
from holdfast.errors import HoldfastError
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.pki.chain import order
from holdfast.setup.words import CertificateAt, Place, Site, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One `ssl_certificate`. `file`: what is in it, leaf first; empty when it cannot be read, and
    then `problem` says why. `path` is None for one that nginx loads by a variable."""

    at: Statement
    path: Path | None
    file: tuple[Certificate, ...] = ()
    problem: str = ""

    @property
    def leaf(self) -> Certificate:
        return self.file[0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Stand:
    """A site, its server block, and what is in its files. `trust`: what nginx verifies with."""

    site: Site
    server: Server
    held: tuple[Held, ...]
    trust: frozenset[Certificate] = frozenset()

    @property
    def readable(self) -> bool:
        return bool(self.held) and all(one.file for one in self.held)

    @property
    def varies(self) -> bool:
        """Whether its certificates are only known at the handshake."""
        return any(one.path is None for one in self.held)

    def responders(self, *, but: str = "") -> tuple[str, ...]:
        """The addresses that nginx would ask: one for each certificate that has one. `but`: an
        address that will not be told to nginx any longer."""
        said = self.server.block.value("ssl_stapling_responder")
        if said and said != but:
            return (said,)
        return tuple(one.leaf.responder_urls[0] for one in self.held if _has_responder(one))

    def rooted(self, held: Held, more: Iterable[Certificate] = ()) -> bool:
        """Whether nginx has, here, the root of one of its certificates to verify with. An
        intermediate would not do: nginx asks for no partial chains."""
        top = order([*held.file, *more], extra=self.trust).certificates[-1]
        return top in self.trust and top.self_issued


@dataclass(frozen=True, slots=True)
class Survey:
    """A configuration's texts, put together."""

    reading: Reading
    stands: tuple[Stand, ...]
    folder: str
    """Where the keeper's include files lie."""

    @property
    def servers(self) -> tuple[Server, ...]:
        return tuple(stand.server for stand in self.stands)

    def place(self, statement: Statement) -> Place:
        text = self.reading.trees[statement.file].text
        return Place(Path(statement.file), line_of(text, statement.directive.start))

    def stapling_lines(self, server: Server) -> tuple[Statement, ...]:
        """Every stapling line that holds in `server`."""
        return (
            *(one for name in STAPLING for one in server.block.effective(name)),
            *server.keeper_includes(self.folder),
        )


def survey(main: Path, files: Mapping[Path, bytes], *, folder: str) -> Survey:
    """The survey of the configuration that begins with `main` and has `files`."""
    texts = {str(path): read_text(data) for path, data in files.items()}
    reading = read(str(main), MappingFiles(texts))
    assert reading is not None  # the main file is among the files
    return survey_of(reading, files, folder=folder)


def survey_of(reading: Reading, files: Mapping[Path, bytes], *, folder: str) -> Survey:
    """The same of what was read already. `files` hold the certificates too."""
    parsed: dict[Path, tuple[Certificate, ...] | str] = {}

    def certificates(path: Path) -> tuple[Certificate, ...] | str:
        if path not in parsed:
            parsed[path] = _certificates(path, files.get(path))
        return parsed[path]

    stands: list[Stand] = []
    whole = Survey(reading, (), folder)
    for server in tls_servers(reading):
        if not server.certificates:  # it answers with the default server's
            continue
        held = []
        for one in server.certificates:
            path = certificate_path(reading, one)
            found = certificates(path) if path is not None else ""
            if isinstance(found, str):
                held.append(Held(at=one, path=path, problem=found))
            else:
                held.append(Held(at=one, path=path, file=found))
        trust: set[Certificate] = set()
        for name in server.trust_files:
            known = certificates(Path(reading.full(name)))
            trust |= set(known) if not isinstance(known, str) else set()
        site = _site(whole, server, held)
        stands.append(Stand(site=site, server=server, held=tuple(held), trust=frozenset(trust)))
    return Survey(reading, tuple(stands), folder)


def named_files(reading: Reading) -> tuple[str, ...]:
    """The files of certificates that the sites name."""
    names: dict[str, None] = {}
    for server in tls_servers(reading):
        for one in server.certificates:
            path = certificate_path(reading, one)
            if path is not None:
                names[str(path)] = None
        names |= dict.fromkeys(reading.full(name) for name in server.trust_files)
    return tuple(names)


def certificate_path(reading: Reading, statement: Statement) -> Path | None:
    """None for a certificate that is no file: a variable, `data:`."""
    name = statement.args[0] if statement.args else ""
    if not name or "$" in name or name.startswith(("data:", "engine:", "store:")):
        return None
    return Path(reading.full(name))


def certificate_troubles(survey: Survey, said: Mapping[Path, str]) -> tuple[Trouble, ...]:
    """What is wrong with the sites' certificate files. `said`: the system's words by file."""
    found: dict[tuple[Place, str], Trouble] = {}
    if not survey.stands:
        place = Place(Path(survey.reading.main.file), 1)
        found[(place, "")] = Trouble(
            code="nginx-no-tls-site",
            message="no server block listens with ssl and has a certificate, so there is nothing "
            "to staple for",
            hint="enable a TLS site: `listen 443 ssl;` with ssl_certificate and "
            "ssl_certificate_key",
            place=place,
        )
    for server in tls_servers(survey.reading):
        if server.certificates or not server.default or _rejects(server):
            continue
        place = _opened(survey.reading, server)
        found[(place, "")] = Trouble(
            code="nginx-no-certificate",
            message=f"{server.title} listens with ssl and has no ssl_certificate",
            hint="add ssl_certificate and ssl_certificate_key, or take `ssl` from its listen",
            place=place,
            fatal=True,
        )
    for stand in survey.stands:
        for one in stand.held:
            place = survey.place(one.at)
            if one.path is not None and not one.file:
                missing = one.path in said
                found[(place, str(one.path))] = Trouble(
                    code="nginx-certificate-missing" if missing else "nginx-certificate-unreadable",
                    message=said.get(one.path, one.problem),
                    hint="put the certificate there (PEM, leaf first), or mend the path"
                    if missing
                    else "nginx reads PEM only, leaf first",
                    place=place,
                    fatal=True,
                )
    return tuple(found.values())


def _certificates(path: Path, data: bytes | None) -> tuple[Certificate, ...] | str:
    if data is None:
        return f"{path}: cannot be read"
    if b"-----BEGIN " not in data:
        return f"{path}: is not PEM, which nginx wants"
    try:
        return pem.certificates(data, name=str(path))
    except HoldfastError as error:
        return error.message


def _has_responder(held: Held) -> bool:
    try:
        return bool(held.file and held.leaf.responder_urls)
    except HoldfastError:
        return False


def _site(survey: Survey, server: Server, held: Iterable[Held]) -> Site:
    listens: dict[tuple[str, int], None] = {}
    for one in server.listens:
        if one.host and not one.proxy_protocol:
            listens[one.key] = None
    return Site(
        name=server.title,
        place=_opened(survey.reading, server),
        certificates=tuple(
            CertificateAt(chain=one.path, place=survey.place(one.at))
            for one in held
            if one.path is not None
        ),
        listens=tuple(listens),
        server_name=server.asked_name,
        verifies_clients=server.verifies_clients,
        stapling=_how(survey, server),
    )


def _opened(reading: Reading, server: Server) -> Place:
    block = server.block
    assert block.directive is not None
    text = reading.trees[block.file].text
    return Place(Path(block.file), line_of(text, block.directive.start))


def _rejects(server: Server) -> bool:
    return server.block.value("ssl_reject_handshake") == "on"


def _how(survey: Survey, server: Server) -> str:
    if includes := server.keeper_includes(survey.folder):
        return f"by the keeper's {includes[0].args[0]}"
    if not server.on:
        return ""
    if file := server.block.value("ssl_stapling_file"):
        return f"from the file {file}"
    if responder := server.block.value("ssl_stapling_responder"):
        return f"fetched by nginx from {responder}"
    return "fetched by nginx"
