"""What ends TLS at a target that was looked at: asked from outside, or found on this machine.

Laws: a server of this machine is only read, never told anything; who may not read its files gets
what can be seen from outside; nothing here fails a check.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from holdfast.errors import HoldfastError
from holdfast.net.dial import OPERATOR, Address, AddressPolicy
from holdfast.net.files import read_bounded
from holdfast.net.glimpse import DEADLINE, glimpse
from holdfast.net.listener import Listener, listener_at
from holdfast.pki import pem
from holdfast.plan.checking import Seen
from holdfast.plan.cure import CertificateFile, Here, ServerSeen
from holdfast.plan.software import Kind, Software, recognised
from holdfast.plan.target import Target
from holdfast.services.checker import Recognise

if TYPE_CHECKING:
    from holdfast.setup.words import CertificateAt, Configuration, Site
    from holdfast.wiring_setup import KindName

Given = Literal["auto", "apache", "nginx", "haproxy", "iis", "caddy", "unknown"]

PROGRAMS: dict[str, Kind] = {  # by the kernel's name of their processes
    "nginx": "nginx",
    "haproxy": "haproxy",
    "apache2": "apache",
    "httpd": "apache",
    "caddy": "caddy",
}
USUAL = ("/usr/sbin", "/usr/bin", "/sbin", "/usr/local/sbin")  # where setup looks, too
READING = 10.0  # seconds for a configuration
RELOADS = {"nginx": "-HUP", "apache": "-USR1", "haproxy": "-USR2"}  # their manuals' signals
BLOCKS = {"nginx": re.compile(r"\s*server\s*\{"), "apache": re.compile(r"(?i)\s*<VirtualHost\b")}
# Mail, news, directories, file transfer, chat, DNS, telephony and MQTT over TLS, of IANA's registry
NO_HTTP = frozenset({465, 563, 636, 853, 990, 993, 995, 5061, 6697, 8883})


def recogniser(
    *,
    given: Given = "auto",
    issuers: str = "",
    here: bool = False,
    policy: AddressPolicy = OPERATOR,
    timeout: float = DEADLINE,
) -> Recognise:
    """Tells the server of a target. `given`: what it is, so that nobody is asked; `unknown`: leave
    it so. `here`: look for it on this machine, too. `issuers`: the file of roots that was given."""

    async def recognise(
        target: Target, seen: Seen, servername: str, at: datetime
    ) -> ServerSeen | None:
        speaking = [one for one in seen.observations if one.seen]
        if not speaking or target.protocol or target.port in NO_HTTP:
            return None  # mail, directories, databases: none of the servers that are known here
        if given != "auto":
            software = Software(name=given, because="as it was said" if given != "unknown" else "")
            return ServerSeen(software=software, given=True, issuers=issuers)
        address = _address(speaking[0].address)
        leaves = tuple(dict.fromkeys(one.leaf for one in speaking))
        if here:
            found = await local_server(address, leaves, servername=servername, at=at)
            if found is not None:
                return replace(found, issuers=issuers)
        answers = await glimpse(
            address, host=servername, deadline=min(timeout, DEADLINE), policy=policy
        )
        return ServerSeen(software=recognised(answers), issuers=issuers)

    return recognise


async def local_server(
    address: Address, leaves: Sequence[bytes], *, servername: str, at: datetime
) -> ServerSeen | None:
    """The server of this machine that listens at `address`; None where there is none."""
    listener = await asyncio.to_thread(listener_at, address.ip, address.port, among=tuple(PROGRAMS))
    if listener is None:
        return None
    kind = PROGRAMS[listener.comm]
    because = f"process {listener.pid} of this machine listens there"
    here = _ground(listener, kind)
    software = Software(name=kind, because=because)
    if kind not in ("nginx", "apache", "haproxy"):
        return ServerSeen(software=software, here=here)
    configuration = await _configuration(kind, here)
    if configuration is None:
        return ServerSeen(software=software, here=here)
    version = ".".join(map(str, configuration.version))
    site, files = _site(configuration.sites, leaves, address.port, servername=servername, at=at)
    if site is not None:
        here = replace(
            here, site=site.name, stapling=site.stapling, files=files, block=_block(kind, site)
        )
    return ServerSeen(software=replace(software, version=version), here=here)


# -- from its command line ----------------------------------------------------------------------


def _ground(listener: Listener, kind: Kind) -> Here:
    program = listener.program
    if program.rpartition("/")[0] in USUAL:
        program = ""
    config, pid_file = _places(listener, kind)
    return Here(
        kind=kind,
        pid=listener.pid,
        program=program,
        config=config,
        pid_file=pid_file,
        test=_test(kind, program, config),
        reload=_reload(listener, kind, config),
    )


def _places(listener: Listener, kind: Kind) -> tuple[str, str]:
    """(its main configuration, its pid file), "" for the usual ones. nginx overwrites its words
    by a title, which begins with what it is."""
    said = listener.title.rpartition("process ")[2] if kind == "nginx" else listener.title
    named = dict(re.findall(r"\s-([fcdp])\s*(/\S+)", said))
    match kind:
        case "nginx":
            config, pid_file = named.get("c", ""), ""
        case "apache":
            config, pid_file = named.get("f", ""), ""
            if not config and "d" in named:
                config = f"{named['d']}/apache2.conf"
        case "haproxy":
            several = len(re.findall(r"\s-f\s", said)) > 1  # setup takes one
            config = "" if several else named.get("f", "")
            pid_file = named.get("p", "")
        case _:
            config, pid_file = "", ""
    usual = {"/etc/nginx/nginx.conf", "/etc/haproxy/haproxy.cfg", "/run/haproxy.pid"}
    config, pid_file = (
        "" if one in usual or not Path(one).is_file() else one for one in (config, pid_file)
    )
    return config, pid_file


def _test(kind: Kind, program: str, config: str) -> tuple[str, ...]:
    match kind:
        case "nginx":
            return (program or "nginx", "-t", *(("-c", config) if config else ()))
        case "haproxy":
            return (program or "haproxy", "-c", "-f", config or "/etc/haproxy/haproxy.cfg")
        case "apache" if not config and not program:
            return ("apachectl", "configtest")
        case _:  # it takes the environment of its start, too
            return ()


def _reload(listener: Listener, kind: Kind, config: str) -> tuple[str, ...]:
    """By its own service, else by its manual's signal."""
    unit = listener.unit
    if unit.startswith(("nginx", "apache2", "httpd", "haproxy", "caddy")):
        return ("systemctl", "reload", unit)
    if kind == "caddy":
        return ("caddy", "reload", "--config", config or "/etc/caddy/Caddyfile")
    if kind == "haproxy" and listener.alone:  # without a master it is replaced
        path = config or "/etc/haproxy/haproxy.cfg"
        return ("haproxy", "-D", "-f", path, "-sf", str(listener.pid))
    return ("kill", RELOADS[kind], str(listener.pid))


