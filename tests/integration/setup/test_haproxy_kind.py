"""Setup's HAProxy kind on Debian's real HAProxy: examined, proposed, applied, tested, reloaded, and
the staple seen by openssl."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from holdfast.errors import DeliveryError, OperatorError
from holdfast.net.clock import SystemClock
from holdfast.pki.certificate import Certificate
from holdfast.pki.pem import encode_certificates
from holdfast.servers.haproxy import HaproxyServer
from holdfast.setup.haproxy import HAProxy
from holdfast.setup.haproxy_words import HAProxyConfiguration
from holdfast.setup.words import Change, Keeper, Proposal, Wish
from support.pki import a_key, a_root, written
from support.servers.stock_haproxy import StockHAProxy
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY, a_ca, openssl, roots_file, run

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
CA = a_ca()


@pytest.fixture
def desk() -> Desk:
    return a_desk("localhost", ca=CA, at=YESTERDAY)


@pytest.fixture
def stock(tmp_path: Path, desk: Desk) -> StockHAProxy:
    return StockHAProxy(tmp_path, desk)


def apply(changes: Sequence[Change]) -> None:
    for change in changes:
        there = change.path.read_bytes() if change.path.exists() else None
        assert there == change.before
        if change.after is None:
            change.path.unlink()
        else:
            change.path.write_bytes(change.after)


def examined(kind: HAProxy) -> HAProxyConfiguration:
    read = asyncio.run(kind.examine())
    assert isinstance(read, HAProxyConfiguration)
    return read


def proposed(
    kind: HAProxy,
    wish: Wish,
    issuers: Mapping[str, tuple[Certificate, ...]] | None = None,
) -> Proposal:
    return kind.propose(examined(kind), wish, issuers=issuers or {})


def native(stock: StockHAProxy, desk: Desk, *, age: timedelta = HOUR) -> Wish:
    response = desk.staple(NOW - age, 7 * DAY).der
    return Wish(mode="native", responses={str(stock.pem): response})


def test_examine_says_what_is_there(stock: StockHAProxy) -> None:
    read = examined(stock.kind())
    assert read.version[:2] == (2, 6)
    (site,) = read.sites
    assert site.name == "localhost"
    assert site.listens == (("127.0.0.1", stock.port),)
    assert site.server_name == "localhost"
    assert site.stapling == ""
    assert not site.verifies_clients
    assert site.place.path == stock.config
    assert "bind" in stock.config.read_text().splitlines()[site.place.line - 1]
    assert read.sockets == (str(stock.folder / "admin.sock"),)
    assert list(read.files) == [stock.config], "no file with a key is among them"
    assert read.troubles == ()


def test_native_from_the_stock_configuration_to_a_staple(
    stock: StockHAProxy, desk: Desk, tmp_path: Path
) -> None:
    kind = stock.kind()
    with stock.serving():
        assert not stock.stapled(tmp_path)
        done = proposed(kind, native(stock, desk))
        ocsp = stock.pem.with_name("www.pem.ocsp")
        assert [change.path for change in done.changes] == [ocsp]
        assert [site.name for site in done.proved] == ["localhost"]
        assert [one.code for one in done.troubles] == ["haproxy-fetches-nothing"]
        apply(done.changes)
        assert asyncio.run(kind.test()) == ()
        assert asyncio.run(kind.running())
        asyncio.run(kind.reload())
        assert stock.stapled(tmp_path)
        assert kind.log_since(kind.log_mark()) == ()
        again = proposed(kind, native(stock, desk, age=timedelta(minutes=1)))
        assert again.changes == (), "a newer response is no reason while this one is young"
        assert examined(kind).sites[0].stapling == "by www.pem.ocsp"


def test_a_response_past_its_half_is_replaced(stock: StockHAProxy, desk: Desk) -> None:
    stock.pem.with_name("www.pem.ocsp").write_bytes(desk.staple(NOW - 20 * HOUR, 30 * HOUR).der)
    wish = native(stock, desk)
    done = proposed(stock.kind(), wish)
    assert [change.after for change in done.changes] == list(wish.responses.values())


def test_the_issuer_is_laid_beside_and_without_it_haproxy_does_not_start(
    tmp_path: Path, desk: Desk
) -> None:
    stock = StockHAProxy(tmp_path, desk, whole=False)
    kind = stock.kind()
    wish = native(stock, desk)
    unknown = proposed(kind, wish)
    assert unknown.changes == ()
    assert unknown.proved == ()
    assert [one.code for one in unknown.troubles] == ["haproxy-issuer-unknown"]
    with stock.serving():
        done = proposed(kind, wish, {"localhost": (CA.certificate,)})
        names = [change.path.name for change in done.changes]
        assert names == ["www.pem.issuer", "www.pem.ocsp"], "the issuer first"
        apply(done.changes)
        assert asyncio.run(kind.test()) == ()
        asyncio.run(kind.reload())
        roots = roots_file(CA, tmp_path)
        with roots.open("ab") as more:
            more.write(CA.issued.pem)  # this server sends its leaf alone
        code, said = openssl(stock.port, roots, "-partial_chain")
        assert code == 0, said
        assert "Cert Status: good" in said
        assert proposed(kind, wish, {"localhost": (CA.certificate,)}).changes == ()
    # the red twin: what setup never writes, and how it is told
    stock.pem.with_name("www.pem.issuer").unlink()
    (refused,) = asyncio.run(kind.test())
    assert refused.code == "haproxy-ocsp-issuer-unknown"
    assert refused.fatal
    assert refused.place is not None
    assert refused.place.path == stock.config
    assert str(stock.pem) + ".issuer" in refused.hint
    (seen,) = [one for one in examined(kind).troubles if one.mendable]
    assert seen.code == "haproxy-ocsp-issuer-unknown"
    mended = proposed(kind, wish, {"localhost": (CA.certificate,)})
    assert [one.code for one in mended.mended] == ["haproxy-ocsp-issuer-unknown"]
    apply(mended.changes)
    assert asyncio.run(kind.test()) == ()


def test_a_response_for_another_certificate_is_never_written(stock: StockHAProxy) -> None:
    """The red twin of native mode: the response is good, for somebody else."""
    other = a_desk("other.test", ca=CA, at=YESTERDAY)
    done = proposed(stock.kind(), native(stock, other))
    assert done.changes == ()
    assert done.proved == ()
    assert [one.code for one in done.troubles] == ["haproxy-response-unfit"]


def test_keeper_mode_ends_where_the_guide_does(
    stock: StockHAProxy, desk: Desk, tmp_path: Path
) -> None:
    stock.without_socket()
    before = stock.config.read_text()
    kind = stock.kind()
    keeper = Keeper(settings=None, state=tmp_path)
    wish = Wish(mode="keeper", keeper=keeper)
    with stock.serving():
        done = proposed(kind, wish)
        apply(done.changes)
        added = f"\tstats socket {stock.folder}/admin.sock mode 600 level admin\n"
        after = stock.config.read_text()
        assert after.replace(added, "", 1) == before, "one line, and no other byte"
        lines = after.splitlines(keepends=True)
        assert lines[lines.index(added) - 1].startswith("\tstats "), "beside its like"
        assert stock.pem.with_name("www.pem.ocsp").read_bytes() == b""
        assert asyncio.run(kind.test()) == ()
        asyncio.run(kind.reload())
        assert not stock.stapled(tmp_path), "until the keeper delivers"
        (need,) = done.needs
        assert need.name == "www"
        assert need.chain == stock.pem
        assert need.issuer is None
        assert need.kind == "haproxy"
        assert need.keys == {
            "crt": str(stock.pem.with_name("{name}.pem")),
            "sockets": (str(stock.folder / "admin.sock"),),
            "prove": f"127.0.0.1:{stock.port}",
        }
        sockets = need.keys["sockets"]
        crt = need.keys["crt"]
        assert isinstance(crt, str)
        server = HaproxyServer(
            "front",
            crt=crt,
            sockets=list(sockets),
            clock=SystemClock(),
            name_of=lambda _: need.name,
        )
        asyncio.run(server.deliver(desk.staple(NOW - HOUR, 7 * DAY)))
        assert stock.stapled(tmp_path)
        again = proposed(kind, wish)
        assert again.changes == ()
        assert again.needs == done.needs


def test_a_keepers_issuer_is_named(tmp_path: Path, desk: Desk) -> None:
    stock = StockHAProxy(tmp_path, desk, whole=False)
    wish = Wish(mode="keeper", keeper=Keeper(settings=None, state=tmp_path))
    done = proposed(stock.kind(), wish, {"localhost": (CA.certificate,)})
    assert [one.path.name for one in done.changes] == ["www.pem.issuer", "www.pem.ocsp"]
    assert done.needs[0].issuer == stock.pem.with_name("www.pem.issuer")
    apply(done.changes)
    assert asyncio.run(stock.kind().test()) == ()
    with stock.serving():
        assert proposed(stock.kind(), wish, {"localhost": (CA.certificate,)}).changes == ()


def test_mutual_tls_refuses_the_same_clients_before_and_after(tmp_path: Path, desk: Desk) -> None:
    """Clients of CA A are let in, one of B is not: also when B issued the server's certificate."""
    clients = a_root("Clients", at=YESTERDAY)
    (tmp_path / "clients.pem").write_bytes(clients.issued.pem)
    stock = StockHAProxy(
        tmp_path, desk, whole=False, more=f" ca-file {tmp_path}/clients.pem verify required"
    )
    kind = stock.kind()
    assert examined(kind).sites[0].verifies_clients
    any_use = [x509.ExtendedKeyUsage.oid]
    friend, foreign = (
        ca.server(name, at=YESTERDAY, key=a_key(name), lifetime=9 * DAY, omit=any_use)
        for ca, name in ((clients, "friend"), (CA, "foreign"))
    )
    keys = {
        name: written(issued, tmp_path, name)
        for name, issued in (("friend", friend), ("foreign", foreign))
    }
    roots = roots_file(CA, tmp_path)
    with roots.open("ab") as more:
        more.write(CA.issued.pem)

    def let_in(name: str) -> bool:
        chain, key = keys[name]
        code, said = run(
            [
                *("curl", "-sS", "--max-time", 5, "--cacert", roots, "--cert", chain, "--key", key),
                *("--resolve", f"localhost:{stock.port}:127.0.0.1"),
                f"https://localhost:{stock.port}/",
            ]
        )
        assert code == 0 or "alert" in said, said
        return code == 0

    def staple() -> bool:
        chain, key = keys["friend"]
        _, said = openssl(stock.port, roots, "-partial_chain", "-cert", chain, "-key", key)
        return "Cert Status: good" in said

    with stock.serving():
        assert let_in("friend")
        assert not let_in("foreign")
        assert not staple()
        done = proposed(kind, native(stock, desk), {"localhost": (CA.certificate,)})
        assert [one.path for one in done.changes if one.path == stock.config] == []
        apply(done.changes)
        assert asyncio.run(kind.test()) == ()
        asyncio.run(kind.reload())
        assert staple()
        assert let_in("friend")
        assert not let_in("foreign"), "whom the server's own CA issued is still no client"
        # the red twin: where the issuer must never go
        text = stock.config.read_text()
        anchors = encode_certificates([clients.certificate, CA.certificate, CA.root])
        (tmp_path / "both.pem").write_bytes(anchors)
        stock.config.write_text(text.replace(f"{tmp_path}/clients.pem", f"{tmp_path}/both.pem"))
        asyncio.run(kind.reload())
        assert let_in("foreign")


