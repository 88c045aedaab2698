"""Apache's mod_md, which keeps staples in a store of its own: `MDStapling on`.

mod_md asks once, at the start and at 2/3 of the window, checks no signature, and sends what it has
for ever, past nextUpdate too. So the keeper writes its store and has Apache restart gracefully:
that is when the children read it. `MDHttpProxy` points at the relay, so that mod_md itself finds
nothing else than the keeper's staples; a certificate must name a responder for mod_md to ask at
all. It is the lesser way: mod_ssl with the relay (`servers.apache`) needs no restart, does drop
what has ended, and staples mod_md's certificates too, whose ACME traffic `MDHttpProxy` would break.

Laws: what is in mod_md's store and ends without a keeper is found and taken out by `holdfast
withdraw --expired` (K27): beside it lies the same staple as DER, which goes last; no restart
without a successful configuration test, because Apache does not survive one with a mistake.
"""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path

from holdfast.errors import DeliveryError, HoldfastError, OperatorError
from holdfast.net.daemon import Master
from holdfast.net.files import read_bounded, trouble, write_atomic
from holdfast.net.http_message import http_date
from holdfast.net.program import DEADLINE, run_program
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import MAX_RESPONSE, Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Good
from holdfast.plan.reloading import USUAL_PACE, Pace
from holdfast.seams import Clock
from holdfast.servers.apache import refuse_unknown
from holdfast.servers.files import READABLE, FilesServer, NameOf
from holdfast.servers.relay_shelf import RelayShelf, Turns
from holdfast.servers.reloaded import ReloadedServer, failed
from holdfast.servers.reloads import Change

PROGRAM = "apache2"
TEST = ("apache2ctl", "-t")  # which reads /etc/apache2/envvars first
PID_FILE = "/run/apache2/apache2.pid"  # Debian's, as all of these
STORE = "/etc/apache2/md"
OTHERS = "other"  # where mod_md keeps those of certificates that are not its own


class ApacheMdServer:
    """Implements `StapledServer`. `store`: Apache's `MDStoreDir`.

    `test` and `reload` replace Debian's `apache2ctl -t` and SIGUSR1 for the process of `pid_file`,
    for a keeper that is not root. `file`: where the DER lies; empty: in the store.
    """

    patient = True

    def __init__(
        self,
        name: str,
        *,
        shelf: RelayShelf,
        clock: Clock,
        store: str = STORE,
        file: str = "",
        name_of: NameOf = lambda _: None,
        program: str = PROGRAM,
        pid_file: str = PID_FILE,
        test: Sequence[str] = (),
        reload: Sequence[str] = (),
        deadline: float = DEADLINE,
        pace: Pace = USUAL_PACE,
    ) -> None:
        self.name = name
        self._shelf, self._clock = shelf, clock
        self._turns = Turns(name)
        layout = MdLayout(
            FilesServer(name, file=file or f"{store}/holdfast/{{key}}.der", name_of=name_of),
            store=Path(store),
        )
        daemon = Apache(
            name, program=program, pid_file=pid_file, test=test, reload=reload, deadline=deadline
        )
        self._reloaded = ReloadedServer(layout, daemon, clock=clock, pace=pace)

    @property
    def files(self) -> FilesServer:
        """Where the staples lie as DER."""
        return self._reloaded.files

    @property
    def reloads(self) -> int:
        """How often Apache was restarted."""
        return self._reloaded.reloads

    async def deliver(self, staple: Staple, /) -> None:
        refuse_unknown(self.name, staple)
        if staple.next_update is None:
            raise DeliveryError(
                f"{self.name}: mod_md refuses a response without nextUpdate",
                hint="the CA's responder must send nextUpdate (RFC 9919 does not allow to omit it)",
            )
        leaf = staple.subject.leaf
        if leaf is not None and not leaf.responder_urls:
            raise DeliveryError(
                f"{self.name}: mod_md staples no certificate that names no responder, like "
                f"{staple.subject.name}",
                hint='let mod_ssl staple it: SSLUseStapling and kind = "apache"',
            )
        turn = self._turns.take(staple.certid)
        while staple.this_update > self._clock.now():
            await self._clock.sleep_until(staple.this_update)
            self._turns.check(staple.certid, turn)
        self._shelf.put(self.name, staple)
        await self._reloaded.deliver(staple)

    async def withdraw(self, certid: CertID, /) -> None:
        self._turns.take(certid)
        self._shelf.remove(self.name, certid)
        await self._reloaded.withdraw(certid)
        self._shelf.forget(certid)


