"""What setup would do to a server, found out without touching anything.

Laws: nothing is written or reloaded; every site that is left out gets its reason; what forbids the
whole is told before anything is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from holdfast.conf.merge import difference
from holdfast.conf.text import read_text, written
from holdfast.errors import OperatorError
from holdfast.net.files import read_bounded
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.statuses import Good
from holdfast.setup.chains import Chains
from holdfast.setup.keeper_settings import with_needs
from holdfast.setup.kind import ServerKind
from holdfast.setup.reach import Reached
from holdfast.setup.words import Change, Configuration, Place, Proposal, Site, Trouble, Wish

Step = Callable[[str, str], None]
"""Told of each step: its name, and what it was about."""


class Asks(Protocol):
    """What a plan asks of the network: the chains of a site, and a responder."""

    async def chains(self, site: Site, /) -> Chains: ...

    async def reach(self, subject: Subject, place: Place, /) -> Reached | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be done. `chains`: of each site that is to be proved. `left_out`: the sites that
    stay as they are, for reasons among `troubles`."""

    wish: Wish
    configuration: Configuration
    changes: tuple[Change, ...] = ()
    restart: bool = False
    chains: tuple[Chains, ...] = ()
    left_out: tuple[Site, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    mended: tuple[Trouble, ...] = ()

    @property
    def refused(self) -> bool:
        return any(trouble.fatal for trouble in self.troubles)


def diff_of(changes: Sequence[Change]) -> str:
    """Every change, those of texts as one unified diff."""
    parts = []
    for change in changes:
        if change.link is not None:
            gone = "no link" if change.unlink else "link"
            parts.append(f"{gone} {change.path} -> {change.link}\n")
        elif _binary(change):
            size = len(change.after or b"")
            parts.append(f"file {change.path}: {size} bytes\n")
        else:
            before, after = (
                None if data is None else read_text(data) for data in (change.before, change.after)
            )
            parts.append(difference(str(change.path), before, after))
    return "".join(parts)


async def planned(kind: ServerKind, wish: Wish, asks: Asks, *, on_step: Step) -> Plan:
    """Look at the server and decide. `OperatorError` when it is not there, too old, cannot be read,
    or has no site of that name."""
    configuration = await kind.examine()
    on_step("examined", f"{len(configuration.sites)} TLS sites in {len(configuration.files)} files")
    sites = _chosen(configuration, wish)
    if not sites:
        trouble = Trouble(
            code="no-tls-site",
            message=f"{kind.name}: no TLS site in its configuration",
            hint="turn TLS on for a site first; `--config` names another configuration",
            fatal=True,
        )
        return Plan(
            wish=wish, configuration=configuration, troubles=(*configuration.troubles, trouble)
        )
    found = [await _looked_at(site, wish, asks, on_step) for site in sites]
    able = [one for one in found if one.able or wish.prune]
    troubles = [trouble for one in found for trouble in one.troubles]
    if not able:
        return Plan(
            wish=wish,
            configuration=configuration,
            left_out=tuple(sites),
            troubles=_once([*configuration.troubles, *troubles]),
        )
    # what is wrong with one site stops nobody but that site, where others remain
    softened = [replace(trouble, fatal=False) for trouble in troubles]
    narrowed = replace(
        wish,
        sites=tuple(dict.fromkeys(one.chains.site.name for one in able)),
        responses={path: response for one in able for path, response in one.responses().items()},
    )
    issuers = {one.chains.site.name: one.chains.issuers for one in able}
    proposal = kind.propose(configuration, narrowed, issuers=issuers)
    changes = [*_keeper_changes(proposal, wish), *proposal.changes]
    on_step("decided", f"{len(changes)} files to change")
    names = {site.name for site in proposal.proved}
    return Plan(
        wish=narrowed,
        configuration=configuration,
        changes=tuple(changes),
        restart=proposal.restart,
        chains=tuple(one.chains for one in able if one.able and one.chains.site.name in names),
        left_out=tuple(one.chains.site for one in found if one not in able),
        troubles=_once([*proposal.troubles, *softened]),
        mended=proposal.mended,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found out of one site; `able`: a staple can be had for one of its certificates.
    `reached`: what came of asking for each, by its file."""

    chains: Chains
    able: bool
    reached: dict[str, Reached]
    troubles: tuple[Trouble, ...]

    def responses(self) -> dict[str, bytes]:
        """By the certificate's file."""
        answers = ((path, reached.response) for path, reached in self.reached.items())
        return {path: response for path, response in answers if response is not None}


async def _looked_at(site: Site, wish: Wish, asks: Asks, on_step: Step) -> _Found:
    chains = await asks.chains(site)
    on_step("chain", site.name)
    troubles = list(chains.troubles)
    reached: dict[str, Reached] = {}
    able = False
    for one in chains.certificates:
        subject = one.subject
        if subject is None or not subject.responder_urls:
            continue
        answer = await asks.reach(subject, one.at.place)
        if answer is None:
            continue
        on_step("responder", answer.url)
        reached[str(one.at.chain)] = answer
        troubles += answer.notes
        if answer.trouble is not None:
            # the keeper has its own ways round, and outlasts an outage
            troubles.append(replace(answer.trouble, fatal=wish.mode == "native"))
        able = able or wish.mode == "keeper" or _good(answer)
    fatal = any(trouble.fatal for trouble in chains.troubles)
    return _Found(chains, able and not fatal, reached, tuple(troubles))


def _good(answer: Reached) -> bool:
    return answer.staple is not None and isinstance(answer.staple.certificate_status, Good)


def _chosen(configuration: Configuration, wish: Wish) -> Sequence[Site]:
    names = {site.name for site in configuration.sites}
    for name in wish.sites:
        if name not in names:
            known = ", ".join(sorted(names)) or "there is none"
            raise OperatorError(f"no TLS site {name!r} is configured", hint=f"sites: {known}")
    return [site for site in configuration.sites if not wish.sites or site.name in wish.sites]


def _keeper_changes(proposal: Proposal, wish: Wish) -> list[Change]:
    keeper = wish.keeper
    if wish.mode != "keeper" or not proposal.needs or keeper is None or keeper.settings is None:
        return []
    path = keeper.settings
    before = read_bounded(path) if path.exists() else None
    text = "" if before is None else read_text(before)
    after = written(with_needs(text, proposal.needs, name=str(path)))
    return [] if after == before else [Change(path, before, after)]


def _once(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """Each once; what a kind of server says of a line goes before the same in general words."""
    found: list[Trouble] = []
    for one in troubles:
        if not any(one.place == known.place and one.message in known.message for known in found):
            found.append(one)
    return tuple(found)


def _binary(change: Change) -> bool:
    return any(b"\0" in data for data in (change.before, change.after) if data is not None)


Tell = Callable[[], Awaitable[None]]
"""Tells the running keeper to read its settings again."""
