"""Setup's Apache on Debian's real Apache, from its stock layout: proposals applied by hand, judged
by `apache2 -t`, handshakes and the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtensionOID

from holdfast.errors import DeliveryError, OperatorError
from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.lab.setting import Setting
from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import Server, serve
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from holdfast.pki.pem import encode_certificates
from holdfast.setup.apache import Apache
from holdfast.setup.words import Configuration, Keeper, KeeperNeed, Proposal, Trouble, Wish
from support.pki import a_root, a_server, private
from support.ports import free_port
from support.servers.stock_apache import StockApache, changed
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, openssl, roots_file, run

SITE = """Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
\tServerName {name}
\tSSLEngine on
\tSSLCertificateFile {chain}
\tSSLCertificateKeyFile {key}
{more}</VirtualHost>
"""


class World:
    """A CA with a responder, and a stock Apache."""

    def __init__(self, loop: Loop, folder: Path, *, tls: bool = True) -> None:
        self.folder, self.loop = folder, loop
        self.ca: Authority = a_ca()
        self.responder = LabResponder(Forge(self.ca, at=NOW))
        loop.run(self.responder.start())
        self.issued = self.issue("localhost")
        self.apache = StockApache(self.issued, tls=tls)

    def issue(
        self, *names: str, ca: Authority | None = None, key_type: str = "ecdsa-p256"
    ) -> Issued:
        return a_server(
            ca or self.ca,
            *names,
            at=YESTERDAY,
            key_type=key_type,
            responder_urls=[self.responder.url],
        )

    def examine(self, kind: Apache | None = None) -> Configuration:
        return self.loop.run((kind or self.apache.kind()).examine())

    def propose(
        self, wish: Wish | None = None, *, kind: Apache | None = None, **issuers: object
    ) -> Proposal:
        kind = kind or self.apache.kind()
        given: dict[str, tuple[Certificate, ...]] = issuers  # type: ignore[assignment]
        return kind.propose(self.examine(kind), wish or Wish(), issuers=given)

    def set_up(self, wish: Wish | None = None, **issuers: object) -> Proposal:
        """Propose, apply, test, reload; and the same again proposes nothing."""
        kind = self.apache.kind()
        proposal = self.propose(wish, kind=kind, **issuers)
        self.apache.apply(proposal)
        assert self.loop.run(kind.test()) == (), self.apache.test()
        if self.loop.run(kind.running()):
            self.loop.run(kind.reload(restart=proposal.restart))
        assert self.propose(wish, **issuers).changes == ()
        return proposal

    def stapled(self, port: int = 0, *, name: str = "localhost") -> bool:
        """Whether one handshake gets a staple: mod_ssl fetches it within the first."""
        _, said = openssl(port or self.apache.port, roots_file(self.ca, self.folder), name=name)
        return "OCSP Response Status: successful" in said and "Cert Status: good" in said

    def add(self, name: str, issued: Issued, *, more: str = "", chain: bytes | None = None) -> int:
        port = free_port()
        path = self.apache.certificate(name, issued, chain=chain)
        text = SITE.format(
            port=port, name=name, chain=path, key=path.with_suffix(".key"), more=more
        )
        self.apache.site(name, text)
        return port

    def keeper(self) -> tuple[Server, list[bytes]]:
        """What answers at a keeper's /ocsp, and the paths that it was asked at."""
        asked: list[bytes] = []

        def answer(request: Request) -> Reply:
            asked.append(request.path)
            der = self.responder.forge.body(request.body, Setting(), at=NOW)
            return Reply(200, der, ((b"Content-Type", b"application/ocsp-response"),))

        return self.loop.run(serve("127.0.0.1", 0, answer)), asked

    def close(self) -> None:
        self.apache.remove()
        self.loop.run(self.responder.close())


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@pytest.fixture
def world(loop: Loop, tmp_path: Path) -> Iterator[World]:
    world = World(loop, tmp_path)
    yield world
    world.close()


@pytest.fixture
def bare(loop: Loop, tmp_path: Path) -> Iterator[World]:
    """mod_ssl is not enabled."""
    world = World(loop, tmp_path, tls=False)
    yield world
    world.close()


def codes(troubles: tuple[Trouble, ...]) -> list[str]:
    return [one.code for one in troubles]