class MdLayout:
    """Implements `Layout`: the staple as DER, and as a file of mod_md's store."""

    needed = False  # mod_md starts with anything in its store

    def __init__(self, files: FilesServer, *, store: Path) -> None:
        self.files = files
        self._ocsp = store / "ocsp"
        self._known: dict[str, Path] = {}

    def paths(self, certid: CertID) -> tuple[Path, ...]:
        of_mod_md = self._of_mod_md(certid)
        return self.files.path(certid), *(() if of_mod_md is None else (of_mod_md,))

    def place(self, change: Change) -> bool:
        if change.staple is not None:
            self._make(self.files.path(change.certid).parent)
            self.files.write(change.staple)
            path = self._place_for(change.staple)
            if path is not None:
                self._known[change.certid.key] = path
                self._put(path, entry_of(change.staple))
            return path is not None
        held = self.files.holds(change.certid)
        path = self._of_mod_md(change.certid)
        if path is not None:
            self._unlink(path)
        return held or path is not None

    def clear(self, certid: CertID) -> None:
        for path in reversed(self.paths(certid)):
            self._unlink(path)

    def settled(self, change: Change) -> None:
        if change.staple is None:
            self.files.remove(change.certid)

    def _place_for(self, staple: Staple) -> Path | None:
        """Where mod_md looks for it; None when Apache has not made its store yet: it will ask."""
        leaf = staple.subject.leaf
        if leaf is None:
            return self._of_mod_md(staple.certid)
        name = f"ocsp-{sha1(leaf.der, usedforsecurity=False).hexdigest()}.json"
        known = next(iter(sorted(self._ocsp.glob(f"*/{name}"))), None)
        if known is not None or not self._ocsp.is_dir():
            return known
        folder = self._ocsp / OTHERS
        if not folder.is_dir():
            self._make(folder)
            of = self._ocsp.stat()
            if os.geteuid() == 0:
                os.chown(folder, of.st_uid, of.st_gid)  # Apache's children write there
        return folder / name

    def _of_mod_md(self, certid: CertID) -> Path | None:
        """The file of mod_md's store that speaks of `certid`."""
        known = self._known.get(certid.key)
        if known is not None:
            return known if known.exists() else None
        return next((p for p in self._ocsp.glob("*/ocsp-*.json") if _speaks_of(p, certid)), None)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            told = trouble("cannot make the folder", folder, error)
            raise DeliveryError(f"{self.files.name}: {told.message}", hint=told.hint) from error

    def _put(self, path: Path, content: bytes) -> None:
        try:
            write_atomic(path, content, READABLE)
        except OperatorError as error:
            raise DeliveryError(f"{self.files.name}: {error.message}", hint=error.hint) from error

    def _unlink(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            told = trouble("cannot remove", path, error)
            raise DeliveryError(f"{self.files.name}: {told.message}", hint=told.hint) from error


class Apache:
    """Implements `Daemon`: `apache2ctl -t`, SIGUSR1 (graceful), and a look at the children."""

    def __init__(
        self,
        name: str,
        *,
        program: str = PROGRAM,
        pid_file: str = PID_FILE,
        test: Sequence[str] = (),
        reload: Sequence[str] = (),
        deadline: float = DEADLINE,
    ) -> None:
        self._name = name
        self._test, self._reload = tuple(test) or TEST, tuple(reload)
        self._pid_file, self._deadline = pid_file, deadline
        self._master = Master(name, program=program)

    async def test(self, changes: Sequence[Change]) -> None:
        ended = await run_program(self._name, self._test, deadline=self._deadline)
        if ended.code != 0:
            raise failed(
                self._name,
                f"`{' '.join(self._test)}` refuses the configuration",
                complaint(ended.said) or ended.how,
                hint="nothing was changed; mend the line that it names",
            )

    async def reload(self, changes: Sequence[Change]) -> None:
        pid = self._master.pid(self._pid_file)
        if pid is None and not self._reload:
            return  # it reads its store when it starts
        before = frozenset() if pid is None else await self._master.settled(pid, _serves)
        await self._master.told(self._reload, pid, signal.SIGUSR1, deadline=self._deadline)
        if pid is None or not before:
            return
        if not await self._master.replaced(pid, before, _serves, within=self._deadline):
            raise DeliveryError(
                f"{self._name}: Apache (process {pid}) has no new children after its restart",
                hint="its error log says why",
            )
        await self._master.settled(pid, _serves)  # the last of them reads its store later


def entry_of(staple: Staple) -> bytes:
    """`staple` as a file of mod_md's store (md_ocsp.c, `ostat_to_json`)."""
    assert staple.next_update is not None
    status = "good" if isinstance(staple.certificate_status, Good) else "revoked"
    document = {
        "response": base64.urlsafe_b64encode(staple.der).rstrip(b"=").decode(),
        "status": status,
        "valid": {
            "from": http_date(staple.this_update).decode(),
            "until": http_date(staple.next_update).decode(),
        },
    }
    return json.dumps(document, indent=2).encode()


def response_in(entry: bytes) -> Response | None:
    """The response in a file of mod_md's store; None when there is none that can be read."""
    try:
        text = json.loads(entry)["response"]
        return Response.parse(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (HoldfastError, ValueError, KeyError, TypeError):
        return None


def complaint(said: str) -> str:
    """What `apache2 -t` said, in one line: the mistake follows the line that names its place."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if "yntax error on line" in line:
            return " ".join(lines[number : number + 2])[:300]
    wrong = [line for line in lines if not line.startswith(("AH00558", "Action '", "The Apache"))]
    return wrong[0][:300] if wrong else ""


def apache_md_snippet(relay: str, *, store: str = STORE) -> str:
    """What Apache's configuration needs, outside every <VirtualHost>. `relay`: host:port."""
    return f"""\
# holdfast keeps the staples of mod_md. Outside every <VirtualHost>.
<IfModule mod_md.c>
    # Where mod_md keeps them; holdfast writes there: store = "{store}" in its [[server]].
    MDStoreDir {store}
    MDStapling on
    # Also for certificates that mod_md did not get by itself.
    MDStapleOthers on
    # What mod_md fetches comes from the keeper. ALL that it fetches: its ACME goes this way too,
    # and finds no proxy. Where mod_md gets certificates by ACME, leave all of this out, and let
    # mod_ssl staple them: kind = "apache".
    MDHttpProxy http://{relay}
</IfModule>
"""


def _serves(title: str) -> bool:
    """Apache's children have the title of their master."""
    return bool(title)


def _speaks_of(path: Path, certid: CertID) -> bool:
    try:
        response = response_in(read_bounded(path, 2 * MAX_RESPONSE))
    except OperatorError:
        return False
    singles = () if response is None or response.basic is None else response.basic.singles
    # by serial: the response may use another hash than the store's key
    return any(single.certid.serial == certid.serial for single in singles)