# -- from its configuration ---------------------------------------------------------------------


async def _configuration(kind: KindName, here: Here) -> Configuration | None:
    from holdfast.wiring_setup import kind_of  # setup is large, and few checks are of this machine

    try:
        server = kind_of(
            kind,
            config=Path(here.config) if here.config else None,
            program=here.program or None,
            pid_file=Path(here.pid_file) if here.pid_file else None,
        )
        async with asyncio.timeout(READING):
            return await server.examine()
    except (HoldfastError, TimeoutError):
        return None


def _site(
    sites: Sequence[Site],
    leaves: Sequence[bytes],
    port: int,
    *,
    servername: str,
    at: datetime,
) -> tuple[Site | None, tuple[CertificateFile, ...]]:
    """The site that showed `leaves`, by its certificates; where none has them on disk any more,
    the one of that name."""
    there = [site for site in sites if not site.listens or port in {p for _, p in site.listens}]
    there.sort(key=lambda site: servername not in (site.server_name, site.name))
    for site in there:
        files = tuple(_file(one, leaves, at) for one in site.certificates)
        shown = tuple(file for file in files if file is not None and not file.renewed)
        if shown:
            return site, shown
    named = [site for site in there if servername in (site.server_name, site.name)]
    for site in named or (there if len(there) == 1 else []):
        files = tuple(_file(one, leaves, at) for one in site.certificates)
        return site, tuple(file for file in files if file is not None)
    return None, ()


def _file(named: CertificateAt, leaves: Sequence[bytes], at: datetime) -> CertificateFile | None:
    """None when it cannot be read, or holds another that is not in date either."""
    try:
        data = read_bounded(named.chain)
        first = pem.certificates(data, name=str(named.chain))[0]
    except HoldfastError:
        return None
    renewed = first.der not in leaves
    if renewed and not first.not_before <= at < first.not_after:
        return None
    return CertificateFile(
        path=str(named.chain),
        at=(str(named.place.path), named.place.line),
        more=tuple(map(str, named.more)),
        key_inside=b"PRIVATE KEY-----" in data,
        renewed=renewed,
    )


def _block(kind: Kind, site: Site) -> tuple[str, int] | None:
    """Where a line can be put after, None where the block does not begin so."""
    pattern = BLOCKS.get(kind)
    if pattern is None:
        return None
    try:
        lines = read_bounded(site.place.path).decode("utf-8", "replace").splitlines()
    except HoldfastError:
        return None
    line = lines[site.place.line - 1] if 0 < site.place.line <= len(lines) else ""
    return (str(site.place.path), site.place.line) if pattern.match(line) else None


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    ip = host.strip("[]")
    return Address(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip, int(port))
