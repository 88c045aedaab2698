"""HAProxy: `<crt>.ocsp` for its next start, the admin sockets for the processes that run.

What HAProxy does by itself (2.6, `src/ssl_sock.c`): it refuses a response without nextUpdate, with
a CertID by another hash than SHA-1, with several single responses, and expired; it checks no
signature; it sends none in the last 300 s before nextUpdate; it reads `.ocsp` only at its start,
and does not start when it then finds no issuer (in the certificate's file, or in `.issuer`).

Laws: only a `Staple` is written or sent, but for `ended_response`, which is never sent on; what
HAProxy would silently not send is a `DeliveryError` (K21); the files come before the sockets, the
issuer's before the staple's, and every socket is tried whatever became of the others.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import textwrap
from collections.abc import Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.errors import DeliveryError, HoldfastError, OperatorError
from holdfast.net.files import read_bounded, sync_directory, trouble, write_atomic
from holdfast.ocsp.algorithms import AlgorithmIdentifier
from holdfast.ocsp.certid import CertID
from holdfast.ocsp.response import (
    GOOD,
    MAX_RESPONSE,
    ResponderKey,
    Response,
    SingleResponse,
    assemble,
    encode_response_data,
)
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.statuses import Revoked
from holdfast.pki import pem
from holdfast.pki.certificate import Certificate
from holdfast.seams import Clock
from holdfast.servers.files import READABLE, FilesServer, NameOf
from holdfast.servers.haproxy_admin import DEADLINE, AdminSocket, NobodyListens

STOPS_EARLY = timedelta(seconds=300)  # OCSP_MAX_RESPONSE_TIME_SKEW
HOUR = timedelta(hours=1)

_UNKNOWN_HERE = "does not match any certificate"  # no entry for this CertID in that process
_TOO_OLD = "Unknown command"  # `show ssl ocsp-response` came with 2.5


class Refused(DeliveryError):
    """HAProxy read the staple and does not want it."""


class HaproxyServer:
    """Implements `StapledServer`. `crt`: the certificate's path as HAProxy's configuration has it,
    `{name}`, `{serial}` and `{key}` being filled in; `sockets`: one of each process.

    A process that was started without `.ocsp` is given it by `set ssl cert` and `commit ssl cert`.
    """

    stops_early = STOPS_EARLY

    def __init__(
        self,
        name: str,
        *,
        crt: str,
        sockets: Sequence[str],
        clock: Clock,
        name_of: NameOf = lambda _: None,
        deadline: float = DEADLINE,
    ) -> None:
        """`deadline`: seconds for one exchange with a socket."""
        self.name = name
        self._files = FilesServer(name, file=f"{crt}.ocsp", name_of=name_of)
        self._sockets = tuple(AdminSocket.parse(text) for text in sockets)
        self._clock = clock
        self._deadline = deadline
        self._committing = asyncio.Lock()  # a process has one transaction at a time
        self._ends: dict[str, datetime] = {}  # until when the sockets' processes may send it

    @property
    def files(self) -> FilesServer:
        """Where the staples lie."""
        return self._files

    async def deliver(self, staple: Staple, /) -> None:
        try:
            self._refuse_unsendable(staple)
        except DeliveryError:
            if isinstance(staple.certificate_status, Revoked):
                await self.withdraw(staple.certid)  # then rather nothing than the good of before
            raise
        problems: list[DeliveryError] = []
        path = self._files.path(staple.certid)
        before = await asyncio.to_thread(_content, path)
        try:
            await asyncio.to_thread(self._write, staple)
        except HoldfastError as error:
            problems.append(self._error(error))
        ends = staple.next_update
        assert ends is not None
        self._ends[staple.certid.key] = max(ends, self._ends.get(staple.certid.key, ends))
        problems += await self._everywhere(self._tell(socket, staple) for socket in self._sockets)
        if before and any(isinstance(error, Refused) for error in problems):
            with contextlib.suppress(HoldfastError):  # its next start would refuse it too
                await asyncio.to_thread(write_atomic, path, before, READABLE)
        self._raise(problems)

    async def withdraw(self, certid: CertID, /) -> None:
        now = self._clock.now()
        path = self._files.path(certid)
        problems: list[DeliveryError] = []
        ends = self._ends.get(certid.key)
        try:
            in_file = await asyncio.to_thread(_ends_of, path, certid)
            ends = max((end for end in (ends, in_file) if end is not None), default=None)
            await asyncio.to_thread(self._empty, path, certid)
        except HoldfastError as error:
            problems.append(self._error(error))
        if ends is not None:
            self._ends[certid.key] = ends
        untold = await self._everywhere(
            self._silence(socket, certid, now) for socket in self._sockets
        )
        if ends is not None and now >= ends - STOPS_EARLY:
            untold = []  # HAProxy has stopped by itself
        elif ends is None:
            untold = [error for error in untold if not isinstance(error, NobodyListens)]
        problems += untold
        if not untold:
            self._ends.pop(certid.key, None)
        self._raise(problems)

    # -- the sockets -------------------------------------------------------------------------

    async def _everywhere(self, work: Iterable[Coroutine[Any, Any, None]]) -> list[DeliveryError]:
        """Do all of `work`; what was not delivered."""
        done = await asyncio.gather(*work, return_exceptions=True)
        for ended in done:
            if isinstance(ended, BaseException) and not isinstance(ended, DeliveryError):
                raise ended
        return [ended for ended in done if isinstance(ended, DeliveryError)]

    async def _tell(self, socket: AdminSocket, staple: Staple) -> None:
        payload = _base64(staple.der)
        said = await socket.ask("set ssl ocsp-response", payload, deadline=self._deadline)
        if _UNKNOWN_HERE in said:
            await self._commit(socket, staple, payload)
        elif "updated" not in said:
            raise Refused(
                f"admin socket {socket.text}: HAProxy refuses the staple: {_line(said)}",
                hint="the one before stays until its end",
            )
        await self._read_back(socket, staple)

    async def _commit(self, socket: AdminSocket, staple: Staple, payload: str) -> None:
        """Give the staple to a process that knows no staple for this certificate yet."""
        async with self._committing:
            known = await self._known_as(socket, staple)
            issuer = pem.encode_certificates([staple.subject.issuer]).decode()
            steps = (
                (f"set ssl cert {known}.issuer", issuer, "created", "updated"),
                (f"set ssl cert {known}.ocsp", payload, "updated", "created"),
                (f"commit ssl cert {known}", "", "Success", "Success"),
            )
            for command, more, *well in steps:
                said = await socket.ask(command, more, deadline=self._deadline)
                if not any(word in said for word in well):
                    with contextlib.suppress(DeliveryError):
                        await socket.ask(f"abort ssl cert {known}", deadline=self._deadline)
                    raise socket.error(
                        f"HAProxy was started without {known}.ocsp and `{command}` failed: "
                        f"{_line(said)}",
                        "reload HAProxy once: the file lies there now",
                    )

    async def _known_as(self, socket: AdminSocket, staple: Staple) -> str:
        """What the process calls the certificate; `DeliveryError` unless it serves this one."""
        crt = str(self._files.path(staple.certid)).removesuffix(".ocsp")
        listed = await socket.ask("show ssl cert", deadline=self._deadline)
        if not listed.startswith("# filename"):
            raise socket.error(
                f"`show ssl cert`: {_line(listed)}", "write `level admin` on that `stats socket`"
            )
        names = [line.lstrip("*") for line in listed.splitlines() if not line.startswith("#")]
        fitting = [name for name in names if name and (name == crt or crt.endswith(f"/{name}"))]
        if not fitting:
            raise socket.error(
                f"HAProxy serves no certificate from {crt}",
                "`crt` must be the path that HAProxy's configuration has; was it reloaded since?",
            )
        known = max(fitting, key=len)
        shown = await socket.ask(f"show ssl cert {known}", deadline=self._deadline)
        serial = re.search(r"^Serial: ([0-9A-Fa-f]+)", shown, re.MULTILINE)
        if serial is None or int(serial[1], 16) != staple.subject.serial:
            raise socket.error(
                f"HAProxy serves another certificate from {known} than {staple.subject.name} "
                f"with the serial {staple.subject.serial:x}",
                "reload HAProxy: it has not read the renewed file yet",
            )
        return known

    async def _read_back(self, socket: AdminSocket, staple: Staple) -> None:
        """Ask the process what it holds now."""
        certid = CertID(*staple.certid[:4]).encode().hex()
        shown = await socket.ask(f"show ssl ocsp-response {certid}", deadline=self._deadline)
        basic = staple.response.basic
        assert basic is not None
        if _TOO_OLD in shown:
            return
        if basic.signature.hex(":") not in "".join(shown.split()).lower():
            raise socket.error(
                f"HAProxy took the staple for {staple.subject.name} and holds another",
                "does somebody else feed it staples?",
            )

    async def _silence(self, socket: AdminSocket, certid: CertID, now: datetime) -> None:
        payload = _base64(ended_response(certid, now))
        said = await socket.ask("set ssl ocsp-response", payload, deadline=self._deadline)
        if "updated" not in said and _UNKNOWN_HERE not in said:
            raise socket.error(f"HAProxy keeps its staple: {_line(said)}")

    # -- the files ---------------------------------------------------------------------------

    def _write(self, staple: Staple) -> None:
        """The files for the next start, if that will serve this certificate."""
        crt = Path(str(self._files.path(staple.certid)).removesuffix(".ocsp"))
        chain = _chain(crt)
        if chain and chain[0].serial != staple.subject.serial:
            return  # renewed already: its own staple lies there or will
        if not _holds_issuer(chain, staple.subject.issuer):
            issuer = crt.with_name(f"{crt.name}.issuer")
            content = pem.encode_certificates([staple.subject.issuer])
            if not issuer.exists() or read_bounded(issuer) != content:
                write_atomic(issuer, content, READABLE)
        self._files.write(staple)

    def _empty(self, path: Path, certid: CertID) -> None:
        """Make `path` empty: so HAProxy starts without a staple, and takes one later.

        Where it would not start for want of an issuer, the file is taken away.
        """
        try:
            if not path.exists() or path.stat().st_size == 0 or _speaks_of_another(path, certid):
                return
            if _issuer_is_known(Path(str(path).removesuffix(".ocsp"))):
                write_atomic(path, b"", READABLE)
                return
            whole = Path(os.path.realpath(path))  # as writing it follows links
            whole.unlink(missing_ok=True)
            sync_directory(whole.parent)
        except OSError as error:
            raise trouble("cannot remove", path, error) from error

    # -- errors ------------------------------------------------------------------------------

    def _refuse_unsendable(self, staple: Staple) -> None:
        """`DeliveryError` for what HAProxy would take and not send, or not take."""
        ends = staple.next_update
        if ends is None:
            raise DeliveryError(
                f"{self.name}: HAProxy refuses a response without nextUpdate",
                hint="the CA's responder must send nextUpdate (RFC 9919 does not allow to omit it)",
            )
        singles = () if staple.response.basic is None else staple.response.basic.singles
        if len(singles) != 1:
            raise DeliveryError(
                f"{self.name}: HAProxy refuses a response with {len(singles)} single responses",
                hint="the CA's responder must answer for one certificate at a time",
            )
        if staple.single.certid.hash_algorithm != "sha1":
            raise DeliveryError(
                f"{self.name}: HAProxy refuses a response whose CertID is by "
                f"{staple.single.certid.hash_algorithm}",
                hint='set hash = "sha1" under [keeper]: then the responder answers by it too',
            )
        if ends - STOPS_EARLY <= self._clock.now():
            window = ends - staple.this_update
            never = window <= STOPS_EARLY
            raise DeliveryError(
                f"{self.name}: HAProxy sends no staple in the 5 minutes before nextUpdate "
                f"({ends:%H:%M:%S} UTC)"
                + (f", so with a window of {window.total_seconds():g} s never" if never else ""),
                hint="the CA must sign for longer than 5 minutes; holdfast's proxy has no such rule"
                if never
                else "a newer response is needed",
            )

    def _error(self, error: HoldfastError) -> DeliveryError:
        if isinstance(error, DeliveryError):
            return error
        return DeliveryError(error.message, hint=error.hint)

    def _raise(self, problems: Sequence[DeliveryError]) -> None:
        if problems:
            told = "; ".join(error.message.removeprefix(f"{self.name}: ") for error in problems)
            raise DeliveryError(f"{self.name}: {told}", hint=problems[0].hint)


def ended_response(certid: CertID, at: datetime) -> bytes:
    """A response that HAProxy takes and never sends: it ends at `at`, so that HAProxy, which has no
    command to forget a staple, stopped sending it 300 s ago.

    It is signed by nobody. HAProxy takes what ended less than 300 s ago or begins within as much,
    so that clocks may differ by that.
    """
    single = SingleResponse(certid, GOOD, at - HOUR, at)
    tbs = encode_response_data(ResponderKey(bytes(20)), at - HOUR, (single,))
    ecdsa_with_sha256 = AlgorithmIdentifier("1.2.840.10045.4.3.2")
    return assemble(tbs, ecdsa_with_sha256, b"no signature")


def _chain(crt: Path) -> tuple[Certificate, ...]:
    """The certificates in HAProxy's file; () when the keeper may not read it: it holds the key."""
    try:
        return pem.certificates(read_bounded(crt), name=str(crt))
    except OperatorError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise DeliveryError(
                f"{crt}: there is no such certificate",
                hint="`crt` is the path that HAProxy's configuration has",
            ) from error
        if isinstance(error.__cause__, PermissionError):
            return ()
        raise


