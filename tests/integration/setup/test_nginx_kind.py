"""Setup's nginx on Debian's real nginx, from its stock layout: proposals applied by hand, judged by
`nginx -t`, handshakes and the log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtensionOID

from holdfast.errors import DeliveryError
from holdfast.lab.forge import Forge
from holdfast.lab.responder import LabResponder
from holdfast.lab.setting import Setting
from holdfast.net.http_message import Reply, Request
from holdfast.net.http_server import Server, serve
from holdfast.ocsp.http import decode_get_path
from holdfast.ocsp.sign import Signer
from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Authority, Issued
from holdfast.pki.pem import encode_certificates
from holdfast.setup.nginx import Nginx
from holdfast.setup.words import Configuration, Keeper, Proposal, Wish
from support.pki import a_root, a_server, a_signer, an_intermediate, private
from support.ports import free_port
from support.servers.handshakes import staple_shown
from support.servers.nginx import Nginx as KeptNginx
from support.servers.stock_nginx import StockNginx
from support.staples import a_desk
from support.tls_world import NOW, YESTERDAY, Loop, a_ca, openssl, roots_file, run

SITE = """server {{
\tlisten 127.0.0.1:{port} ssl;
\tserver_name {name};
\tssl_certificate     {chain};
\tssl_certificate_key {key};
{more}\tlocation / {{ return 200 "in\\n"; }}
}}
"""


class World:
    """A CA with a responder that a delegated signer signs for, and a stock nginx."""

    def __init__(self, folder: Path, loop: Loop, *, delegated: bool = True) -> None:
        self.folder, self.loop = folder, loop
        self.ca: Authority = a_ca()
        signer = None
        if delegated:
            one = a_signer(self.ca, at=YESTERDAY)
            signer = Signer(certificate=one.certificate, key=one.key, issuer=self.ca.certificate)
        self.responder = LabResponder(Forge(self.ca, at=NOW, signer=signer))
        loop.run(self.responder.start())
        self.issued = self.issue("localhost")
        self.nginx = StockNginx(folder, self.issued)

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

    @property
    def root(self) -> Certificate:
        return self.ca.root

    def bundle(self) -> Path:
        """A distribution's bundle of roots, with ours and another."""
        path = self.folder / "bundle.pem"
        path.write_bytes(
            encode_certificates([a_root("Other", at=YESTERDAY).certificate, self.root])
        )
        return path

    def examine(self, kind: Nginx) -> Configuration:
        return self.loop.run(kind.examine())

    def propose(self, kind: Nginx, wish: Wish | None = None, **issuers: object) -> Proposal:
        given: dict[str, tuple[Certificate, ...]] = issuers  # type: ignore[assignment]
        return kind.propose(self.examine(kind), wish or Wish(), issuers=given)

    def set_up(self, kind: Nginx, wish: Wish | None = None, **issuers: object) -> Proposal:
        """Propose, apply, test, reload; and the same again proposes nothing."""
        proposal = self.propose(kind, wish, **issuers)
        self.nginx.apply(proposal)
        assert self.loop.run(kind.test()) == (), self.nginx.test()
        if self.loop.run(kind.running()):
            self.loop.run(kind.reload())
        assert self.propose(kind, wish, **issuers).changes == ()
        return proposal

    def stapled(self, port: int = 0, *, name: str = "localhost") -> bool:
        """Whether the handshakes get staples: nginx's native way leaves the first of each worker
        without, and several workers want some patience."""
        roots = roots_file(self.ca, self.folder)
        ends = time.monotonic() + 15
        while time.monotonic() < ends:
            _, said = openssl(port or self.nginx.port, roots, name=name)
            if "OCSP Response Status: successful" in said and "Cert Status: good" in said:
                return True
            time.sleep(0.1)
        return False

    def keeper(self) -> Server:
        """What answers at a keeper's /ocsp."""

        def answer(request: Request) -> Reply:
            asked = decode_get_path(request.path, b"/ocsp")
            der = self.responder.forge.body(asked, Setting(), at=NOW)
            return Reply(200, der, ((b"Content-Type", b"application/ocsp-response"),))

        return self.loop.run(serve("127.0.0.1", 0, answer))

    def close(self) -> None:
        self.loop.run(self.responder.close())


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.stop()


@pytest.fixture
def world(tmp_path: Path, loop: Loop) -> Iterator[World]:
    world = World(tmp_path, loop)
    yield world
    world.close()