def test_a_reload_waits_for_the_new_workers(
    stock: StockHAProxy, desk: Desk, tmp_path: Path
) -> None:
    kind = stock.kind()
    with stock.serving():
        for _ in range(3):
            other = a_desk("localhost", ca=CA, at=YESTERDAY)
            stock.pem.write_bytes(other.server.fullchain_pem + other.server.key_pem())
            asyncio.run(kind.reload())
            said = stock.status(tmp_path, "-showcerts")
            assert f"{other.server.certificate.serial:X}" in _serial(said)


def _serial(said: str) -> str:
    begin = said.index("-----BEGIN CERTIFICATE-----")
    end = said.index("-----END CERTIFICATE-----", begin)
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"],
        input=said[begin:end] + "-----END CERTIFICATE-----\n",
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout


def test_a_refused_reload_is_told_and_the_old_one_serves_on(
    stock: StockHAProxy, tmp_path: Path
) -> None:
    kind = HAProxy(
        program="/usr/sbin/haproxy",
        configs=[stock.config],
        pid_file=stock.pid_file,
        environment={},
        deadline=3.0,
    )
    with stock.serving():
        good = stock.config.read_text()
        stock.config.write_text(good.replace("ssl crt", "sls crt"))
        (refused,) = asyncio.run(kind.test())
        assert refused.code == "haproxy-unknown-keyword"
        assert refused.place is not None
        assert refused.place.path == stock.config
        with pytest.raises(DeliveryError, match="went on with its old configuration"):
            asyncio.run(kind.reload())
        assert asyncio.run(kind.running())
        stock.status(tmp_path)
        stock.config.write_text(good)
        asyncio.run(kind.reload())
        stock.status(tmp_path)


