"""Apache's configuration as setup sees it: a reading, its sites, their certificates, the troubles.

Laws: nothing here writes or runs anything; a trouble is looked up anew on whatever reading there
is, so that one which an edit took away is gone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.conf.apache_faults import Fault, faults
from holdfast.conf.apache_reading import Reading, Said, read
from holdfast.conf.apache_sites import TlsHost, tls_hosts
from holdfast.setup.apache_chain import Held, held, holding
from holdfast.setup.apache_disk import Build, Disk, Edited, a2enmod, canonical
from holdfast.setup.apache_keys import key_troubles
from holdfast.setup.words import CertificateAt, Configuration, Place, Site, Trouble

_NO_FILES = ("pkcs11:", "engine:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a reading begins. `variables`: as envvars has them; `defines`: of -D."""

    build: Build
    main: str
    root: str
    variables: Mapping[str, str]
    defines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One state of the configuration. `links`: those without which mod_ssl, or a cache's module,
    is not loaded; the reading is with them. `held`: certificate files, by path. `texts` and `made`:
    files that are changed and new in this state, others are as on disk."""

    ground: Ground
    disk: Disk
    reading: Reading
    hosts: tuple[TlsHost, ...]
    faults: tuple[Fault, ...]
    held: Mapping[Path, Held]
    links: Mapping[str, str]
    without: str  # the module that only the links load, "" for none
    texts: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[Path, bytes] = field(default_factory=dict)

    def place(self, file: str, offset: int) -> Place:
        return Place(Path(file), self.reading.line(file, offset))

    def path(self, said: Said) -> Path:
        return Path(canonical(said.first, self.reading.server_root))

    def certificates(self, host: TlsHost) -> tuple[Held, ...]:
        """Of the host's SSLCertificateFile lines, those that are files."""
        return tuple(
            self.held[self.path(said)] for said in host.certificates if _is_file(said.first)
        )

    def chain_files(self, host: TlsHost) -> tuple[Held, ...]:
        return () if host.chain_file is None else (self.held[self.path(host.chain_file)],)

    def trusted(self, host: TlsHost) -> tuple[Held, ...]:
        """Where mod_ssl looks for issuers at last; never written to."""
        said = self.reading.value("sslcacertificatefile", host.number)
        return () if said is None or not said.first else (held(self.path(said)),)

    def site(self, host: TlsHost) -> Site:
        return Site(
            name=host.name,
            place=self.place(host.file, host.offset),
            certificates=tuple(
                CertificateAt(
                    chain=self.path(said),
                    more=tuple(one.path for one in self.chain_files(host)),
                    place=self.place(said.file, said.node.start),
                )
                for said in host.certificates
                if _is_file(said.first)
            ),
            listens=host.listens,
            server_name=host.server_name,
            verifies_clients=host.verifies_clients,
            stapling=_stapling(host),
        )

    def edited(self, texts: Mapping[str, str], *, made: Mapping[Path, bytes]) -> View:
        """The same with some files changed, and some certificate files made."""
        now = {**self.texts, **texts}
        reading = _read(self.ground, Edited(self.disk, now))
        view = _view(self.ground, self.disk, reading, self.links, self.without)
        new = {path: holding(path, made[path]) for path in view.held if path in made}
        return replace(view, texts=now, made=made, held={**view.held, **new})


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined(Configuration):
    """A configuration with the view that it was made from."""

    view: View


def view_of(ground: Ground) -> View:
    """Read everything from disk."""
    disk = Disk()
    reading = _read(ground, disk)
    root = Path(ground.root)
    without, links = "", {}
    if not reading.loaded("ssl"):
        without, links = "ssl", a2enmod(root, "ssl")
    elif not (reading.loaded("socache_shmcb") or reading.loaded("socache_dbm")):
        without, links = "socache_shmcb", a2enmod(root, "socache_shmcb")
    if links:
        disk = Disk(links)
        reading = _read(ground, disk)
    return _view(ground, disk, reading, links, without)


def troubles(view: View) -> tuple[Trouble, ...]:
    """Everything that is wrong, what forbids everything else first."""
    found = [*_modules(view)]
    found += [_trouble(view, fault) for fault in view.faults]
    if not any(fault.code == "apache-include-missing" for fault in view.faults):
        found += _certificates(view)
        found += key_troubles(view.reading, view.hosts, path=view.path, place=view.place)
    found += _cache_folder(view)
    found += _sites(view)
    return tuple(sorted(found, key=lambda one: not one.fatal))


def _read(ground: Ground, lookup: Disk | Edited) -> Reading:
    return read(
        ground.main,
        lookup,
        server_root=ground.root,
        version=ground.build.version,
        environment=ground.variables,
        defines=ground.defines,
        built_in=ground.build.modules,
    )