def the_changes(proposal: Proposal) -> dict[str, str]:
    return {change.path.name: (change.after or b"").decode() for change in proposal.changes}


def test_the_stock_site_staples_by_itself_after_one_proposal(world: World) -> None:
    """Native: two lines and the root, in the site's own file, through its link."""
    other = world.folder / "other.pem"
    other.write_bytes(encode_certificates([a_root("Another", at=YESTERDAY).certificate]))
    kind = world.nginx.kind(roots=[world.folder / "none.pem", other, world.bundle()])
    before = world.nginx.default.read_text()
    with world.nginx:
        assert not _staple_at_once(world)
        proposal = world.set_up(kind)
        assert [site.name for site in proposal.proved] == [f"127.0.0.1:{world.nginx.port}"]
        assert world.stapled()
        assert "OCSP_basic_verify" not in world.nginx.log.read_text()
    enabled = world.nginx.conf / "sites-enabled" / "default"
    assert enabled.is_symlink()
    root_file = world.nginx.conf / f"holdfast-127.0.0.1_{world.nginx.port}-root.pem"
    added = (
        f"\tssl_stapling on;\n\tssl_trusted_certificate {root_file};\n\tssl_stapling_verify on;\n"
    )
    line = "\tinclude snippets/snakeoil.conf;\n"
    assert world.nginx.default.read_text() == before.replace(line, line + added)
    assert root_file.read_bytes() == encode_certificates([world.root])


def test_without_the_root_nginx_would_throw_the_response_away(world: World) -> None:
    """The red twin: verification without trust is no staple, and the log is explained."""
    text = world.nginx.default.read_text()
    line = "\tinclude snippets/snakeoil.conf;\n"
    more = "\tssl_stapling on;\n\tssl_stapling_verify on;\n"
    world.nginx.default.write_text(text.replace(line, line + more))
    kind = world.nginx.kind()
    configuration = world.examine(kind)
    (trouble,) = configuration.troubles
    assert trouble.code == "nginx-verify-without-trust"
    assert str(trouble.place).endswith(f"default:{text.splitlines().index(line[:-1]) + 3}")
    with world.nginx:
        mark = kind.log_mark()
        assert not _staple_within(world, 2.0)
        codes = {one.code for one in kind.log_since(mark)}
        assert codes == {"nginx-response-unverified"}
        proposal = world.set_up(world.nginx.kind(roots=[world.bundle()]))
        assert proposal.changes
        assert world.stapled()


def test_a_root_that_nobody_knows_leaves_verification_out(world: World) -> None:
    kind = world.nginx.kind()
    with world.nginx:
        proposal = world.set_up(kind)
        assert [one.code for one in proposal.troubles] == ["nginx-verify-left-out"]
        assert "ssl_stapling_verify" not in world.nginx.default.read_text()
        assert world.stapled()


def test_an_incomplete_chain_is_completed_and_then_stapled(world: World) -> None:
    world.nginx.chain.write_bytes(encode_certificates([world.issued.certificate]).rstrip(b"\n"))
    kind = world.nginx.kind()
    name = f"127.0.0.1:{world.nginx.port}"
    with world.nginx:
        told = world.propose(kind)
        assert [one.code for one in told.troubles] == ["nginx-issuer-missing"]
        assert (told.changes, told.proved) == ((), ())
        world.set_up(kind, **{name: (world.ca.certificate, world.root)})
        assert world.stapled()
    whole = encode_certificates([world.issued.certificate, world.ca.certificate])
    assert world.nginx.chain.read_bytes() == whole, "without the root, which clients have"


def a_client(ca: Authority, name: str) -> Issued:
    """Without extended key usage, which is any."""
    return a_server(ca, name, at=YESTERDAY, omit=[ExtensionOID.EXTENDED_KEY_USAGE])


