"""HAProxy's configuration read from disk: every file it names, as far as it can be read.

Laws: nothing is run and nothing is changed; bounded; of a file that holds a key only the
certificates are kept; what is passed over is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from holdfast.conf import haproxy, haproxy_crt_list
from holdfast.conf.haproxy import Line, Section
from holdfast.conf.haproxy_crt_list import Entry
from holdfast.conf.text import read_text
from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.setup.haproxy_words import Extra, HAProxyConfiguration, Loaded, Use
from holdfast.setup.words import Place, Trouble

MAX_CERTIFICATES = 10_000
BUNDLE = (".rsa", ".dsa", ".ecdsa")  # `ssl-load-extra-files bundle`
NOT_CERTIFICATES = (".issuer", ".ocsp", ".sctl", ".key")  # what a `crt` folder passes over
VERIFYING = ("required", "optional")

Holds = Callable[[str], bool]


def config_files(given: Iterable[Path]) -> tuple[Path, ...]:
    """The files of `-f`: a folder stands for its `*.cfg`, in alphabetical order."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            found += sorted(one for one in path.glob("*.cfg") if not one.name.startswith("."))
        else:
            found.append(path)
    return tuple(found)


@dataclass(slots=True)
class Reader:
    """`version` as the program says; `environment`: of HAProxy's process; `holds`: whether a
    condition of `.if` does; `folder`: where HAProxy is started."""

    version: tuple[int, ...]
    environment: Mapping[str, str]
    holds: Holds
    folder: Path
    _files: dict[Path, bytes] = field(default_factory=dict)
    _lists: dict[Path, tuple[Entry, ...]] = field(default_factory=dict)
    _uses: dict[Path, list[Use]] = field(default_factory=dict)
    _loaded: dict[Path, Loaded] = field(default_factory=dict)
    _sockets: dict[str, None] = field(default_factory=dict)
    _troubles: list[Trouble] = field(default_factory=list)
    _issuers: list[Certificate] = field(default_factory=list)
    _set: dict[str, str] = field(default_factory=dict)
    _base: str = ""
    _without_extension: bool = False
    _extra: Extra | None = None
    _update: tuple[Path, Line] | None = None
    _pid_file: Path | None = None

    def read(self, configs: Sequence[Path]) -> HAProxyConfiguration:
        """`OperatorError` when a file of the configuration cannot be read. Sites are not yet made
        of it."""
        self._set = dict(self.environment)
        trees: dict[Path, haproxy.Configuration] = {}
        for path in configs:
            data = read_bounded(path)
            self._files[path] = data
            trees[path] = haproxy.parse(read_text(data))
            for section in trees[path].sections:
                self._section(path, section)
        for path, uses in self._uses.items():
            self._load(path, tuple(uses))
        return HAProxyConfiguration(
            version=self.version,
            files=self._files,
            trees=trees,
            lists=self._lists,
            loaded=self._loaded,
            sockets=tuple(self._sockets),
            extra=self._extra,
            issuers=tuple(self._issuers),
            update=self._update,
            pid_file=self._pid_file,
            troubles=tuple(self._troubles),
        )

    # -- sections --------------------------------------------------------------------------------

    def _section(self, path: Path, section: Section) -> None:
        for line in section.lines:
            if not line.words or (line.condition and not line.condition.taken(self.holds)):
                continue
            place = Place(path, line.number)
            if line.broken:
                self._tell(
                    "quote-open",
                    f"{path}:{line.number}: a quote is left open",
                    "close it: HAProxy does not start",
                    place,
                    fatal=True,
                )
            if section.kind == "global":
                self._global(path, line, place)
            elif section.kind in ("frontend", "listen") and line.texts[0] == "bind":
                self._bind(line, place)

    def _global(self, path: Path, line: Line, place: Place) -> None:
        said, *words = line.texts
        value = line.words[1].filled(self._set) if words else ""
        match said:
            case "setenv" | "presetenv" if len(words) > 1:
                after = line.words[2].filled(self._set)
                if said == "setenv" or value not in self._set:
                    self._set[value] = after
            case "unsetenv":
                for word in line.words[1:]:
                    self._set.pop(word.filled(self._set), None)
            case "crt-base":
                self._base = value
            case "ssl-load-extra-del-ext":
                self._without_extension = True
            case "ssl-load-extra-files":
                self._extra = Extra(path=path, line=line)
            case "ocsp-update.mode" | "tune.ssl.ocsp-update.mode":
                self._update = (path, line)
            case "pidfile" if value:
                self._pid_file = self.folder / value
            case "issuers-chain-path" if value:
                self._issuers += _all_in(self._path(value, place))
            case "default-path" if value:
                self._default_path(value, line, path)
            case "stats" if words[:1] == ["socket"] and len(words) > 1:
                if "level" in words and words[words.index("level") + 1 :][:1] == ["admin"]:
                    self._sockets[line.words[2].filled(self._set)] = None

    def _default_path(self, kind: str, line: Line, path: Path) -> None:
        beside = path.absolute().parent
        if kind == "config":
            self.folder = beside
        elif kind == "parent":
            self.folder = beside.parent
        elif kind == "origin" and len(line.words) > 2:
            self.folder = Path(line.words[2].filled(self._set))

    def _bind(self, line: Line, place: Place) -> None:
        words = [word.filled(self._set) for word in line.words]
        if "ssl" not in words[2:]:
            return
        options = dict(pairwise(words[2:]))
        use = Use(
            place=place,
            listens=listens(words[1]),
            verifies=options.get("verify") in VERIFYING,
            behind_proxy="accept-proxy" in words,
        )
        for number, word in enumerate(words[:-1]):
            if number < 2 or word not in ("crt", "crt-list"):
                continue
            said = line.words[number + 1]
            unset = [
                one.name
                for one in said.variables
                if one.name not in self._set and one.default is None
            ]
            if unset:
                self._tell(
                    "variable-unset",
                    f"{place}: ${unset[0]} in {said.text} is not set here: its certificates are "
                    "not found",
                    "set it as HAProxy's service does, and run this again",
                    place,
                )
                continue
            if word == "crt":
                self._crt(words[number + 1], use)
            else:
                self._crt_list(words[number + 1], use)

    # -- certificates ----------------------------------------------------------------------------

    def _crt(self, value: str, use: Use) -> None:
        if value.startswith("@"):
            self._tell(
                "crt-store",
                f"{use.place}: {value} is of a crt-store, which is not looked into",
                "add `ocsp-update on` to its `load` line by hand",
                use.place,
            )
            return
        path = self._path(os.path.join(self._base, value), use.place)
        if path.is_dir():
            for one in _in_folder(path):
                self._use(one, use)
        else:
            self._use(path, use)

    def _crt_list(self, value: str, use: Use) -> None:
        path = self._path(value, use.place)
        if path not in self._lists:
            try:
                data = read_bounded(path)
            except OperatorError as error:
                self._tell("crt-list", error.message, error.hint, use.place, fatal=True)
                return
            self._files[path] = data
            self._lists[path] = haproxy_crt_list.parse(read_text(data))
        for entry in self._lists[path]:
            place = Place(path, entry.number)
            if entry.broken:
                self._tell(
                    "crt-list",
                    f"{place}: brackets in the wrong place",
                    "write: file [options] names",
                    place,
                    fatal=True,
                )
            elif entry.file:
                self._entry(path, entry, replace(use, place=place))

    def _entry(self, path: Path, entry: Entry, use: Use) -> None:
        verify = entry.option("verify")
        file = self._path(os.path.join(self._base, entry.file), use.place)
        if file.is_dir():
            self._tell(
                "folder-in-crt-list",
                f"{use.place}: {file} is a folder, at which HAProxy hangs for ever",
                "name its files one by one, or write `crt {file}` on the bind line",
                use.place,
                fatal=True,
            )
            return
        self._use(
            file,
            replace(
                use,
                entry=(path, entry),
                names=tuple(name for name in entry.filters if not name.startswith("!")),
                verifies=use.verifies if verify is None else verify in VERIFYING,
            ),
        )

    def _use(self, path: Path, use: Use) -> None:
        """One certificate, or the bundle that stands for a file that is not there."""
        parts = [path.with_name(path.name + suffix) for suffix in BUNDLE]
        bundle = [] if path.exists() else [part for part in parts if part.exists()]
        for one in bundle or [path]:
            if len(self._uses) < MAX_CERTIFICATES or one in self._uses:
                self._uses.setdefault(one, []).append(use)

    def _load(self, path: Path, uses: tuple[Use, ...]) -> None:
        try:
            chain = pem.certificates(read_bounded(path), name=str(path))
        except HoldfastError as error:
            self._tell("certificate-unreadable", error.message, error.hint, uses[0].place, True)
            return
        stem = path
        if self._without_extension and path.suffix == ".crt":
            stem = path.with_suffix("")
        loaded = Loaded(path=path, stem=stem, chain=chain, uses=uses)
        self._loaded[path] = replace(
            loaded, ocsp=self._beside(loaded.ocsp_path), issuer=self._beside(loaded.issuer_path)
        )

    def _beside(self, path: Path) -> bytes | None:
        try:
            data = read_bounded(path)
        except OperatorError:
            return None
        self._files[path] = data
        return data

    # -- pieces ----------------------------------------------------------------------------------

    def _path(self, value: str, place: Place) -> Path:
        return Path(os.path.normpath(self.folder / value))

    def _tell(self, code: str, message: str, hint: str, place: Place, fatal: bool = False) -> None:
        self._troubles.append(
            Trouble(code=f"haproxy-{code}", message=message, hint=hint, place=place, fatal=fatal)
        )


