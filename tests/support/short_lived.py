"""A keeper process whose staples live for seconds, so that it writes all the time.

with a_short_lived(folder, count=6) as world:
    with world.keeper() as started: ...
    world.stored(name), world.delivered(name)
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.ocsp.certid import Subject
from holdfast.ocsp.response import Response
from holdfast.ocsp.staple import Staple
from holdfast.ocsp.verify import verify
from holdfast.stores.files import FOLDER, FileStore
from support.pki import a_root, a_server
from support.processes import HOLDFAST, Running, running
from support.tls_world import Loop

BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


@dataclass
class ShortLived:
    """`subjects` by name; `state` and `out` are where the keeper keeps and delivers."""

    folder: Path
    subjects: dict[str, Subject]
    lab: LabResponder
    loop: Loop
    window: str = "4s"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def store(self) -> FileStore:
        return FileStore(self.state / FOLDER)

    def change(self, **wishes: Any) -> None:
        self.loop.run(self.lab.change(wishes))

    def settings(self, *, out: str = "{name}.ocsp") -> Path:
        """Written anew; `out`: where the one server reads."""
        lines = ["[keeper]", 'state = "state"', 'listen = "127.0.0.1:0"', 'recheck = "1s"']
        for name in self.subjects:
            lines += ["[[certificate]]", f'name = "{name}"', f'chain = "{name}.pem"']
            lines += ['servers = ["out"]']
        lines += ["[[server]]", 'name = "out"', 'kind = "files"', f'file = "{out}"']
        path = self.folder / "holdfast.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    @contextmanager
    def keeper(self, *before: object, out: str = "{name}.ocsp") -> Iterator[Running]:
        """`before`: words before the command, that become it."""
        command = [*before, *HOLDFAST, "keep", "--json", "-c", self.settings(out=out)]
        with running(command, cwd=self.folder, until=b"\n}\n") as started:
            yield started

    def stored(self, name: str) -> Response | None:
        return self.store.read(self.subjects[name].certid)

    def delivered(self, name: str, folder: Path | None = None) -> bytes:
        path = (folder or self.folder) / f"{name}.ocsp"
        return path.read_bytes() if path.exists() else b""

    def proved(self, der: bytes, name: str) -> Staple:
        """`der` as a staple of its own time; raises when it is not one."""
        response = Response.parse(der)
        assert response.basic is not None
        at = response.basic.singles[0].this_update
        return verify(response, self.subjects[name], at=at)


@contextmanager
def a_short_lived(folder: Path, *, count: int = 1, window: str = "4s") -> Iterator[ShortLived]:
    loop = Loop()
    ca = a_root(at=BEGIN)
    lab = LabResponder(Forge(ca, at=BEGIN + timedelta(days=1)))
    loop.run(lab.start())
    try:
        world = ShortLived(folder, {}, lab, loop)
        world.change(window=window)
        for number in range(count):
            name = f"c{number}"
            issued = a_server(ca, f"{name}.test", at=BEGIN, responder_urls=(lab.url,))
            (folder / f"{name}.pem").write_bytes(issued.pem + ca.issued.pem)
            world.subjects[name] = Subject.of(issued.certificate, ca.certificate)
        yield world
    finally:
        loop.run(lab.close())
        loop.stop()


def status(started: Running) -> Any:
    """What the keeper's page says."""
    url = json.loads(started.first)["url"]
    with urllib.request.urlopen(f"{url.rstrip('/')}/status.json", timeout=10) as reply:
        return json.load(reply)


def soon(true: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait for another process."""
    ends = time.monotonic() + within
    while not true():
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)
