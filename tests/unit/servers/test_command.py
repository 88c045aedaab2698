"""Servers that are told by files and commands."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from holdfast.errors import DeliveryError
from holdfast.ocsp.response import Response
from holdfast.pki import pem
from holdfast.pki.kind import Kind
from holdfast.servers.command import CommandServer
from holdfast.servers.files import FilesServer, file_name
from holdfast.servers.owed import Owed
from support.pki import AT
from support.staples import WEEK, a_desk

X = a_desk("x.test", serial=1)
ROTATED = a_desk("x.test", serial=2)
CERTID = X.subject.certid


def files(folder: Path, file: str = "{name}.der", **wishes: object) -> FilesServer:
    wishes.setdefault("name_of", lambda _: "x.test")
    return FilesServer("web", file=str(folder / file), **wishes)


def program(tmp_path: Path, source: str) -> tuple[str, ...]:
    path = tmp_path / "program.py"
    path.write_text(f"import os, sys, time\n{source}\n")
    return (sys.executable, str(path))


def test_deliver_writes_the_der_where_the_template_says(tmp_path: Path) -> None:
    staple = X.staple()
    asyncio.run(files(tmp_path).deliver(staple))
    path = tmp_path / "x.test.der"
    assert path.read_bytes() == staple.der
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_encodings(tmp_path: Path) -> None:
    staple = X.staple()
    asyncio.run(files(tmp_path, "b64", encoding="base64").deliver(staple))
    assert base64.b64decode((tmp_path / "b64").read_bytes()) == staple.der
    asyncio.run(files(tmp_path, "pem", encoding="pem", mode=0o600).deliver(staple))
    assert pem.single((tmp_path / "pem").read_bytes(), Kind.OCSP_RESPONSE) == staple.der
    assert stat.S_IMODE((tmp_path / "pem").stat().st_mode) == 0o600


def test_withdraw_takes_the_file_away_and_twice_is_harmless(tmp_path: Path) -> None:
    server = files(tmp_path)
    asyncio.run(server.deliver(X.staple()))
    asyncio.run(server.withdraw(CERTID))
    asyncio.run(server.withdraw(CERTID))
    assert list(tmp_path.iterdir()) == []


def test_k18_a_rotation_does_not_take_the_new_ones_file(tmp_path: Path) -> None:
    server = files(tmp_path)
    newer = ROTATED.staple()
    asyncio.run(server.deliver(X.staple()))
    asyncio.run(server.deliver(newer))
    asyncio.run(server.withdraw(CERTID))
    assert (tmp_path / "x.test.der").read_bytes() == newer.der


def test_k27_withdraw_follows_a_link_as_writing_does(tmp_path: Path) -> None:
    """The file that the link names is the one that was written; the link stays for the next."""
    link, real = tmp_path / "x.test.der", tmp_path / "real"
    real.write_bytes(b"")
    link.symlink_to(real.name)
    server, staple = files(tmp_path), X.staple()
    asyncio.run(server.deliver(staple))
    assert real.read_bytes() == staple.der
    asyncio.run(server.withdraw(CERTID))
    assert not real.exists()
    assert link.is_symlink()
    assert not server.holds(CERTID), "a link to nothing holds nothing"
    asyncio.run(server.withdraw(CERTID))
    asyncio.run(server.deliver(staple))
    assert real.read_bytes() == staple.der


def test_garbage_in_its_place_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "x.test.der").write_bytes(b"garbage")
    asyncio.run(files(tmp_path).withdraw(CERTID))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [("*.x.test", "_.x.test"), ("../../etc/x", "_._.._etc_x"), ("", "_"), ("a b\x00", "a_b_")],
)
def test_names_cannot_leave_the_folder(name: str, safe: str) -> None:
    assert file_name(name) == safe


def test_a_folder_that_is_not_there_is_a_delivery_error(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"web: .*nowhere"):
        asyncio.run(files(tmp_path / "nowhere").deliver(X.staple()))


def test_the_command_sees_the_file_and_the_names(tmp_path: Path) -> None:
    run = program(
        tmp_path,
        "open(sys.argv[1] + '.seen', 'a').write(' '.join(sys.argv[2:]) + '|' + "
        "os.environ['HOLDFAST_NAME'] + '|' + str(os.path.exists(sys.argv[1])) + '\\n')",
    )
    server = CommandServer(
        files(tmp_path), run=[*run, "{staple_file}", "{name}", "{action}", "{other} $(x) ;"]
    )

    async def story() -> None:
        await server.deliver(X.staple())
        await server.withdraw(CERTID)
        await server.withdraw(CERTID)

    asyncio.run(story())
    assert (tmp_path / "x.test.der.seen").read_text() == (
        "x.test deliver {other} $(x) ;|x.test|True\nx.test withdraw {other} $(x) ;|x.test|False\n"
    )


def test_a_failing_command_says_its_last_line(tmp_path: Path) -> None:
    run = program(tmp_path, "sys.stderr.write('one\\nnginx: [emerg] bad\\n\\n'); sys.exit(3)")
    server = CommandServer(files(tmp_path), run=run)
    with pytest.raises(DeliveryError, match=r"web: .* failed \(exit 3\): nginx: \[emerg\] bad$"):
        asyncio.run(server.deliver(X.staple()))
    assert (tmp_path / "x.test.der").exists()


def test_a_failed_withdrawal_command_is_run_again(tmp_path: Path) -> None:
    run = program(
        tmp_path,
        f"mark = {str(tmp_path / 'mark')!r}\nif not os.path.exists(mark):\n"
        "    open(mark, 'w'); sys.exit(1)\nopen(mark, 'a').write('again')",
    )
    server = CommandServer(files(tmp_path), run=(), run_on_withdraw=run)

    async def story() -> None:
        await server.deliver(X.staple())
        with pytest.raises(DeliveryError):
            await server.withdraw(CERTID)
        await server.withdraw(CERTID)

    asyncio.run(story())
    assert (tmp_path / "mark").read_text() == "again"


def test_k27_a_failed_withdrawal_is_known_to_the_next_process(tmp_path: Path) -> None:
    """The command is run again until it has succeeded, and then no more."""
    log, deaf = tmp_path / "log", tmp_path / "deaf"
    run = program(
        tmp_path,
        f"open({str(log)!r}, 'a').write('told ')\nsys.exit(os.path.exists({str(deaf)!r}))",
    )
    deaf.touch()

    def another() -> CommandServer:
        owed = Owed("web", folder=tmp_path / "owed")
        return CommandServer(files(tmp_path), run=(), run_on_withdraw=run, owed=owed)

    asyncio.run(another().deliver(X.staple()))
    for _ in range(2):
        with pytest.raises(DeliveryError):
            asyncio.run(another().withdraw(CERTID))
        assert [debt.name for debt in another().owed.noted()] == ["x.test"]
    deaf.unlink()
    for _ in range(2):
        asyncio.run(another().withdraw(CERTID))
        assert not list(another().owed.noted())
    assert log.read_text().split() == ["told"] * 3


def test_k27_what_was_delivered_since_is_not_withdrawn_late(tmp_path: Path) -> None:
    """Another certificate's staple took the file over, of which the server was told."""
    log = tmp_path / "log"
    run = program(tmp_path, f"open({str(log)!r}, 'a').write('withdrawn')")
    owed = Owed("web", folder=tmp_path / "owed")
    owed.add(CERTID, "x.test")
    server = CommandServer(files(tmp_path), run=(), run_on_withdraw=run, owed=owed)
    asyncio.run(server.deliver(ROTATED.staple()))
    asyncio.run(server.withdraw(CERTID))
    assert not log.exists()
    assert not list(owed.noted())


