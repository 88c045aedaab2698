"""The seam between setup's engine and a kind of server. One per server: apache, nginx, haproxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from holdfast.pki.certificate import Certificate
from holdfast.setup.words import Configuration, Proposal, Site, Trouble, Wish


class ServerKind(Protocol):
    """Knows one server's configuration, programs and log.

    `examine` reads the real configuration from disk: version, files with everything included,
    sites, and every trouble that can be seen without running anything but `-v`/`-V`. It raises
    `OperatorError` when the server is not there, too old, or its configuration cannot be read.

    `propose` decides, without touching anything: the smallest edit that fulfils `wish`, given
    `issuers` (by site name: certificates that were gathered to complete its chain, nearest first,
    empty where it is whole). The same call on the result proposes no change. It never puts a trust
    anchor into a scope that verifies clients.

    `test` runs the server's own configuration test: () when it passes, else what is wrong, with
    place and cure. `running` says whether there is a server to reload. `reload` takes the
    configuration up and returns when it has, or raises `DeliveryError`; `restart=True` when a
    reload is not enough, and to start again a server that died of a reload. `log_mark` is where
    the error log ends now (an opaque value), `log_since` the troubles written there since; told by
    code.

    `explain` turns one line of the server's output or log into a trouble, None for lines that
    have nothing to do with TLS or stapling.
    """

    name: str

    async def examine(self) -> Configuration: ...

    def propose(
        self,
        configuration: Configuration,
        wish: Wish,
        *,
        issuers: Mapping[str, tuple[Certificate, ...]],
    ) -> Proposal: ...

    async def test(self) -> tuple[Trouble, ...]: ...

    async def running(self) -> bool: ...

    async def reload(self, *, restart: bool = False) -> None: ...

    def log_mark(self) -> object: ...

    def log_since(self, mark: object) -> tuple[Trouble, ...]: ...

    def explain(self, line: str) -> Trouble | None: ...

    def dead_lines(self, configuration: Configuration, site: Site) -> tuple[str, ...]:
        """The stapling lines in `site`'s scope, for `--prune` to name."""
        ...
