"""`holdfast.toml` as values: every key, its default, and an error that says where it is wrong.

Laws: a key that is not known is refused with the nearest that is; an error names file, line and
column; relative paths are relative to the file. The classes' docstrings and descriptions are what
`holdfast keep --show-settings` prints.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, structs

from holdfast import settings_proxy, settings_responder, settings_web
from holdfast.errors import OperatorError, Unavailable
from holdfast.net.files import read_bounded
from holdfast.net.http_urls import checked_url
from holdfast.settings_proxy import ProxyTable, placed_proxy
from holdfast.settings_responder import ResponderTable, placed_responder
from holdfast.settings_server import COMMANDS, KINDS, PLACES_OF_FILES, ServerTable, keys_of
from holdfast.settings_web import WebTable, placed_web
from holdfast.toml_places import Step, place_of

FILE = "holdfast.toml"
PLACES = (FILE, f"/etc/holdfast/{FILE}")
MAX_SETTINGS = 8 * 1024 * 1024  # bytes

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


class KeeperTable(Struct, frozen=True, kw_only=True):
    """[keeper]: how staples are kept."""

    state: Annotated[str, Meta(description="folder for staples and the control socket")] = (
        "/var/lib/holdfast"
    )
    listen: Annotated[
        str, Meta(description="host:port of the status page and metrics; empty for none")
    ] = ""
    ready: Annotated[
        Literal["loaded", "must-staple", "every"],
        Meta(description="what systemd and /readyz wait for: good staples of these certificates"),
    ] = "loaded"
    refresh_at: Annotated[
        float, Meta(ge=0.05, le=0.95, description="first refresh, as a part of the staple's window")
    ] = 0.5
    jitter: Annotated[
        float, Meta(ge=0.0, le=0.5, description="the refreshes are spread over this part more")
    ] = 0.1
    on_revoked: Annotated[
        Literal["staple", "withhold"],
        Meta(description="what to do with a staple that says revoked"),
    ] = "staple"
    recheck: Annotated[
        timedelta | None, Meta(description="ask also that often between refreshes; unset: never")
    ] = None
    default_lifetime: Annotated[
        timedelta, Meta(description="how long a response without nextUpdate is held")
    ] = timedelta(hours=12)
    proxy: Annotated[
        str, Meta(description="http://host:port of an HTTP proxy for asking; empty for none")
    ] = ""
    responder_overrides: Annotated[
        dict[str, str], Meta(description='responder URL -> the URL to ask; "*" for every other')
    ] = {}
    responses: Annotated[
        list[str],
        Meta(description="files and folders of stored responses, looked at before responders"),
    ] = []
    allow_private_responders: Annotated[
        bool, Meta(description="responders may have private and loopback addresses")
    ] = True
    hash: Annotated[
        Literal["sha1", "sha256"], Meta(description="of the CertID that is asked with")
    ] = "sha1"
    method: Annotated[Literal["auto", "get", "post"], Meta(description="of the requests")] = "auto"
    timeout: Annotated[timedelta, Meta(description="for one request")] = timedelta(seconds=10)
    allow_sha1: Annotated[bool, Meta(description="accept responses signed with SHA-1")] = False
    watch: Annotated[
        timedelta, Meta(description="how often certificate files are looked at for changes")
    ] = timedelta(seconds=10)
    reload_interval: Annotated[
        timedelta,
        Meta(description="between reloads of one server, but for what cannot wait"),
    ] = timedelta(minutes=5)
    store: Annotated[str, Meta(description='where staples are kept: "files"')] = "files"


class CertificateTable(Struct, frozen=True, kw_only=True):
    """[[certificate]]: whose staple is kept."""

    chain: Annotated[str, Meta(description="fullchain.pem, or a folder, or a glob of them")]
    name: Annotated[str, Meta(description="what to call it; empty: its first DNS name")] = ""
    issuer: Annotated[str, Meta(description="file of the issuer, if it is not in the chain")] = ""
    responder_urls: Annotated[
        list[str] | None, Meta(description="whom to ask; unset: those in the certificate")
    ] = None
    servers: Annotated[list[str], Meta(description="names of the servers to give it to")] = []
    need: Annotated[
        Literal["lenient", "strict", "must"] | None,
        Meta(description="how loud the alarms are; unset: must for must-staple, else strict"),
    ] = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything; `file` is where it was read from, None for the command line."""

    keeper: KeeperTable = KeeperTable()
    certificate: list[CertificateTable] = []
    server: list[ServerTable] = []
    proxy: ProxyTable = ProxyTable()
    responder: ResponderTable = ResponderTable()
    web: WebTable = WebTable()
    file: str | None = None


