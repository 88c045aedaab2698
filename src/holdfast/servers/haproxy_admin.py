"""HAProxy's admin socket: one command, one answer, one connection.

Laws: each exchange has a deadline and a bound; what HAProxy says is returned as it said it, and
what it is judged by is the adapter's; an address is checked when it is read.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from holdfast.errors import DeliveryError, OperatorError

DEADLINE = 5.0  # seconds for one exchange
MAX_ANSWER = 4 * 1024 * 1024  # bytes: `show ssl cert` is a line for each of its certificates


class NobodyListens(DeliveryError):
    """No process is behind the socket: HAProxy is not running, or the address is wrong."""


@dataclass(frozen=True, slots=True)
class AdminSocket:
    """`stats socket` of one HAProxy process. `path` of a unix socket, else `host` and `port`."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> AdminSocket:
        """`/run/haproxy/admin.sock` or `127.0.0.1:9999`, also with HAProxy's own prefixes `unix@`,
        `ipv4@` and `ipv6@`. `OperatorError` for anything else."""
        kind, _, rest = text.rpartition("@")
        if kind in ("", "unix") and rest.startswith("/"):
            return cls(text, path=rest)
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):(\d{1,5})", rest)
        if kind in ("", "ipv4", "ipv6") and found is not None and 0 < int(found[2]) <= 65535:
            return cls(text, host=found[1].strip("[]"), port=int(found[2]))
        raise OperatorError(
            f"{text!r} is not the address of a HAProxy admin socket",
            hint="write what stands after `stats socket`: /run/haproxy/admin.sock or "
            "127.0.0.1:9999",
        )

    async def ask(self, command: str, payload: str = "", *, deadline: float = DEADLINE) -> str:
        """What HAProxy answers to `command`, with `payload` (lines, none empty) after `<<`.

        `DeliveryError` names the socket: `NobodyListens` when nobody does.
        """
        lines = f"{command} <<\n{payload.strip()}\n\n" if payload else f"{command}\n"
        try:
            async with asyncio.timeout(deadline):
                answer = await self._exchange(lines.encode("ascii"))
        except TimeoutError:
            raise self.error(
                f"no answer within {deadline:g} s", "is that HAProxy, and does it run?"
            ) from None
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NobodyListens(
                f"admin socket {self.text}: {error.strerror}",
                hint="is HAProxy running, and is this its `stats socket`?",
            ) from error
        except PermissionError as error:
            raise self.error(
                error.strerror or "no permission",
                "give the keeper's user the socket's group, or set `user` on `stats socket`",
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise self.error(reason, "is this its `stats socket`?") from error
        if answer.startswith("Permission denied"):
            raise self.error(
                f"`{command[:60]}`: permission denied",
                "write `level admin` on that `stats socket` line",
            )
        return answer

    async def _exchange(self, lines: bytes) -> str:
        if self.path:
            reader, writer = await asyncio.open_unix_connection(self.path)
        else:
            reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(lines)
            await writer.drain()
            answer = b""
            while piece := await reader.read(65536):
                answer += piece
                if len(answer) > MAX_ANSWER:
                    raise self.error(f"an answer of more than {MAX_ANSWER} bytes")
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
        finally:
            writer.close()
        if not answer.strip(b"\n") and len(lines) > 8192:
            raise self.error(
                f"{len(lines)} bytes were not taken",
                "HAProxy reads a command into one buffer: raise `tune.bufsize` (16384 by default)",
            )
        return answer.decode("utf-8", "replace").strip()

    def error(self, problem: str, hint: str = "") -> DeliveryError:
        """`problem`, naming the socket."""
        return DeliveryError(f"admin socket {self.text}: {problem}", hint=hint)