class MutualTLS:
    """A site that lets clients of one CA in, and clients of its own certificate's CA not."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients = a_root("Clients", at=YESTERDAY)
        self.port = free_port()
        trusted = world.folder / "ssl" / "clients.pem"
        trusted.write_bytes(encode_certificates([self.clients.certificate]))
        chain = world.nginx.certificate("api", world.issue("api.test", "localhost"))
        self.chain = chain
        self.path = world.nginx.site(
            "api",
            SITE.format(
                port=self.port,
                name="api.test",
                chain=chain,
                key=chain.with_suffix(".key"),
                more=f"\tssl_verify_client on;\n\tssl_client_certificate {trusted};\n",
            ),
        )
        self.own = self._client("own", a_client(self.clients, "alice"))
        self.foreign = self._client("foreign", a_client(world.ca, "mallory"))

    def _client(self, name: str, issued: Issued) -> tuple[Path, Path]:
        place = self.world.folder / f"{name}.pem"
        place.write_bytes(issued.fullchain_pem)
        return place, private(self.world.folder / f"{name}.key", issued.key_pem())

    def answer(self, client: tuple[Path, Path]) -> str:
        code, said = run(
            [
                *("curl", "-sS", "-k", "--cert", client[0], "--key", client[1]),
                *("--resolve", f"api.test:{self.port}:127.0.0.1"),
                f"https://api.test:{self.port}/",
            ]
        )
        return said if code == 0 else f"curl {code}: {said}"


def test_mutual_tls_lets_nobody_more_in(world: World) -> None:
    """The chain is whole and the root known, and still no anchor goes into that scope: a client of
    the site's own CA is refused before and after."""
    site = MutualTLS(world)
    kind = world.nginx.kind(roots=[world.bundle()])
    with world.nginx:
        assert site.answer(site.own) == "in\n"
        refused = site.answer(site.foreign)
        assert "400 Bad Request" in refused
        proposal = world.set_up(kind, Wish(sites=("api.test",)))
        assert [one.code for one in proposal.troubles] == ["nginx-verify-left-out"]
        assert "let in" in proposal.troubles[0].message
        assert the_changes(proposal).keys() == {"api"}
        assert "ssl_trusted_certificate" not in site.path.read_text()
        assert world.stapled(site.port, name="api.test")
        assert site.answer(site.foreign) == refused
        assert site.answer(site.own) == "in\n"


def test_the_line_that_guides_give_would_let_the_foreign_client_in(world: World) -> None:
    """The red twin's attack: what setup must never write."""
    site = MutualTLS(world)
    line = f"\tssl_trusted_certificate {world.bundle()};\n\tlocation"
    site.path.write_text(site.path.read_text().replace("\tlocation", line))
    with world.nginx:
        assert site.answer(site.foreign) == "in\n"


def test_mutual_tls_with_an_incomplete_chain_lets_nobody_more_in(world: World) -> None:
    site = MutualTLS(world)
    leaf = site.chain.read_bytes().split(b"-----END CERTIFICATE-----\n")[0]
    site.chain.write_bytes(leaf + b"-----END CERTIFICATE-----\n")
    kind = world.nginx.kind(roots=[world.bundle()])
    with world.nginx:
        refused = site.answer(site.foreign)
        world.set_up(
            kind,
            Wish(sites=("api.test",)),
            **{"api.test": (world.ca.certificate, world.root)},
        )
        assert world.stapled(site.port, name="api.test")
        assert site.answer(site.foreign) == refused
        assert "400 Bad Request" in refused


def test_mutual_tls_may_verify_where_its_clients_come_from_the_same_root(world: World) -> None:
    """Then nginx has the root anyway."""
    site = MutualTLS(world)
    trusted = world.folder / "ssl" / "clients.pem"
    trusted.write_bytes(encode_certificates([site.clients.certificate, world.root]))
    with world.nginx:
        proposal = world.set_up(world.nginx.kind(), Wish(sites=("api.test",)))
        assert proposal.troubles == ()
        assert "\tssl_stapling on;\n\tssl_stapling_verify on;\n" in site.path.read_text()
        assert world.stapled(site.port, name="api.test")


def test_a_response_of_the_issuer_itself_verifies_without_a_root(
    tmp_path: Path, loop: Loop
) -> None:
    """OCSP_TRUSTOTHER: told by the response that was fetched just now."""
    world = World(tmp_path, loop, delegated=False)
    try:
        der = a_desk("localhost", ca=world.ca, at=YESTERDAY).response(NOW).der
        wish = Wish(responses={str(world.nginx.chain): der})
        with world.nginx:
            proposal = world.set_up(world.nginx.kind(), wish)
            assert proposal.troubles == ()
            text = world.nginx.default.read_text()
            assert "ssl_stapling_verify on;" in text
            assert "ssl_trusted_certificate" not in text
            assert world.stapled()
    finally:
        world.close()