def test_the_stock_site_staples_by_itself_after_one_proposal(world: World) -> None:
    before = world.apache.everything()
    with world.apache as apache:
        assert not world.stapled()
        proposal = world.set_up()
        assert world.stapled()
        assert "AH02217" not in apache.log.read_text()
    (site,) = proposal.proved
    assert (site.name, site.listens) == (f"*:{apache.port}", (("127.0.0.1", apache.port),))
    assert site.stapling == "mod_ssl, by itself"
    after = world.apache.everything()
    assert after.keys() == before.keys()
    different = [path for path in after if after[path] != before[path]]
    assert different == [path for path in after if path in {apache.ssl_conf, apache.default}]
    ssl_conf, added = str(before[apache.ssl_conf], "utf-8"), apache.ssl_conf.read_text()  # type: ignore[call-overload]
    beside = "SSLSessionCacheTimeout  300\n"
    assert added == ssl_conf.replace(
        beside,
        beside + "SSLStaplingCache shmcb:${APACHE_RUN_DIR}/ssl_stapling(128000)\n"
        "SSLStaplingResponderTimeout 5\n"
        "SSLStaplingReturnResponderErrors off\n"
        "SSLStaplingFakeTryLater off\n",
    )
    default = str(before[apache.default], "utf-8")  # type: ignore[call-overload]
    key = next(line for line in default.splitlines(keepends=True) if "\tSSLCertificateKey" in line)
    assert apache.default.read_text() == default.replace(key, key + "\tSSLUseStapling on\n")
    world.apache.take_back(proposal)
    assert world.apache.everything() == before


def test_without_mod_ssl_nothing_is_changed_unless_it_is_to_be_mended(bare: World) -> None:
    told = bare.propose()
    assert (told.changes, codes(told.troubles)) == ((), ["apache-mod-ssl-missing"])
    assert told.troubles[0].fatal
    assert told.troubles[0].mendable
    default = bare.apache.conf / "sites-enabled" / "default-ssl.conf"
    default.unlink()  # with it Apache would not start
    with bare.apache:
        default.symlink_to("../sites-available/default-ssl.conf")
        proposal = bare.set_up(Wish(mend=True))
        assert bare.stapled()
    links = {c.path.name: c.link for c in proposal.changes if c.link is not None}
    assert links == {
        name: f"../mods-available/{name}" for name in ("ssl.load", "ssl.conf", "socache_shmcb.load")
    }
    assert codes(proposal.mended) == ["apache-mod-ssl-missing"]


def test_with_the_keeper_apache_asks_it_and_nobody_else(world: World) -> None:
    server, asked = world.keeper()
    keeper = Keeper(settings=None, state=Path("/var/lib/holdfast"), listen=("0.0.0.0", server.port))
    with world.apache as apache:
        proposal = world.set_up(Wish(mode="keeper", keeper=keeper))
        assert world.stapled()
        assert asked == [b"/ocsp"]
        assert not world.responder.log
        added = apache.ssl_conf.read_text()
        assert f"SSLStaplingForceURL http://127.0.0.1:{server.port}/ocsp\n" in added
    world.loop.run(server.close())
    assert "SSLStaplingStandardCacheTimeout 20\n" in added
    assert proposal.needs == (
        KeeperNeed(
            name="localhost",
            chain=apache.chain,
            kind="apache",
            keys={"cache_timeout": "20s"},
        ),
    )


def test_a_keeper_that_listens_nowhere_changes_nothing(world: World) -> None:
    keeper = Keeper(settings=None, state=Path("/var/lib/holdfast"))
    told = world.propose(Wish(mode="keeper", keeper=keeper))
    assert (told.changes, codes(told.troubles)) == ((), ["apache-keeper-not-listening"])


def test_only_the_chosen_site_is_wired_to_the_keeper(world: World) -> None:
    port = world.add("api.test", world.issue("api.test"))
    server, _ = world.keeper()
    keeper = Keeper(
        settings=None, state=Path("/var/lib/holdfast"), listen=("127.0.0.1", server.port)
    )
    with world.apache as apache:
        proposal = world.set_up(Wish(mode="keeper", keeper=keeper, sites=("api.test",)))
        assert world.stapled(port, name="api.test")
        assert not world.stapled()
        assert changed(proposal).keys() == {"api.test.conf", "ssl.conf"}
        assert "ForceURL" not in apache.ssl_conf.read_text()
        world.set_up()
        assert world.stapled()
        assert world.stapled(port, name="api.test")
    world.loop.run(server.close())


def test_an_incomplete_chain_is_completed_and_then_stapled(world: World) -> None:
    world.apache.chain.write_bytes(encode_certificates([world.issued.certificate]).rstrip(b"\n"))
    name = f"*:{world.apache.port}"
    with world.apache:
        told = world.propose()
        assert codes(told.troubles) == ["apache-issuer-missing"]
        assert (told.changes, told.proved) == ((), ())
        world.set_up(**{name: (world.ca.certificate, world.ca.root)})
        assert world.stapled()
    whole = encode_certificates([world.issued.certificate, world.ca.certificate])
    assert world.apache.chain.read_bytes() == whole, "without the root, which clients have"