@pytest.mark.parametrize("command", ["/no/such/program", "", "\x00"])
def test_a_program_that_is_not_there(tmp_path: Path, command: str) -> None:
    server = CommandServer(files(tmp_path), run=[command])
    with pytest.raises(DeliveryError, match="cannot run"):
        asyncio.run(server.deliver(X.staple()))


def test_a_hanging_command_and_its_children_are_ended(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = program(
        tmp_path,
        f"pid = os.fork()\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}} ')\ntime.sleep(60)",
    )
    server = CommandServer(files(tmp_path), run=run, deadline=1.0)
    with pytest.raises(DeliveryError, match="did not end within 1 s"):
        asyncio.run(server.deliver(X.staple()))
    ended = time.monotonic() + 5
    left = pids.read_text().split()
    assert left
    while any(_alive(pid) for pid in left):
        assert time.monotonic() < ended, "a child is left"


def test_a_chatty_command_is_read_with_a_bound(tmp_path: Path) -> None:
    run = program(tmp_path, "sys.stderr.write('x' * 3_000_000 + '\\nlast\\n'); sys.exit(1)")
    server = CommandServer(files(tmp_path), run=run)
    with pytest.raises(DeliveryError, match=r": last$"):
        asyncio.run(server.deliver(X.staple()))


def test_one_command_at_a_time(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    run = program(
        tmp_path,
        f"fd = os.open({lock!r}, os.O_CREAT | os.O_EXCL)\ntime.sleep(0.1)\nos.unlink({lock!r})",
    )
    server = CommandServer(files(tmp_path), run=run)
    staples = [X.staple(AT), X.staple(AT + WEEK / 4), X.staple(AT + WEEK / 2)]

    async def story() -> None:
        await asyncio.gather(*(server.deliver(staple) for staple in staples))

    asyncio.run(story())
    assert Response.parse((tmp_path / "x.test.der").read_bytes())


def _alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_a_daemon_that_the_command_started_lives_and_is_not_waited_for(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run = program(
        tmp_path,
        f"if os.fork() == 0:\n    open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        f"    time.sleep(60)\nwhile not os.path.exists({str(pids)!r}): time.sleep(0.01)",
    )
    begun = time.monotonic()
    asyncio.run(CommandServer(files(tmp_path), run=run).deliver(X.staple()))
    assert time.monotonic() - begun < 20
    pid = int(pids.read_text())
    assert _alive(str(pid))
    os.kill(pid, signal.SIGKILL)