def test_the_keepers_way_is_one_line_and_taken_back_byte_for_byte(world: World) -> None:
    """Keeper mode, then native again: the keeper's include goes."""
    nginx = world.nginx
    before = nginx.everything()
    folder = nginx.conf / "holdfast"
    folder.mkdir()
    kind = nginx.kind()
    keeper = Keeper(settings=None, state=world.folder / "state", listen=("127.0.0.1", 9120))
    wish = Wish(mode="keeper", keeper=keeper)
    with nginx:
        proposal = world.set_up(kind, wish)
        (need,) = proposal.needs
        assert need.kind == "nginx"
        assert need.chain == nginx.chain
        assert need.keys["include"] == f"{folder}/{{name}}.conf"
        assert need.keys["prove"] == f"127.0.0.1:{nginx.port}"
        line = f"\tinclude {folder}/{need.name}.conf*;\n"
        assert line in nginx.default.read_text()
        staple = a_desk("localhost", ca=world.ca, at=YESTERDAY)
        der = staple.response(NOW - timedelta(hours=1)).der
        (folder / f"{need.name}.der").write_bytes(der)
        include = folder / f"{need.name}.conf"
        include.write_text(f"ssl_stapling on;\nssl_stapling_file {folder}/{need.name}.der;\n")
        assert world.propose(kind, wish).changes == (), "what the keeper wrote is not touched"
        world.loop.run(kind.reload())
        assert world.loop.run(staple_shown(nginx.port)) == der
        world.set_up(kind)
        text = nginx.default.read_text()
        assert "holdfast/" not in text
        assert "\tssl_stapling on;\n" in text
        assert world.stapled()
    nginx.default.write_text(text.replace("\tssl_stapling on;\n", ""))
    include.unlink()
    (folder / f"{need.name}.der").unlink()
    assert nginx.everything() == before


def test_a_block_with_two_certificates_asks_the_keeper(world: World) -> None:
    nginx = world.nginx
    rsa = nginx.certificate("rsa", world.issue("localhost", key_type="rsa-2048"))
    snippet = nginx.conf / "snippets" / "snakeoil.conf"
    more = f"ssl_certificate {rsa};\nssl_certificate_key {rsa.with_suffix('.key')};\n"
    snippet.write_text(snippet.read_text() + more)
    kind = nginx.kind()
    deaf = world.propose(kind, Wish(mode="keeper", keeper=Keeper(settings=None, state=nginx.conf)))
    assert [(one.code, one.fatal) for one in deaf.troubles] == [
        ("nginx-keeper-not-listening", True)
    ]
    assert deaf.changes == ()
    relay = world.keeper()
    keeper = Keeper(settings=None, state=nginx.conf, listen=("0.0.0.0", relay.port))
    with nginx:
        proposal = world.set_up(kind, Wish(mode="keeper", keeper=keeper))
        assert [need.kind for need in proposal.needs] == ["nginx-relay", "nginx-relay"]
        assert [need.chain for need in proposal.needs] == [nginx.chain, rsa]
        assert len({need.name for need in proposal.needs}) == 2
        added = (
            f"\tssl_stapling on;\n\tssl_stapling_responder http://127.0.0.1:{relay.port}/ocsp;\n"
        )
        assert added in nginx.default.read_text()
        assert world.stapled()
    world.loop.run(relay.close(grace=0))


def test_what_nginx_refuses_is_told_with_its_place_and_the_old_goes_on(world: World) -> None:
    nginx, kind = world.nginx, world.nginx.kind()
    with nginx:
        world.examine(kind)
        assert world.loop.run(kind.running())
        good = nginx.default.read_text()
        nginx.default.write_text(good.replace("\troot ", "\tssl_staplng on;\n\troot ", 1))
        (trouble,) = world.loop.run(kind.test())
        assert trouble.code == "nginx-misspelled"
        assert trouble.fatal
        assert trouble.place is not None
        assert trouble.place.path == nginx.conf / "sites-enabled" / "default"
        line = nginx.default.read_text().splitlines()[trouble.place.line - 1]
        assert line == "\tssl_staplng on;"
        with pytest.raises(DeliveryError, match='unknown directive "ssl_staplng"'):
            world.loop.run(nginx.kind(deadline=2.0, pid_file=nginx.pid_file).reload())
        proposal = world.propose(kind)
        assert [one.code for one in proposal.troubles] == ["nginx-misspelled"]
        assert proposal.changes == ()
        proposal = world.set_up(kind, Wish(mend=True))
        assert [one.code for one in proposal.mended] == ["nginx-misspelled"]
        assert "staplng" not in nginx.default.read_text()
        assert world.stapled()