@pytest.mark.parametrize("whole", [False, True], ids=["leaf alone", "issuer in the wrong file"])
def test_the_issuer_goes_into_the_chain_file_where_there_is_one(world: World, whole: bool) -> None:
    """mod_ssl looks there alone, even when the certificate's own file has the issuer."""
    other = world.folder / "other.pem"
    other.write_bytes(encode_certificates([a_root("Other", at=YESTERDAY).certificate]))
    chain = [world.issued.certificate, *([world.ca.certificate] if whole else [])]
    world.apache.chain.write_bytes(encode_certificates(chain))
    before = world.apache.chain.read_bytes()
    text = world.apache.default.read_text()
    key = next(line for line in text.splitlines(keepends=True) if "\tSSLCertificateKey" in line)
    more = f"{key}\tSSLCertificateChainFile {other}\n\tSSLUseStapling on\n"
    world.apache.default.write_text(text.replace(key, more))
    put(world.apache.ssl_conf, TIMEOUT, TIMEOUT + f"SSLStaplingCache {SHMCB}\n")
    name = f"*:{world.apache.port}"
    with world.apache:
        assert not world.stapled()
        assert "AH02217" in world.apache.log.read_text()
        proposal = world.set_up(**{name: (world.ca.certificate,)})
        assert world.stapled()
        assert changed(proposal).keys() == {"other.pem", "ssl.conf"}
        assert world.apache.chain.read_bytes() == before


def a_client(ca: Authority, name: str) -> Issued:
    """Without extended key usage, which is any."""
    return a_server(ca, name, at=YESTERDAY, omit=[ExtensionOID.EXTENDED_KEY_USAGE])


class MutualTLS:
    """A site that lets clients of one CA in, and clients of its own certificate's CA not."""

    def __init__(self, world: World) -> None:
        self._folder = world.folder
        self.clients = a_root("Clients", at=YESTERDAY)
        self.trusted = world.folder / "clients.pem"
        self.trusted.write_bytes(encode_certificates([self.clients.certificate]))
        issued = world.issue("mutual.test")
        self.port = world.add(
            "mutual.test",
            issued,
            more=f"\tSSLVerifyClient require\n\tSSLVerifyDepth 3\n"
            f"\tSSLCACertificateFile {self.trusted}\n",
            chain=encode_certificates([issued.certificate]),
        )
        self.own = self._client("own", a_client(self.clients, "alice"))
        self.foreign = self._client("foreign", a_client(world.ca, "mallory"))

    def _client(self, name: str, issued: Issued) -> tuple[Path, Path]:
        chain = self._folder / f"{name}.pem"
        chain.write_bytes(issued.fullchain_pem)
        return chain, private(self._folder / f"{name}.key", issued.key_pem())

    def answer(self, client: tuple[Path, Path]) -> str:
        """The HTTP status, "" for a handshake that failed."""
        _, said = run(
            [
                *("curl", "-s", "-k", "--cert", client[0], "--key", client[1]),
                *("--resolve", f"mutual.test:{self.port}:127.0.0.1", "-o", "/dev/null"),
                *("-w", "%{http_code}", f"https://mutual.test:{self.port}/"),
            ]
        )
        return "" if said == "000" else said


def test_mutual_tls_refuses_the_same_foreign_client_before_and_after(world: World) -> None:
    """The chain lacked its issuer, and still no anchor goes into that scope."""
    site = MutualTLS(world)
    with world.apache:
        assert (site.answer(site.own), site.answer(site.foreign)) == ("200", "")
        (found,) = (one for one in world.examine().sites if one.name == "mutual.test")
        assert found.verifies_clients
        world.set_up(**{"mutual.test": (world.ca.certificate, world.ca.root)})
        client = ("-cert", site.own[0], "-key", site.own[1])
        _, said = openssl(
            site.port, roots_file(world.ca, world.folder), *client, name="mutual.test"
        )
        assert "OCSP Response Status: successful" in said
        assert (site.answer(site.own), site.answer(site.foreign)) == ("200", "")
    assert site.trusted.read_bytes() == encode_certificates([site.clients.certificate])


def test_the_line_that_guides_give_would_let_the_foreign_client_in(world: World) -> None:
    """The red twin: the issuer in SSLCACertificateFile staples, and opens the site."""
    site = MutualTLS(world)
    more = [site.clients.certificate, world.ca.certificate, world.ca.root]
    site.trusted.write_bytes(encode_certificates(more))
    with world.apache:
        world.set_up()
        assert site.answer(site.foreign) == "200"


