"""Apache's TLS sites: its virtual hosts, and the main server, for which mod_ssl is on.

Laws: pure; what a virtual host does not say itself it has from the main server, as mod_ssl merges
them (ssl_engine_config.c). The main server is a site only where no virtual host takes its port.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count

from holdfast.conf.apache_reading import Reading, Said

_NO_CLIENTS = {"none", "off", "0", ""}
_ADDRESS = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>\d+|\*))?")
_LITERAL = re.compile(r"[\d.]+|.*:.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsHost:
    """`number`: of the virtual host, None for the main server; `file` and `offset`: where it
    begins. `certificates` and `chain_file`: what names them."""

    number: int | None
    name: str
    server_name: str | None
    aliases: tuple[str, ...]
    listens: tuple[tuple[str, int], ...]
    file: str
    offset: int
    certificates: tuple[Said, ...]
    chain_file: Said | None
    verifies_clients: bool
    staples: bool
    forced_url: str


def tls_hosts(reading: Reading) -> tuple[TlsHost, ...]:
    """In the order of the configuration, the main server last."""
    listened = _listened(reading)
    found: list[TlsHost] = []
    names: set[str] = set()
    for number in (*(host.number for host in reading.hosts), None):
        addresses = _addresses(reading, number, listened)
        certificates = _certificates(reading, number)
        if not _engine_on(reading, number, addresses, certificates, listened):
            continue
        if number is None and not (addresses and certificates):
            continue
        found.append(_host(reading, number, addresses, certificates, names))
    return tuple(found)


def _host(
    reading: Reading,
    number: int | None,
    addresses: tuple[tuple[str, int], ...],
    certificates: tuple[Said, ...],
    names: set[str],
) -> TlsHost:
    said = reading.of("servername", number)
    server_name = _bare(said[-1].first) if said else ""
    if number is None:
        place = (certificates[-1].file, certificates[-1].node.start)
        spelled = "main server"
    else:
        host = reading.hosts[number]
        place = (host.file, host.section.start)
        spelled = host.addresses[0] if host.addresses else "*"
    port = f":{addresses[0][1]}" if addresses else ""
    whole = server_name or spelled
    name = next(
        candidate
        for candidate in chain((whole, f"{whole}{port}"), (f"{whole}#{n}" for n in count(2)))
        if candidate not in names
    )
    names.add(name)
    force = reading.value("sslstaplingforceurl", number)
    staples = reading.value("sslusestapling", number)
    chain_file = reading.value("sslcertificatechainfile", number)
    return TlsHost(
        number=number,
        name=name,
        server_name=None if not server_name or _LITERAL.fullmatch(server_name) else server_name,
        aliases=tuple(
            alias for one in reading.of("serveralias", number) for alias in one.arguments
        ),
        listens=addresses,
        file=place[0],
        offset=place[1],
        certificates=certificates,
        chain_file=chain_file if chain_file is not None and chain_file.first else None,
        verifies_clients=_verifies_clients(reading, number),
        staples=staples is not None and staples.first.lower() == "on",
        forced_url=force.first if force is not None else "",
    )


def _bare(name: str) -> str:
    """ServerName [scheme://]name[:port]."""
    name = name.rpartition("://")[2]
    return name if name.startswith("[") else name.partition(":")[0]


def _certificates(reading: Reading, number: int | None) -> tuple[Said, ...]:
    """The main server's fill up what a host has not (modssl_ctx_cfg_merge_certkeys_array)."""
    own = reading.of("sslcertificatefile", number)
    if number is None:
        return own
    return (*own, *reading.of("sslcertificatefile", None)[len(own) :])


def _engine_on(
    reading: Reading,
    number: int | None,
    addresses: tuple[tuple[str, int], ...],
    certificates: tuple[Said, ...],
    listened: Sequence[tuple[str, int, str]],
) -> bool:
    said = reading.value("sslengine", number)
    if said is not None:
        return said.first.lower() not in ("off", "")
    if not certificates:
        return False
    # unset: on where the port speaks https (ssl_engine_init.c, ssl_init_Module)
    ports = {port for _, port in addresses}
    return any(port in ports and protocol == "https" for _, port, protocol in listened)


def _verifies_clients(reading: Reading, number: int | None) -> bool:
    whole = reading.value("sslverifyclient", number)
    if whole is not None and whole.first.lower() not in _NO_CLIENTS:
        return True
    return any(
        one.first.lower() not in _NO_CLIENTS
        for host in {None, number}
        for one in reading.inside.get(("sslverifyclient", host), ())
    )


# -- addresses ---------------------------------------------------------------------------------


def _listened(reading: Reading) -> list[tuple[str, int, str]]:
    """Host ("" for every one), port and protocol of each Listen."""
    found = []
    for one in reading.said:
        if one.name != "listen" or not one.arguments:
            continue
        first = one.first
        split = ("", int(first)) if first.isascii() and first.isdigit() else _split(first)
        if split is not None and split[1] is not None:
            usual = "https" if split[1] == 443 else "http"
            protocol = one.arguments[1].lower() if len(one.arguments) > 1 else usual
            found.append((split[0], split[1], protocol))
    return found


def _split(address: str) -> tuple[str, int | None] | None:
    """Host and port; "" and None where they are wildcards."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return None
    host = found["six"] if found["six"] is not None else found["host"]
    port = found["port"]
    return (
        "" if host in ("*", "_default_", "0.0.0.0", "") else host,  # noqa: S104
        None if port in (None, "*") or int(port) > 65535 else int(port),
    )


def _addresses(
    reading: Reading, number: int | None, listened: Sequence[tuple[str, int, str]]
) -> tuple[tuple[str, int], ...]:
    """Where a handshake reaches the host."""
    if number is None:
        taken = {
            port for host in reading.hosts for _, port in _addresses(reading, host.number, listened)
        }
        wished: list[tuple[str, int | None]] = [
            ("", port) for _, port, _ in listened if port not in taken
        ]
    else:
        split = (_split(address) for address in reading.hosts[number].addresses or ("*",))
        wished = [one for one in split if one is not None]
    found: list[tuple[str, int]] = []
    for host, wanted in wished:
        for at, port, _ in listened:
            if wanted not in (None, port) or (host and at not in ("", "::", host)):
                continue
            found.append((host or _loopback(at), port))
    # where several addresses are listened at, a loopback one is the surest
    return tuple(sorted(dict.fromkeys(found), key=lambda one: not one[0].startswith("127.")))


def _loopback(at: str) -> str:
    return {"": "127.0.0.1", "::": "::1"}.get(at, at)