def _holds_issuer(chain: Sequence[Certificate], issuer: Certificate) -> bool:
    return any(
        one.subject_der == issuer.subject_der and one.key_octets == issuer.key_octets
        for one in chain[1:]
    )


def _issuer_is_known(crt: Path) -> bool:
    """True when HAProxy would find the issuer of what is in `crt`."""
    if crt.with_name(f"{crt.name}.issuer").exists():
        return True
    try:
        chain = _chain(crt)
    except HoldfastError:
        return False
    return any(one.subject_der == chain[0].issuer_der for one in chain[1:])


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_RESPONSE)
    except OperatorError:
        return b""


def _singles(path: Path) -> tuple[SingleResponse, ...]:
    """What the staple in `path` says; () when there is none that can be read."""
    try:
        response = Response.parse(read_bounded(path, MAX_RESPONSE))
    except HoldfastError:
        return ()
    return () if response.basic is None else response.basic.singles


def _ends_of(path: Path, certid: CertID) -> datetime | None:
    ends = [s.next_update for s in _singles(path) if s.certid.serial == certid.serial]
    return max((end for end in ends if end is not None), default=None)


def _speaks_of_another(path: Path, certid: CertID) -> bool:
    singles = _singles(path)
    return bool(singles) and all(single.certid.serial != certid.serial for single in singles)


def _base64(der: bytes) -> str:
    return "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 76))


def _line(said: str) -> str:
    """The first line of what HAProxy said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0].rstrip(".")[:300] if lines else "it said nothing"
