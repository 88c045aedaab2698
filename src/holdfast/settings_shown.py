"""Settings as TOML text, every key with its default and what it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct, structs

from holdfast.settings import CertificateTable, Settings
from holdfast.settings_proxy import ProxyLimits, ProxyTable
from holdfast.settings_responder import (
    ResponderCA,
    ResponderLimits,
    ResponderSigner,
    ResponderTable,
)
from holdfast.settings_server import ServerTable, keys_of
from holdfast.settings_web import WebLimits, WebTable


def show_settings(settings: Settings) -> str:
    """`settings` as TOML, every key with what it is for."""
    lines: list[str] = []
    tables: list[tuple[str, Struct]] = [("[keeper]", settings.keeper)]
    tables += [("[[certificate]]", one) for one in settings.certificate]
    tables += [("[[server]]", one) for one in settings.server]
    for head, table in tables:
        lines += [head, *_shown(type(table), structs.asdict(table)), ""]
    for head, kind in (("[[certificate]]", CertificateTable), ("[[server]]", ServerTable)):
        if not any(isinstance(table, kind) for _, table in tables):
            lines += [f"# {line}" for line in [head, *_shown(kind, {})]] + [""]
    proxy, shown = settings.proxy, settings.proxy != ProxyTable()
    inner: list[tuple[str, Struct]] = [("[proxy]", proxy), ("[proxy.limits]", proxy.limits)]
    for head, table in inner:
        told = [head, *_shown(type(table), structs.asdict(table))]
        lines += [*(told if shown else [f"# {line}" for line in told]), ""]
    responder, shown = settings.responder, settings.responder != ResponderTable()
    inner = [("[responder]", responder), ("[responder.limits]", responder.limits)]
    inner += [("[[responder.ca]]", ca) for ca in responder.ca]
    for head, table in inner:
        told = [head, *_shown(type(table), structs.asdict(table))]
        lines += [*(told if shown else [f"# {line}" for line in told]), ""]
    if not responder.ca:
        lines += [f"# {line}" for line in ["[[responder.ca]]", *_shown(ResponderCA, {})]] + [""]
        rows = _shown(ResponderSigner, {})
        lines += [f"# {line}" for line in ["[[responder.ca.signers]]", *rows]] + [""]
    # What is printed here is pasted into reports: a token has no place in it
    web, shown = settings.web, settings.web != WebTable()
    web = structs.replace(web, **{"token": "(set)"} if web.token else {})
    inner = [("[web]", web), ("[web.limits]", web.limits)]
    for head, table in inner:
        told = [head, *_shown(type(table), structs.asdict(table))]
        lines += [*(told if shown else [f"# {line}" for line in told]), ""]
    return "\n".join(lines)


def _shown(kind: type[Struct], values: Mapping[str, Any]) -> Iterator[str]:
    known = keys_of(str(values.get("kind"))) if kind is ServerTable else None
    for field in structs.fields(kind):
        if known is not None and field.name not in known:
            continue
        value = values.get(field.name, field.default)
        if isinstance(value, ProxyLimits | ResponderLimits | WebLimits) or field.name == "ca":
            continue
        if value is msgspec.NODEFAULT:
            made = field.default_factory
            value = "" if made is msgspec.NODEFAULT else made()
        metas = [arg for arg in _arguments(kind, field.name) if isinstance(arg, Meta)]
        says = next((meta.description for meta in metas if meta.description), None)
        written = _toml(value)
        line = f"# {field.name} is unset" if written is None else f"{field.name} = {written}"
        yield f"{line}  # {says}" if says else line


def _arguments(kind: type[Struct], name: str) -> tuple[Any, ...]:
    return get_args(get_type_hints(kind, include_extras=True)[name])


def _toml(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case timedelta():
            seconds = int(value.total_seconds())
            for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
                if seconds and seconds % size == 0:
                    return f'"{seconds // size}{unit}"'
            return f'"{seconds}s"'
        case Struct():
            return _toml({key: one for key, one in structs.asdict(value).items() if one != ""})
        case dict():
            inside = ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(_toml(one) or '' for one in value)}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