def test_a_server_that_does_not_run_is_started(stock: StockHAProxy, tmp_path: Path) -> None:
    words = ["/usr/sbin/haproxy", "-W", "-D", "-f", str(stock.config), "-p", str(stock.pid_file)]
    kind = stock.kind(start=words)
    assert not asyncio.run(kind.running())
    with pytest.raises(DeliveryError, match="not running"):
        asyncio.run(kind.reload())
    asyncio.run(kind.reload(restart=True))
    pid = int(stock.pid_file.read_text().split()[0])
    try:
        assert asyncio.run(kind.running())
        stock.status(tmp_path)
    finally:
        os.kill(pid, signal.SIGTERM)
        for _ in range(500):
            if not Path(f"/proc/{pid}").exists():
                break
            time.sleep(0.01)
    with pytest.raises(DeliveryError, match="does not start"):
        asyncio.run(stock.kind(start=["/bin/false"]).reload(restart=True))


def test_without_a_master_it_says_how(stock: StockHAProxy) -> None:
    process = subprocess.Popen(
        ["/usr/sbin/haproxy", "-db", "-f", stock.config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(500):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", stock.port), 1).close()
                break
            time.sleep(0.01)
        stock.pid_file.write_text(str(process.pid))
        with pytest.raises(DeliveryError, match="no master process") as told:
            asyncio.run(stock.kind().reload())
        assert "-W" in told.value.hint
    finally:
        process.kill()
        process.wait(timeout=5)


def test_what_the_new_process_warned_of_is_read_back(stock: StockHAProxy, desk: Desk) -> None:
    """An `.ocsp` that has ended: HAProxy starts, and says so only then."""
    stock.pem.with_name("www.pem.ocsp").write_bytes(desk.response(NOW - 9 * DAY, DAY).der)
    kind = stock.kind()
    with stock.serving():
        read = examined(kind)
        assert [one.code for one in read.troubles] == ["haproxy-ocsp-ended"]
        assert [one.code for one in kind.log_since(kind.log_mark())] == ["haproxy-ocsp-ended"]
        done = proposed(kind, native(stock, desk))
        assert [one.code for one in done.mended] == ["haproxy-ocsp-ended"]
        apply(done.changes)
        asyncio.run(kind.reload())
        assert kind.log_since(kind.log_mark()) == ()


def test_prune_takes_out_what_has_become_dead(stock: StockHAProxy, tmp_path: Path) -> None:
    dead = a_desk("localhost", ca=CA, at=YESTERDAY, responder_urls=[])
    stock.pem.write_bytes(dead.server.fullchain_pem + dead.server.key_pem())
    ocsp = stock.pem.with_name("www.pem.ocsp")
    ocsp.write_bytes(b"")
    kind = stock.kind()
    read = examined(kind)
    assert kind.dead_lines(read, read.sites[0]) == (str(ocsp),)
    assert kind.propose(read, Wish(), issuers={}).changes == (), "only when it is asked for"
    done = kind.propose(read, Wish(prune=True), issuers={})
    assert done.changes == (Change(ocsp, b"", None),)
    assert done.proved == ()
    apply(done.changes)
    assert asyncio.run(kind.test()) == ()
    assert kind.dead_lines(examined(kind), examined(kind).sites[0]) == ()


def test_folders_lists_and_bases_are_read_as_haproxy_does(tmp_path: Path, desk: Desk) -> None:
    """What HAProxy itself says it has loaded is what examine found."""
    stock = StockHAProxy(tmp_path, desk)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.pem", "a.pem", "noext"):
        other = a_desk(f"{name}.test", ca=CA, at=YESTERDAY)
        (folder / name).write_bytes(other.server.fullchain_pem + other.server.key_pem())
    for name in ("a.pem.ocsp", "b.pem.issuer", "x.key", "y.sctl", ".hidden.pem"):
        (folder / name).write_bytes(b"")
    (folder / "b.pem.issuer").write_bytes(CA.issued.pem)
    listed = a_desk("*.listed.test", ca=CA, at=YESTERDAY)
    (tmp_path / "certs" / "listed.pem").write_bytes(
        listed.server.fullchain_pem + listed.server.key_pem()
    )
    both = {}
    for kind_of_key in ("rsa", "ecdsa"):
        issued = a_desk(
            "both.test",
            ca=CA,
            at=YESTERDAY,
            key_type="rsa-2048" if kind_of_key == "rsa" else "ecdsa-p256",
        )
        both[kind_of_key] = tmp_path / "certs" / f"both.{kind_of_key}"
        both[kind_of_key].write_bytes(issued.server.fullchain_pem + issued.server.key_pem())
    crt_list = tmp_path / "crt.list"
    crt_list.write_text("# the list\nlisted.pem [alpn h2] *.listed.test !no.listed.test\nboth\n")
    text = stock.config.read_text().replace(
        "crt-base /etc/ssl/private", f"crt-base {tmp_path}/certs"
    )
    text = text.replace(f"crt {stock.pem}", f"crt www.pem crt {folder} crt-list {crt_list}")
    stock.config.write_text(text)
    with stock.serving():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(stock.folder / "admin.sock"))
            sock.sendall(b"show ssl cert\n")
            said = b""
            while piece := sock.recv(65536):
                said += piece
        read = examined(stock.kind())
    names = {line for line in said.decode().splitlines() if line.startswith("/")}
    assert {str(path) for path in read.loaded} == names
    sites = {site.name: site for site in read.sites}
    assert sites["*.listed.test"].server_name == "www.listed.test"
    assert sites["*.listed.test"].place.path == crt_list
    assert len(sites["both.test"].certificates) == 2
    assert {"localhost", "a.pem.test", "b.pem.test", "noext.test"} <= sites.keys()


def test_conditions_are_haproxys_own(tmp_path: Path, desk: Desk) -> None:
    stock = StockHAProxy(tmp_path, desk)
    text = stock.config.read_text()
    bind = next(line for line in text.splitlines() if line.split()[:1] == ["bind"])
    branches = (
        '.if version_atleast(2.4) && streq("$ROLE",front)\n' + bind + "\n.else\n"
        "\tbind 127.0.0.1:1 ssl crt /nowhere.pem\n.endif"
    )
    stock.config.write_text(text.replace(bind, branches))
    front = examined(stock.kind(environment={"ROLE": "front"}))
    assert [site.name for site in front.sites] == ["localhost"]
    assert front.troubles == ()
    back = examined(stock.kind(environment={}))
    assert back.sites == ()
    assert [one.code for one in back.troubles] == ["haproxy-certificate-unreadable"]
    assert asyncio.run(stock.kind(environment={"ROLE": "front"}).test()) == ()


def test_a_running_process_tells_its_environment(stock: StockHAProxy) -> None:
    text = stock.config.read_text()
    stock.config.write_text(text.replace(str(stock.pem), f'"${{CERTS}}/{stock.pem.name}"'))
    untold = examined(stock.kind(environment={}))
    assert [one.code for one in untold.troubles] == ["haproxy-variable-unset"]
    os.environ["CERTS"] = str(stock.pem.parent)
    try:
        with stock.serving():
            del os.environ["CERTS"]
            told = examined(stock.kind(environment=None))
            assert [site.name for site in told.sites] == ["localhost"]
    finally:
        os.environ.pop("CERTS", None)


def test_programs_that_are_not_haproxy(stock: StockHAProxy, tmp_path: Path) -> None:
    for program in ("/usr/bin/env", "/nowhere/haproxy"):
        kind = HAProxy(program=program, configs=[stock.config], pid_file=stock.pid_file)
        with pytest.raises(OperatorError):
            asyncio.run(kind.examine())
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 'HA-Proxy version 1.4.27 2016/03/14'\n")
    old.chmod(0o755)
    with pytest.raises(OperatorError, match=r"1\.4\.27 cannot staple"):
        asyncio.run(HAProxy(program=str(old), configs=[stock.config]).examine())
    with pytest.raises(OperatorError):
        asyncio.run(HAProxy(configs=[tmp_path / "gone.cfg"]).examine())


def test_files_that_are_not_looked_for_are_asked_for(stock: StockHAProxy, desk: Desk) -> None:
    """`ssl-load-extra-files none`: the smallest edit makes HAProxy look for `.ocsp` again."""
    text = stock.config.read_text()
    stock.config.write_text(text.replace("global\n", "global\n\tssl-load-extra-files none\n"))
    kind = stock.kind()
    with stock.serving():
        done = proposed(kind, native(stock, desk))
        apply(done.changes)
        assert "\tssl-load-extra-files ocsp\n" in stock.config.read_text()
        assert asyncio.run(kind.test()) == ()
        asyncio.run(kind.reload())
        assert stock.stapled(stock.folder)
        assert proposed(kind, native(stock, desk)).changes == ()


BROKEN: dict[
    str, Callable[[StockHAProxy], object]
] = {  # what is done to a stock configuration -> what the program's own words come to
    "certificate-unreadable": lambda stock: stock.pem.unlink(),
    "no-key": lambda stock: stock.pem.write_bytes(stock.desk.server.fullchain_pem),
    "ocsp-issuer-unknown": lambda stock: (
        stock.pem.write_bytes(stock.desk.server.pem + stock.desk.server.key_pem()),
        stock.pem.with_name("www.pem.ocsp").touch(),
    ),
    "issuer-unreadable": lambda stock: (
        stock.pem.write_bytes(stock.desk.server.pem + stock.desk.server.key_pem()),
        stock.pem.with_name("www.pem.ocsp").touch(),
        stock.pem.with_name("www.pem.issuer").write_bytes(CA.certificate.der),
    ),
    "too-old-for-update": lambda stock: stock.change("global\n", "global\n  ocsp-update.mode on\n"),
    "crt-list": lambda stock: stock.change(f"crt {stock.pem}", "crt-list /nowhere/list"),
    "unknown-keyword": lambda stock: stock.change("stats socket", "stas socket"),
    "socket": lambda stock: stock.change("mode 660 level", "mode 660 user nobody-here level"),
    "config-test": lambda stock: stock.change("mode\thttp", "mode\thtpt"),
    "bind-line": lambda stock: stock.change("ssl crt", "ssl verify sometimes crt"),
}


@pytest.mark.parametrize("code", BROKEN)
def test_each_refusal_of_the_real_program_has_place_and_cure(
    code: str, stock: StockHAProxy
) -> None:
    kind = stock.kind()
    assert asyncio.run(kind.test()) == ()
    BROKEN[code](stock)
    told = asyncio.run(kind.test())
    assert [one.code for one in told] == [f"haproxy-{code}"]
    assert told[0].fatal
    assert told[0].hint
    assert told[0].place is not None
    assert told[0].place.path == stock.config


def test_a_socket_that_cannot_be_made_is_told_by_the_refused_reload(stock: StockHAProxy) -> None:
    """Its own test passes: only binding shows it. The old process serves on."""
    with stock.serving():
        stock.change(f"{stock.folder}/admin.sock", f"{stock.folder}/gone/admin.sock")
        kind = stock.kind()
        assert asyncio.run(kind.test()) == ()
        with pytest.raises(DeliveryError, match="went on with its old configuration"):
            asyncio.run(kind.reload())
        stock.status(stock.folder)