# -- broken starting points --------------------------------------------------------------------


def put(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


ENGINE = "\tSSLEngine on\n"
TIMEOUT = "SSLSessionCacheTimeout  300\n"
SHMCB = "shmcb:${APACHE_RUN_DIR}/ssl_stapling(128000)"
BROKEN = {
    "apache-directive-misspelled": ("ssl", f"SSLStaplingCahe {SHMCB}\n"),
    "apache-cache-stray-space": ("ssl", f"SSLStaplingCache {SHMCB.replace(':', ': ')}\n"),
    "apache-cache-in-virtual-host": ("site", f"\tSSLStaplingCache {SHMCB}\n"),
    "apache-value-wrong": ("site", "\tSSLUseStapling =on\n"),
    "apache-stapling-in-directory": (
        "site",
        '\t<Directory "/var/www">\n\t\tSSLUseStapling on\n\t</Directory>\n',
    ),
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_start_is_named_with_its_line_and_mended(world: World, code: str) -> None:
    where, line = BROKEN[code]
    apache = world.apache
    path, anchor = (apache.ssl_conf, TIMEOUT) if where == "ssl" else (apache.default, ENGINE)
    put(path, anchor, anchor + line)
    assert apache.test()[0] != 0
    kind = apache.kind()
    configuration = world.examine(kind)
    (trouble,) = (one for one in configuration.troubles if one.code == code)
    (said,) = world.loop.run(kind.test())
    assert (said.code, said.place and said.place.line) == (code, _line_of(path, line))
    assert trouble.place is not None
    assert (trouble.place.line, trouble.fatal, trouble.mendable) == (
        _line_of(path, line),
        True,
        True,
    )
    assert Path(trouble.place.path).resolve() == path
    assert world.propose().changes == ()
    proposal = world.set_up(Wish(mend=True))
    assert code in codes(proposal.mended)
    with apache:
        assert world.stapled()


def _line_of(path: Path, line: str) -> int:
    wanted = next(one for one in line.splitlines() if "SSL" in one)
    return path.read_text().splitlines().index(wanted) + 1


def test_stapling_without_a_cache_is_mended_by_setting_it_up(world: World) -> None:
    """The configuration test passes, and Apache would not start."""
    put(world.apache.default, ENGINE, ENGINE + "\tSSLUseStapling on\n")
    assert world.apache.test()[0] == 0
    assert codes(world.examine().troubles) == ["apache-no-cache"]
    proposal = world.set_up()
    assert codes(proposal.mended) == ["apache-no-cache"]
    with world.apache:
        assert world.stapled()


def test_an_https_responder_is_mended(world: World) -> None:
    url = world.responder.url
    put(
        world.apache.ssl_conf,
        TIMEOUT,
        f"{TIMEOUT}SSLStaplingForceURL {url.replace('http:', 'https:')}\n",
    )
    assert codes(world.examine().troubles) == ["apache-https-responder"]
    world.set_up(Wish(mend=True))
    assert f"SSLStaplingForceURL {url}\n" in world.apache.ssl_conf.read_text()
    with world.apache:
        assert world.stapled()


def test_a_missing_cache_module_is_linked(world: World) -> None:
    (world.apache.conf / "mods-enabled" / "socache_shmcb.load").unlink()
    put(world.apache.ssl_conf, "SSLSessionCache     shmcb", "#SSLSessionCache     shmcb")
    assert codes(world.examine().troubles) == ["apache-cache-module-missing"]
    world.set_up(Wish(mend=True))
    with world.apache:
        assert world.stapled()


def test_dbm_where_shmcb_is_not(world: World) -> None:
    (world.apache.conf / "mods-enabled" / "socache_shmcb.load").unlink()
    world.apache.enable("mods", "socache_dbm.load")
    put(world.apache.ssl_conf, "SSLSessionCache     shmcb", "#SSLSessionCache     shmcb")
    world.set_up()
    assert "SSLStaplingCache dbm:${APACHE_RUN_DIR}/ssl_stapling\n" in (
        (world.apache.conf / "apache2.conf").read_text()
    )
    with world.apache:
        assert world.stapled()


def test_a_missing_certificate_forbids_everything(world: World) -> None:
    world.apache.chain.unlink()
    told = world.propose()
    assert codes(told.troubles) == ["apache-certificate-missing"]
    assert told.changes == ()
    kind = world.apache.kind()
    (said,) = world.loop.run(kind.test())
    assert said.code == "apache-certificate-missing"


def test_no_responder_url_is_told_and_dead_lines_are_pruned(world: World) -> None:
    silent = a_server(world.ca, "localhost", at=YESTERDAY)
    world.apache.certificate("www", silent)
    before = world.apache.everything()
    told = world.propose()
    assert (told.changes, codes(told.troubles)) == ((), ["no-responder"])
    put(world.apache.default, ENGINE, ENGINE + "\tSSLUseStapling on\n")
    put(world.apache.ssl_conf, TIMEOUT, TIMEOUT + f"SSLStaplingCache {SHMCB}\n")
    kind = world.apache.kind()
    with world.apache:
        configuration = world.examine(kind)
        begun = kind.log_mark()
        world.loop.run(kind.reload())
        found = {one.code: one for one in kind.log_since(begun)}
        assert found.keys() == {"no-responder", "apache-certificate-not-stapled"}
        (line,) = kind.dead_lines(configuration, configuration.sites[0])
        assert line.endswith(": SSLUseStapling on")
        world.set_up(Wish(prune=True))
    assert world.apache.everything() == before


def test_a_start_that_apache_dies_of_is_explained_and_apache_started_again(world: World) -> None:
    kind = world.apache.kind()
    with world.apache:
        world.examine(kind)
        begun = kind.log_mark()
        before = world.apache.default.read_text()
        put(world.apache.default, ENGINE, ENGINE + "\tSSLUseStapling on\n")
        assert world.loop.run(kind.test()) == ()
        with pytest.raises(DeliveryError, match="AH01958"):
            world.loop.run(kind.reload())
        fatal = [one.code for one in kind.log_since(begun) if one.fatal]
        assert fatal == ["apache-no-cache", "apache-mod-ssl-fatal"]
        assert not world.loop.run(kind.running())
        with pytest.raises(DeliveryError, match="not running"):
            world.loop.run(kind.reload())
        with pytest.raises(DeliveryError, match="does not start"):
            world.loop.run(kind.reload(restart=True))
        world.apache.default.write_text(before)
        world.loop.run(kind.reload(restart=True))
        assert world.loop.run(kind.running())
        assert openssl(world.apache.port, roots_file(world.ca, world.folder))[0] == 0


def test_the_issuer_that_is_missing_is_told_by_the_log_with_the_site(world: World) -> None:
    world.apache.chain.write_bytes(encode_certificates([world.issued.certificate]))
    put(world.apache.default, ENGINE, ENGINE + "\tSSLUseStapling on\n\tServerName localhost\n")
    put(world.apache.ssl_conf, TIMEOUT, TIMEOUT + f"SSLStaplingCache {SHMCB}\n")
    kind = world.apache.kind()
    with world.apache:
        world.examine(kind)
        begun = kind.log_mark()
        world.loop.run(kind.reload())
        found = {one.code: one for one in kind.log_since(begun)}
    assert found.keys() == {"apache-issuer-missing", "apache-certificate-not-stapled"}
    assert found["apache-issuer-missing"].said.startswith("AH02217: ssl_stapling_init_cert")
    place = found["apache-certificate-not-stapled"].place
    assert place is not None, found
    assert place.path.name == "default-ssl.conf"


def test_a_reload_serves_the_new_configuration_when_it_returns(world: World) -> None:
    kind = world.apache.kind()
    with world.apache:
        world.examine(kind)
        for number in range(3):
            issued = world.issue("localhost", key_type="rsa-2048" if number % 2 else "ecdsa-p256")
            world.apache.certificate("www", issued)
            world.loop.run(kind.reload())
            _, said = openssl(world.apache.port, roots_file(world.ca, world.folder))
            assert issued.certificate in _sent(said)


def _sent(said: str) -> tuple[Certificate, ...]:
    from holdfast.pki.pem import certificates

    return certificates(said.encode())


def test_another_program_is_no_apache(world: World) -> None:
    with pytest.raises(OperatorError, match="does not say which Apache"):
        world.examine(world.apache.kind(program="/bin/echo"))
    with pytest.raises(OperatorError, match="no program nonesuch"):
        world.examine(world.apache.kind(program="nonesuch"))


def test_the_settled_site_waits_no_longer_than_five_seconds(world: World) -> None:
    """A responder that hangs is a handshake of 10 s by default, and tryLater in the end."""
    world.loop.run(world.responder.change({"fault": "hang"}))
    with world.apache:
        world.set_up()
        begun = time.monotonic()
        _, said = openssl(world.apache.port, roots_file(world.ca, world.folder))
        assert timedelta(seconds=time.monotonic() - begun) < timedelta(seconds=9)
        assert "OCSP response: no response sent" in said
