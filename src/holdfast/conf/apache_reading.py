"""What Apache's configuration says once everything is included, and where it says it.

Laws: pure; files are asked for through `Lookup`. It goes as httpd does: Define, LoadModule, Include
and the conditions around them take effect in the order of reading; variables are filled in word by
word; macros are unfolded where they are used, and what they say lies in the macro. What cannot be
known without the server is taken to hold: <IfDirective> (but for mod_ssl's own) and <IfSection>.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.conf.apache import Directive, Node, Section, Word, flaws, parse
from holdfast.conf.text import line_of

MAX_FILES = 5_000  # of one configuration
MAX_DEPTH = 20  # of includes: httpd's AP_MAX_INCLUDE_DEPTH
MAX_SAID = 1_000_000  # directives: macros that use macros could go on for ever

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_VERSION = re.compile(r"\d+")


class Lookup(Protocol):
    """Where files come from. Names are absolute paths."""

    def matching(self, pattern: str) -> Sequence[str]:
        """The files that an Include of `pattern` reads, in Apache's order."""
        ...

    def text(self, name: str) -> str | None:
        """None when it cannot be read."""
        ...

    def exists(self, path: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Said:
    """One directive in force. `host`: the number of its virtual host, None for the main server;
    `within`: the sections around it that are no conditions and no hosts, in lower case."""

    file: str
    node: Directive
    name: str
    arguments: tuple[str, ...]
    host: int | None
    within: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.arguments[0] if self.arguments else ""


@dataclass(frozen=True, slots=True)
class Host:
    """A <VirtualHost> in force."""

    file: str
    section: Section
    addresses: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be read as Apache must: `what` is include, form or depth."""

    file: str
    offset: int
    what: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A whole configuration. `texts` by file, in the order of reading; `server_root` is the last
    that was said; `own` and `inside` are `said` by name and host, at the host's own level and in
    sections in it; `modules` has both of a module's names, ssl_module and mod_ssl.c."""

    main: str
    server_root: str
    version: tuple[int, ...]
    texts: Mapping[str, str]
    said: tuple[Said, ...]
    own: Mapping[tuple[str, int | None], tuple[Said, ...]]
    inside: Mapping[tuple[str, int | None], tuple[Said, ...]]
    hosts: tuple[Host, ...]
    modules: frozenset[str]
    variables: Mapping[str, str]
    gaps: tuple[Gap, ...]

    def line(self, file: str, offset: int) -> int:
        return line_of(self.texts[file], offset)

    def loaded(self, module: str) -> bool:
        return f"{module}_module" in self.modules

    def of(self, name: str, host: int | None) -> tuple[Said, ...]:
        """What `host` says of the directive `name`, in lower case, at its own level."""
        return self.own.get((name, host), ())

    def value(self, name: str, host: int | None) -> Said | None:
        """What is in force for `host`: its own last word, else the main server's."""
        own = self.of(name, host)
        return own[-1] if own else (None if host is None else self.value(name, None))


def read(
    main: str,
    lookup: Lookup,
    *,
    server_root: str,
    version: tuple[int, ...] = (2, 4, 0),
    environment: Mapping[str, str] | None = None,
    defines: Iterable[str] = (),
    built_in: Iterable[str] = (),
) -> Reading:
    """Read the configuration that begins in `main`. `defines`: names given with -D; `built_in`:
    modules as `-l` lists them."""
    reader = _Reader(
        lookup, server_root, version, dict(environment or {}), dict.fromkeys(defines, "")
    )
    for source in built_in:
        reader.module(source.removeprefix("mod_").removesuffix(".c") + "_module", source)
    reader.file(main, _AT_THE_TOP, 0, None)
    return Reading(
        main=main,
        server_root=reader.server_root,
        version=version,
        texts=reader.texts,
        said=tuple(reader.said),
        own=_index(one for one in reader.said if not one.within),
        inside=_index(one for one in reader.said if one.within),
        hosts=tuple(reader.hosts),
        modules=frozenset(reader.modules),
        variables={**reader.environment, **reader.defined},
        gaps=tuple(reader.gaps),
    )


def _index(said: Iterable[Said]) -> dict[tuple[str, int | None], tuple[Said, ...]]:
    index: dict[tuple[str, int | None], list[Said]] = {}
    for one in said:
        index.setdefault((one.name, one.host), []).append(one)
    return {key: tuple(some) for key, some in index.items()}


@dataclass(frozen=True, slots=True)
class _Where:
    host: int | None = None
    within: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    unfolding: tuple[str, ...] = ()  # macros


_AT_THE_TOP = _Where()


@dataclass(frozen=True, slots=True)
class _Macro:
    file: str
    body: tuple[Node, ...]
    parameters: tuple[str, ...]


class _Reader:
    def __init__(
        self,
        lookup: Lookup,
        server_root: str,
        version: tuple[int, ...],
        environment: dict[str, str],
        defined: dict[str, str],
    ) -> None:
        self.server_root, self.environment, self.defined = server_root, environment, defined
        self.texts: dict[str, str] = {}
        self.said: list[Said] = []
        self.hosts: list[Host] = []
        self.modules: set[str] = set()
        self.gaps: list[Gap] = []
        self._trees: dict[str, tuple[Node, ...]] = {}
        self._macros: dict[str, _Macro] = {}
        self._lookup, self._version = lookup, version

    def module(self, name: str, source: str) -> None:
        self.modules |= {name, source}

    def file(self, name: str, where: _Where, depth: int, asked: tuple[str, int] | None) -> None:
        """`asked`: the file and offset of the Include."""
        if name not in self._trees:
            text = None if len(self.texts) >= MAX_FILES else self._lookup.text(name)
            if text is None:
                file, offset = asked or (name, 0)
                self.texts.setdefault(file, "")
                self.gaps.append(Gap(file, offset, "include", f"{name} cannot be read"))
                return
            self.texts[name] = text
            self._trees[name] = parse(text)
            self.gaps += [
                Gap(name, flaw.offset, "form", flaw.message) for flaw in flaws(self._trees[name])
            ]
        self._nodes(name, self._trees[name], where, depth)

    def _nodes(self, file: str, nodes: Iterable[Node], where: _Where, depth: int) -> None:
        for node in nodes:
            if isinstance(node, Directive):
                self._directive(file, node, where, depth)
            elif isinstance(node, Section):
                self._section(file, node, where, depth)

    # -- directives ----------------------------------------------------------------------------

    def _directive(self, file: str, node: Directive, where: _Where, depth: int) -> None:
        name = self._filled(node.name, where).lower()
        arguments = tuple(self._filled(word, where) for word in node.arguments)
        if len(self.said) >= MAX_SAID:
            return
        self.said.append(Said(file, node, name, arguments, where.host, where.within))
        match name, arguments:
            case "define", (variable, *value):
                self.defined[variable] = value[0] if value else ""
            case "undefine", (variable, *_):
                self.defined.pop(variable, None)
            case "serverroot", (root, *_):
                self.server_root = root
            case "loadmodule", (module, path, *_):
                self.module(module, _source(path))
                self.module(module, f"mod_{module.removesuffix('_module')}.c")
            case "include" | "includeoptional", (pattern, *_):
                self._include(file, node, pattern, where, depth, optional=name != "include")
            case "use", (macro, *values):
                self._use(macro, values, where, depth)
            case _:
                pass

    def _include(
        self, file: str, node: Directive, pattern: str, where: _Where, depth: int, *, optional: bool
    ) -> None:
        if depth >= MAX_DEPTH:
            self.gaps.append(Gap(file, node.start, "depth", "includes go too deep"))
            return
        names = self._lookup.matching(self.absolute(pattern))
        if not names and not optional:
            self.gaps.append(Gap(file, node.start, "include", f"{pattern}: there is no such file"))
        for name in names:
            self.file(name, where, depth + 1, (file, node.start))

    def _use(self, name: str, values: Sequence[str], where: _Where, depth: int) -> None:
        macro = self._macros.get(name.lower())
        if macro is None or name.lower() in where.unfolding:
            return  # Apache says so itself
        filled = dict(zip(macro.parameters, values, strict=False))
        inner = _Where(where.host, where.within, filled, (*where.unfolding, name.lower()))
        self._nodes(macro.file, macro.body, inner, depth)

    # -- sections ------------------------------------------------------------------------------

    def _section(self, file: str, node: Section, where: _Where, depth: int) -> None:
        kind = node.name.text.lower()
        if kind == "macro":
            words = [word.text for word in node.arguments]
            if words:
                self._macros[words[0].lower()] = _Macro(file, node.body, tuple(words[1:]))
            return
        arguments = tuple(self._filled(word, where) for word in node.arguments)
        holds = self._condition(kind, arguments)
        if holds is False:
            return
        if kind == "virtualhost":
            self.hosts.append(Host(file, node, arguments, len(self.hosts)))
            where = _Where(len(self.hosts) - 1, (), where.parameters, where.unfolding)
        elif holds is None:
            inner = (*where.within, kind)
            where = _Where(where.host, inner, where.parameters, where.unfolding)
        self._nodes(file, node.body, where, depth)

    def _condition(self, kind: str, arguments: tuple[str, ...]) -> bool | None:
        """Whether a condition holds; None for what is none."""
        first = arguments[0] if arguments else ""
        wanted, first = not first.startswith("!"), first.removeprefix("!")
        match kind:
            case "ifmodule":
                return (first in self.modules) is wanted
            case "ifdefine":
                return (first in self.defined) is wanted
            case "iffile":
                return self._lookup.exists(self.absolute(first)) is wanted
            case "ifdirective":
                ssl = first.lower().startswith("ssl")
                return (not ssl or "ssl_module" in self.modules) is wanted
            case "ifsection":
                return wanted
            case "ifversion":
                return _version_fits(self._version, arguments)
            case _:
                return None

    # -- words ---------------------------------------------------------------------------------

    def absolute(self, path: str) -> str:
        return path if path.startswith("/") else f"{self.server_root.rstrip('/')}/{path}"

    def _filled(self, word: Word, where: _Where) -> str:
        text = word.text
        if where.parameters:
            names = sorted(where.parameters, key=len, reverse=True)
            pattern = "|".join(re.escape(name) for name in names)
            text = re.sub(pattern, lambda found: where.parameters[found.group()], text)
        if "${" not in text:
            return text

        def value(found: re.Match[str]) -> str:
            name = found.group(1)
            return self.defined.get(name, self.environment.get(name, found.group()))

        return _VARIABLE.sub(value, text)


def _source(path: str) -> str:
    """modules/mod_ssl.so was mod_ssl.c."""
    return path.rpartition("/")[2].removesuffix(".so") + ".c"


def _version_fits(version: tuple[int, ...], arguments: tuple[str, ...]) -> bool:
    """<IfVersion [[!]operator] version> (mod_version)."""
    said, *rest = arguments or ("",)
    operator, wanted = (said, rest[0]) if rest else ("=", said)
    positive, operator = not operator.startswith("!"), operator.removeprefix("!")
    if operator == "~" or wanted.startswith("/"):
        try:
            fits = bool(re.search(wanted.strip("/"), ".".join(map(str, version))))
        except re.error:
            fits = False
        return fits is positive
    numbers = [int(number) for number in _VERSION.findall(wanted)][:3]
    other = tuple(numbers + [0] * (3 - len(numbers)))
    own = (*version, 0, 0, 0)[:3]
    fits = {
        ">": own > other,
        ">=": own >= other,
        "<": own < other,
        "<=": own <= other,
    }.get(operator, own == other)
    return fits is positive