TABLES: dict[str, type[Struct]] = {
    "keeper": KeeperTable,
    "certificate": CertificateTable,
    "server": ServerTable,
    "proxy": ProxyTable,
    "responder": ResponderTable,
    "web": WebTable,
}
LISTS = ("certificate", "server")
INNER = (settings_proxy, settings_responder, settings_web)  # those with tables in their tables


def usual_file() -> Path:
    """The settings file in the usual places; `OperatorError` when there is none."""
    for place in PLACES:
        if os.path.isfile(place):
            return Path(place)
    raise OperatorError(
        f"no settings: there is neither {' nor '.join(PLACES)}",
        hint="write one (`holdfast keep --show-settings` prints every key), name it with -c, or "
        "keep one certificate with `holdfast keep --certificate fullchain.pem --state DIR`",
    )


def read_settings(file: str | os.PathLike[str]) -> Settings:
    """The settings in `file`; `OperatorError` with file, line and column when anything is wrong."""
    name = os.fspath(file)
    data = read_bounded(name, MAX_SETTINGS)
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise OperatorError(
            f"{name}: not UTF-8 (at byte {error.start})", hint="settings are TOML, in UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OperatorError(
            *_syntax(name, str(error)),
            hint="mend the line; `holdfast keep --show-settings` prints every key as it is written",
        ) from error
    return _Reader(name, text).settings(document)