BROKEN = {
    "nginx-wrong-context": ("\tlocation / {", "\tlocation / {\n\t\tssl_stapling on;"),
    "nginx-duplicate": ("\troot ", "\tssl_stapling on;\n\tssl_stapling off;\n\troot "),
    "nginx-bad-value": ("\troot ", "\tssl_stapling yes;\n\troot "),
    "nginx-staple-file-missing": ("\troot ", "\tssl_stapling_file /nowhere.der;\n\troot "),
}


@pytest.mark.parametrize("code", BROKEN)
def test_nginx_and_we_call_the_same_line_wrong_and_mending_cures_it(
    world: World, code: str
) -> None:
    nginx, kind = world.nginx, world.nginx.kind()
    old, new = BROKEN[code]
    if code == "nginx-staple-file-missing":
        new = new.replace("\tssl_stapling_file", "\tssl_stapling on;\n\tssl_stapling_file")
    nginx.default.write_text(nginx.default.read_text().replace(old, new, 1))
    configuration = world.examine(kind)
    (ours,) = configuration.troubles
    (theirs,) = world.loop.run(kind.test())
    assert (ours.code, theirs.code) == (code, code)
    assert ours.fatal
    assert ours.mendable
    if theirs.place is not None:
        assert theirs.place == ours.place
    assert world.propose(kind).changes == ()
    proposal = world.set_up(kind, Wish(mend=True))
    assert [one.code for one in proposal.mended] == [code]
    with nginx:
        assert world.stapled()


UNMENDABLE = {
    "nginx-syntax": ("\troot ", "\troot 'x;\n\troot "),
    "nginx-include-missing": ("\troot ", "\tinclude snippets/none.conf;\n\troot "),
    "nginx-certificate-missing": ("include snippets/snakeoil.conf;", "ssl_certificate /none.pem;"),
}


@pytest.mark.parametrize("code", UNMENDABLE)
def test_what_only_a_person_can_mend_forbids_everything(world: World, code: str) -> None:
    nginx, kind = world.nginx, world.nginx.kind()
    old, new = UNMENDABLE[code]
    if code == "nginx-certificate-missing":
        new += f" ssl_certificate_key {nginx.chain.with_suffix('.key')};"
    nginx.default.write_text(nginx.default.read_text().replace(old, new, 1))
    before = nginx.everything()
    proposal = world.propose(kind, Wish(mend=True))
    told = {one.code: one for one in proposal.troubles}
    assert code in told
    assert told[code].fatal
    assert told[code].hint
    assert told[code].place is not None
    assert proposal.changes == ()
    assert world.loop.run(kind.test()), "and nginx refuses it too"
    assert nginx.everything() == before


WARNED = {
    "nginx-issuer-missing": "",
    "no-responder-url": "",
    "nginx-responder-host": "ssl_stapling_responder http://nowhere.invalid/;",
    "nginx-responder-prefix": "ssl_stapling_responder https://127.0.0.1/;",
}


@pytest.mark.parametrize("code", WARNED)
def test_what_nginx_only_warns_of_is_read_after_the_reload(world: World, code: str) -> None:
    """Its error log keeps errors only, so the words of `nginx -t` count as well."""
    nginx, kind = world.nginx, world.nginx.kind()
    text = nginx.default.read_text()
    more = f"\tssl_stapling on;\n\t{WARNED[code]}\n\troot "
    nginx.default.write_text(text.replace("\troot ", more, 1))
    if code == "nginx-issuer-missing":
        nginx.chain.write_bytes(encode_certificates([world.issued.certificate]))
    if code == "no-responder-url":
        nginx.certificate("www", a_server(world.ca, "localhost", at=YESTERDAY))
    with nginx:
        world.examine(kind)
        mark = kind.log_mark()
        assert world.loop.run(kind.test()) == ()
        world.loop.run(kind.reload())
        (trouble,) = kind.log_since(mark)
        assert trouble.code == code
        assert not trouble.fatal
        assert trouble.hint
        assert "ssl_stapling" in trouble.said
        expected = code == "nginx-responder-host"  # what resolves is seen when it is asked
        assert bool(world.propose(kind).proved) == expected