def listens(text: str) -> tuple[tuple[str, int], ...]:
    """Where a handshake reaches the addresses of a bind line, wildcards as loopback; what is no TCP
    address is left out."""
    found: dict[tuple[str, int], None] = {}
    for address in text.split(","):
        kind, mark, rest = address.strip().rpartition("@")
        if (mark and kind not in ("ipv4", "ipv6", "tcp", "tcp4", "tcp6")) or rest.startswith("/"):
            continue
        host, _, port = rest.rpartition(":")
        first = port.partition("-")[0]
        if not first.isdigit() or not 0 < int(first) < 65536:
            continue
        host = host.strip("[]")
        if host in ("::", "") and (kind in ("ipv6", "tcp6") or host):
            host = "::1"
        elif host in ("", "*", "0.0.0.0"):  # noqa: S104 - read, not listened on
            host = "::1" if kind in ("ipv6", "tcp6") else "127.0.0.1"
        found[host, int(first)] = None
    return tuple(found)


def _in_folder(path: Path) -> Iterator[Path]:
    """What a `crt` folder loads: files by their names' order, reserved extensions passed over."""
    for one in sorted(path.iterdir(), key=lambda each: each.name):
        if not one.name.startswith(".") and one.suffix not in NOT_CERTIFICATES and one.is_file():
            yield one


def _all_in(folder: Path) -> list[Certificate]:
    found: list[Certificate] = []
    if not folder.is_dir():
        return found
    for one in _in_folder(folder):
        try:
            found += pem.certificates(read_bounded(one), name=str(one))
        except HoldfastError:
            continue  # HAProxy would refuse it; its own test says so
    return found