class _Reader:
    """One file's document on its way to `Settings`."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._folder = Path(name).absolute().parent

    def settings(self, document: dict[str, Any]) -> Settings:
        self._known_keys(document)
        for path, value in self._durations(document):
            table: Any = document
            for step in path[:-1]:
                table = table[step]
            table[path[-1]] = self._duration(value, path)
        try:
            settings = msgspec.convert(document, Settings)
        except msgspec.ValidationError as error:
            raise self._invalid(str(error)) from error
        self._consistent(settings)
        return self._placed(settings)

    def error(self, path: Sequence[Step], problem: str, hint: str = "") -> OperatorError:
        place = place_of(self._text, path)
        where = self._name if place is None else f"{self._name}:{place[0]}:{place[1]}"
        return OperatorError(f"{where}: {problem}", hint=hint)

    def _known_keys(self, document: dict[str, Any]) -> None:
        for table, content in document.items():
            if table not in TABLES:
                raise self.error((table,), f"unknown table or key {table!r}", _near(table, TABLES))
            many = table in LISTS
            if not isinstance(content, list if many else dict):
                shape = f"[[{table}]]" if many else f"[{table}]"
                raise self.error((table,), f"{table} is a table: write {shape}")
            for number, row in enumerate(content if many else [content]):
                path: tuple[Step, ...] = (table, number) if many else (table,)
                if not isinstance(row, dict):
                    raise self.error(path, f"{table} is a table: write [[{table}]]")
                shown = f"[[{table}]]" if many else f"[{table}]"
                known = [field.name for field in structs.fields(TABLES[table])]
                if table == "server" and (keys := keys_of(str(row.get("kind")))) is not None:
                    shown = f"{shown} of kind {row['kind']!r}"
                    known = list(keys)
                for key in row:
                    if key not in known:
                        problem = f"unknown key {key!r} in {shown}"
                        raise self.error((*path, key), problem, _near(key, known))
        for inner in INNER:
            for path, table, known in inner.inner_tables(document):
                for key in table if isinstance(table, dict) else ():
                    if key not in known:
                        names = [str(step) for step in path[1:] if isinstance(step, str)]
                        problem = f"unknown key {key!r} in {'.'.join(names)} of [{path[0]}]"
                        raise self.error((*path, key), problem, _near(key, known))

    def _durations(self, document: dict[str, Any]) -> Iterator[tuple[tuple[Step, ...], Any]]:
        for table, kind in TABLES.items():
            names = {f.name for f in structs.fields(kind) if _is_duration(f.type)}
            rows = document.get(table, [] if table in LISTS else {})
            for number, row in enumerate(rows if table in LISTS else [rows]):
                for key in names & row.keys():
                    yield ((table, number, key) if table in LISTS else (table, key)), row[key]
        for inner in INNER:
            yield from inner.inner_durations(document)

    def _duration(self, value: Any, path: tuple[Step, ...]) -> timedelta:
        span = parse_duration(value) if isinstance(value, str) else None
        if span is None or not span:
            problem = f"{path[-1]}: {value!r} is not a duration"
            raise self.error(path, problem, 'write "90s", "10m", "12h" or "7d"')
        return span

    def _invalid(self, message: str) -> OperatorError:
        what, _, where = message.partition(" - at `$")
        path: list[Step] = [
            int(number) if number else key
            for key, number in re.findall(r"\.([A-Za-z0-9_]+)|\[(\d+)\]", where)
        ]
        if missing := re.search(r"missing required field `(\w+)`", what):
            table = ".".join(step for step in path if isinstance(step, str))
            return self.error(path, f"[[{table}]] without {missing[1]!r}", f"add {missing[1]} = ")
        plain = what.replace("Expected `", "expected ").replace("`, got `", ", not ")
        key = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
        hint = self._choices(path)
        if "expected array, not str" in plain:
            hint = f'a list, also of one: {key} = ["..."]'
        return self.error(path, f"{key}: {plain.replace('`', '')}", hint)

    def _choices(self, path: Sequence[Step]) -> str:
        kind: Any = Settings
        for name in (step for step in path if isinstance(step, str)):
            table = _struct(kind)
            fields = {} if table is None else {f.name: f for f in structs.fields(table)}
            if name not in fields:
                return ""
            kind = fields[name].type
        choices = _literals(kind)
        return f"one of {', '.join(map(str, choices))}" if choices else ""

    def _consistent(self, settings: Settings) -> None:
        if settings.keeper.store != "files":
            problem = f"store: {settings.keeper.store!r} is not known to this version"
            raise self.error(("keeper", "store"), problem, 'write store = "files"')
        if settings.keeper.listen and parse_address(settings.keeper.listen) is None:
            problem = f"listen: {settings.keeper.listen!r} is not an address"
            raise self.error(("keeper", "listen"), problem, 'write "127.0.0.1:9120"')
        for asked, url in settings.keeper.responder_overrides.items():
            if problem := responder_url_problem(url):
                raise self.error(
                    ("keeper", "responder_overrides"), f"{asked!r}: {problem}", USUAL_URL
                )
        settings_proxy.refuse_inconsistent(settings.proxy, self.error, parse_address)
        settings_responder.refuse_inconsistent(settings.responder, self.error, parse_address)
        settings_web.refuse_inconsistent(settings.web, self.error, parse_address)
        names: list[str] = []
        for number, server in enumerate(settings.server):
            self._server(number, server, names)
            if KINDS[server.kind].asks and not settings.keeper.listen:
                problem = f"a server of kind {server.kind!r} asks the keeper, which does not listen"
                hint = (
                    'add listen = "127.0.0.1:9120" under [keeper], and tell the server to ask there'
                )
                raise self.error(("server", number, "kind"), problem, hint)
            names.append(server.name)
        for number, certificate in enumerate(settings.certificate):
            for url in certificate.responder_urls or ():
                if problem := responder_url_problem(url):
                    raise self.error(("certificate", number, "responder_urls"), problem, USUAL_URL)
            for name in certificate.servers:
                if name not in names:
                    path = ("certificate", number, "servers")
                    hint = _near(name, names) or "add a [[server]] of that name"
                    raise self.error(path, f"there is no server {name!r}", hint)

    def _server(self, number: int, server: ServerTable, names: list[str]) -> None:
        def wrong(key: str, problem: str, hint: str = "") -> OperatorError:
            return self.error(("server", number, key), problem, hint)

        kind = KINDS.get(server.kind)
        if kind is None:
            known = f"known here: {', '.join(KINDS)}"
            near = get_close_matches(server.kind, KINDS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else known
            raise wrong("kind", f"unknown kind {server.kind!r}", hint)
        if server.name in names:
            raise wrong("name", f"two servers are called {server.name!r}", "rename one")
        for key, hint in kind.needs.items():
            if not getattr(server, key):
                raise wrong("kind", f"a server of kind {server.kind!r} needs {key}", hint)
        if server.prove and parse_address(server.prove) is None:
            raise wrong("prove", f"{server.prove!r} is not an address", 'write "localhost:443"')

    def _placed(self, settings: Settings) -> Settings:
        """`settings` with every relative path made absolute from the file's folder."""

        def placed(path: str) -> str:
            return str(self._folder / os.path.expanduser(path)) if path else path

        def command(words: list[str]) -> list[str]:
            # a bare word is looked up in PATH
            return [placed(words[0]), *words[1:]] if words and "/" in words[0] else words

        keeper, replace = settings.keeper, structs.replace
        return Settings(
            keeper=replace(
                keeper,
                state=placed(keeper.state),
                responses=[placed(path) for path in keeper.responses],
            ),
            certificate=[
                replace(one, chain=placed(one.chain), issuer=placed(one.issuer))
                for one in settings.certificate
            ],
            server=[
                replace(
                    one,
                    **{key: placed(getattr(one, key)) for key in PLACES_OF_FILES},
                    **{key: command(getattr(one, key)) for key in COMMANDS if getattr(one, key)},
                )
                for one in settings.server
            ],
            proxy=placed_proxy(settings.proxy, placed),
            responder=placed_responder(settings.responder, placed),
            web=placed_web(settings.web, placed),
            file=self._name,
        )


