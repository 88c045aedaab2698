"""Entries for what the settings name: new ones, and those that the settings changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from holdfast.plan.entry import STORE, Entry, Holder
from holdfast.plan.slots import replace
from holdfast.seams import StapledServer, patient, stops_early
from holdfast.services.inventory import Kept

Servers = Mapping[str, StapledServer]


def introduced(one: Kept, servers: Servers) -> Entry:
    """An entry for `one`, of which nothing is known but its name."""
    return Entry(
        name=one.name,
        subject=one.subject,
        need=one.need,
        applicable=one.applicable,
        early=_early(one, servers),
        holders=tuple(_holder(name, servers) for name in _names(one, servers)),
        key=one.key,
    )


def changed(entry: Entry, one: Kept, servers: Servers, before: Servers) -> Entry:
    """`entry` as `one` wants it now, when the servers were `before`."""
    names = _names(one, servers)
    same = {name for name in names if servers.get(name) is before.get(name)}
    holders = tuple(
        (entry.holder(name) if name in same else None) or _holder(name, servers) for name in names
    )
    told_of = (entry.need, entry.applicable, entry.name)
    return replace(
        entry,
        name=one.name,
        subject=one.subject,
        need=one.need,
        applicable=one.applicable,
        early=_early(one, servers),
        holders=holders,
        retired=False,
        told=entry.told if told_of == (one.need, one.applicable, one.name) else frozenset(),
    )


def leaving(entry: Entry, servers: Servers, *, retired: bool) -> Entry:
    """`entry`, which the settings do not name any more, without the servers that left with it."""
    there = tuple(h for h in entry.holders if h.name == STORE or h.name in servers)
    return replace(entry, holders=there, retired=retired)


def lost(before: Entry, after: Entry, servers: Servers) -> Iterator[StapledServer]:
    """Of `servers`, those that held `before` and have nothing to do with `after`."""
    for holder in before.holders:
        server = servers.get(holder.name)
        if after.holder(holder.name) is None and server is not None:
            yield server


def _names(one: Kept, servers: Servers) -> tuple[str, ...]:
    """The store, and those of its servers that there are."""
    return (STORE, *(name for name in one.servers if name in servers))


def _holder(name: str, servers: Servers) -> Holder:
    return Holder(name=name, patient=name != STORE and patient(servers[name]))


def _early(one: Kept, servers: Servers) -> timedelta:
    early = (stops_early(servers[name]) for name in one.servers if name in servers)
    return max(early, default=timedelta(0))