def test_dead_lines_are_named_and_pruned_and_others_stay(world: World) -> None:
    """A CA that does no OCSP: its site's lines go, those in http stay while another needs them."""
    nginx, kind = world.nginx, world.nginx.kind()
    dead = nginx.certificate("dead", a_server(world.ca, "dead.test", at=YESTERDAY))
    lines = "\tssl_stapling on;\n\tssl_stapling_verify off; # why not\n"
    site = SITE.format(
        port=nginx.port, name="dead.test", chain=dead, key=dead.with_suffix(".key"), more=lines
    )
    path = nginx.site("dead", site)
    configuration = world.examine(kind)
    by_name = {one.name: one for one in configuration.sites}
    place = nginx.conf / "sites-enabled" / "dead"
    assert kind.dead_lines(configuration, by_name["dead.test"]) == (
        f"{place}:6: ssl_stapling on;",
        f"{place}:7: ssl_stapling_verify off;",
    )
    told = world.propose(kind, Wish(sites=("dead.test",)))
    assert [one.code for one in told.troubles] == ["no-responder-url"]
    assert (told.changes, told.proved) == ((), ())
    proposal = world.set_up(kind, Wish(sites=("dead.test",), prune=True))
    assert the_changes(proposal).keys() == {"dead"}
    assert proposal.troubles == ()
    assert path.read_text() == site.replace(lines, "\t # why not\n")


def test_a_line_that_sites_share_is_not_changed_for_one_of_them(world: World) -> None:
    nginx, kind = world.nginx, world.nginx.kind()
    snippet = nginx.conf / "snippets" / "snakeoil.conf"
    snippet.write_text(snippet.read_text() + "ssl_stapling off;\n")
    chain = nginx.certificate("other", world.issue("other.test"))
    other = "server {{\n listen 127.0.0.1:{0} ssl;\n server_name other.test;\n {1}\n}}\n"
    nginx.site("other", other.format(nginx.port, "include snippets/snakeoil.conf;"))
    assert chain.exists()
    alone = world.propose(kind, Wish(sites=("other.test",)))
    assert [(one.code, one.fatal) for one in alone.troubles][-1] == ("nginx-shared-line", True)
    assert alone.changes == ()
    both = world.set_up(kind)
    assert "ssl_stapling on;\n" in snippet.read_text()
    assert len(both.proved) == 2


def test_a_server_that_is_gone_is_started_again(world: World) -> None:
    nginx = world.nginx
    config = nginx.config.read_text()
    kind = nginx.kind()
    world.examine(kind)
    assert not world.loop.run(kind.running())
    with pytest.raises(DeliveryError, match="not running"):
        world.loop.run(kind.reload())
    world.loop.run(kind.reload(restart=True))
    try:
        assert world.loop.run(kind.running())
    finally:
        run(["/usr/sbin/nginx", "-s", "stop", "-c", nginx.config])
    assert nginx.config.read_text() == config


def test_the_layout_of_the_keepers_own_tests_is_read_as_well(tmp_path: Path, loop: Loop) -> None:
    """One file, several sites on one address, certificates as the keeper's tests write them."""
    ca = an_intermediate(a_root(at=YESTERDAY), at=YESTERDAY)
    sites = {f"n{i}": [a_server(ca, f"n{i}.test", at=YESTERDAY)] for i in range(3)}
    server = KeptNginx(tmp_path, sites)
    kind = Nginx(config=server.config, prefix=server.folder, keeper_folder=server.owned)
    configuration = loop.run(kind.examine())
    assert [site.name for site in configuration.sites] == ["n0.test", "n1.test", "n2.test"]
    assert {site.listens for site in configuration.sites} == {(("127.0.0.1", server.port),)}
    assert all("keeper" in site.stapling for site in configuration.sites)
    keeper = Keeper(settings=None, state=tmp_path)
    proposal = kind.propose(configuration, Wish(mode="keeper", keeper=keeper), issuers={})
    assert proposal.changes == ()
    assert [need.name for need in proposal.needs] == ["n0", "n1", "n2"]


def _staple_at_once(world: World) -> bytes | None:
    return world.loop.run(staple_shown(world.nginx.port))


def _staple_within(world: World, seconds: float) -> bool:
    async def look() -> bool:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if await staple_shown(world.nginx.port):
                return True
            await asyncio.sleep(0.1)
        return False

    return world.loop.run(look())