def parse_duration(text: str) -> timedelta | None:
    """`90s`, `10m`, `12h`, `7d` and sums like `1h30m`; None for anything else."""
    pieces = re.findall(r"(\d{1,6})([smhd])", text)
    if not pieces or "".join(map("".join, pieces)) != text:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return timedelta(seconds=sum(int(number) * units[unit] for number, unit in pieces))


USUAL_URL = 'write it as in a certificate: "http://ocsp.example.org/"'


def responder_url_problem(url: str) -> str:
    """Why no responder can be asked at `url`; "" when one can."""
    try:
        checked_url(url)
    except Unavailable as error:
        return error.message
    return ""


def parse_address(text: str) -> tuple[str, int] | None:
    """(host, port) of `host:port`, `[v6]:port` or `:port`; None for anything else."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]*):(\d{1,5})", text)
    if found is None or int(found[2]) > 65535:
        return None
    return found[1].strip("[]"), int(found[2])


def _is_duration(kind: Any) -> bool:
    return kind is timedelta or any(_is_duration(inner) for inner in get_args(kind))


def _struct(kind: Any) -> type[Struct] | None:
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for inner in get_args(kind) if (found := _struct(inner))), None)


def _literals(kind: Any) -> tuple[Any, ...]:
    if getattr(kind, "__origin__", None) is Literal:
        return get_args(kind)
    return next((found for inner in get_args(kind) if (found := _literals(inner))), ())


def _near(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else ""


def _syntax(name: str, message: str) -> tuple[str]:
    if found := re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", message):
        return (f"{name}:{found[2]}:{found[3]}: {found[1][:1].lower()}{found[1][1:]}",)
    return (f"{name}: not TOML: {message}",)