def _view(
    ground: Ground, disk: Disk, reading: Reading, links: Mapping[str, str], without: str
) -> View:
    hosts = tls_hosts(reading)
    files = {
        Path(canonical(said.first, reading.server_root)): None
        for host in hosts
        for said in (*host.certificates, *([host.chain_file] if host.chain_file else []))
        if _is_file(said.first)
    }
    return View(
        ground=ground,
        disk=disk,
        reading=reading,
        hosts=hosts,
        faults=faults(reading, hosts),
        held={path: held(path) for path in files},
        links=links,
        without=without,
    )


def _is_file(name: str) -> bool:
    return not name.startswith(_NO_FILES)


def _stapling(host: TlsHost) -> str:
    if not host.staples:
        return ""
    return f"mod_ssl, asking {host.forced_url}" if host.forced_url else "mod_ssl, by itself"


# -- troubles ----------------------------------------------------------------------------------


def _modules(view: View) -> list[Trouble]:
    if not view.without:
        return []
    name = "mod_ssl" if view.without == "ssl" else "mod_socache_shmcb"
    return [
        Trouble(
            code="apache-mod-ssl-missing"
            if view.without == "ssl"
            else "apache-cache-module-missing",
            message=f"{name} is not loaded"
            + (", without which there is no TLS" if view.without == "ssl" else ""),
            hint=f"a2enmod {view.without}"
            if view.links
            else "install it (Red Hat: dnf install mod_ssl) and load it with LoadModule",
            place=Place(Path(view.reading.main), 1),
            fatal=True,
            mendable=bool(view.links),
        )
    ]


def _trouble(view: View, fault: Fault) -> Trouble:
    return Trouble(
        code=fault.code,
        message=fault.message,
        hint=fault.hint,
        place=view.place(fault.file, fault.offset),
        fatal=fault.fatal,
        mendable=bool(fault.edits) or fault.follows,
        said=_line(view, fault),
    )


def _line(view: View, fault: Fault) -> str:
    text = view.reading.texts[fault.file]
    end = text.find("\n", fault.offset)
    return text[fault.offset : len(text) if end < 0 else end].strip()[:1000]


def _certificates(view: View) -> list[Trouble]:
    found = []
    for host in view.hosts:
        if not host.certificates:
            found.append(
                Trouble(
                    code="apache-no-certificate",
                    message=f"{host.name}: SSLEngine is on and no SSLCertificateFile is named",
                    hint="name the site's certificate, or take SSLEngine out",
                    place=view.place(host.file, host.offset),
                    fatal=True,
                )
            )
        named = (*host.certificates, *([host.chain_file] if host.chain_file else []))
        for said in named:
            file = view.held.get(view.path(said)) if _is_file(said.first) else None
            if file is None or not file.problem:
                continue
            found.append(
                Trouble(
                    code="apache-certificate-missing"
                    if file.missing
                    else "apache-certificate-unreadable",
                    message=f"{host.name}: {file.problem}",
                    hint="put the certificate there, or name its file; Apache does not start so",
                    place=view.place(said.file, said.node.start),
                    fatal=True,
                )
            )
    return list(dict.fromkeys(found))


def _cache_folder(view: View) -> list[Trouble]:
    reading = view.reading
    for said in reading.of("sslstaplingcache", None)[-1:]:
        kind, _, path = said.first.partition(":")
        path = path.partition("(")[0]
        if kind not in ("shmcb", "dbm") or not path.startswith("/"):
            continue
        folder = os.path.dirname(path)
        # a run folder is made when the server is started
        run = reading.variables.get("APACHE_RUN_DIR", "")
        if (
            not os.path.isdir(folder)
            and folder != run
            and not folder.startswith(("/run", "/var/run"))
        ):
            return [
                Trouble(
                    code="apache-cache-unwritable",
                    message=f"SSLStaplingCache lies in {folder}, which is not there: the "
                    "configuration test passes, and then Apache does not start",
                    hint="make the folder, or name another, as its run folder",
                    place=view.place(said.file, said.node.start),
                    fatal=True,
                )
            ]
    return []


def _sites(view: View) -> list[Trouble]:
    if not view.hosts:
        debian = os.path.isdir(os.path.join(view.ground.root, "sites-available"))
        return [
            Trouble(
                code="apache-no-tls-site",
                message="no virtual host has SSLEngine on, so there is nothing to staple for",
                hint="enable a TLS site" + (" (a2ensite default-ssl)" if debian else ""),
                place=Place(Path(view.reading.main), 1),
            )
        ]
    found = []
    for host in view.hosts:
        if not host.listens:
            found.append(
                Trouble(
                    code="apache-nobody-listens",
                    message=f"{host.name}: no Listen has its address, so nobody reaches it",
                    hint="add Listen with its port, or take the site out",
                    place=view.place(host.file, host.offset),
                )
            )
    for said in view.reading.of("mdstapling", None)[-1:]:
        if said.first.lower() == "on" and view.reading.loaded("md"):
            found.append(
                Trouble(
                    code="apache-md-staples",
                    message="MDStapling is on: mod_md staples for the certificates that it knows, "
                    "and sends responses past their end",
                    hint="MDStapling off, so that mod_ssl staples",
                    place=view.place(said.file, said.node.start),
                )
            )
    return found
