"""Proposals for layouts and versions that no Apache here has; real ones run in
tests/integration/setup/test_apache_kind.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Issued
from holdfast.pki.pem import encode_certificates
from holdfast.setup.apache_disk import Build, a2enmod
from holdfast.setup.apache_propose import propose
from holdfast.setup.apache_view import Ground, View, troubles, view_of
from holdfast.setup.words import Keeper, KeeperNeed, Proposal, Wish
from support.pki import a_server
from support.tls_world import YESTERDAY, a_ca, a_site

CORPUS = Path(__file__).parents[2] / "corpus" / "apache"
NOW = (2, 4, 71)
CA = a_ca()


def ground(root: Path, main: str, version: tuple[int, ...] = NOW) -> Ground:
    made = Build(
        program="/usr/sbin/httpd",
        version=version,
        root=str(root),
        config=main,
        pid_file="logs/httpd.pid",
        error_log="logs/error_log",
        modules=("core.c", "mod_so.c", "http_core.c"),
    )
    return Ground(build=made, main=str(root / main), root=str(root), variables={})


class Layout:
    """A layout of the corpus in a folder, its certificates there."""

    def __init__(self, folder: Path, name: str, main: str, *, version: tuple[int, ...] = NOW):
        self.root = folder / name
        shutil.copytree(CORPUS / name, self.root)
        self.ground = ground(self.root, main, version)
        for path in self.root.rglob("*.conf"):
            data = path.read_bytes()
            for old in (b"/etc/httpd", b"/usr/local/apache2", b"/etc/pki", b"/etc/letsencrypt"):
                data = data.replace(old, str(self.root).encode())
            path.write_bytes(data)
        (self.root / "run").mkdir()

    def put(self, path: str, *certificates: Certificate) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(encode_certificates(certificates))
        return place

    def view(self) -> View:
        return view_of(self.ground)

    def propose(self, wish: Wish | None = None, **issuers: tuple[Certificate, ...]) -> Proposal:
        return propose(self.view(), wish or Wish(), issuers=issuers)

    def apply(self, proposal: Proposal) -> None:
        for change in proposal.changes:
            assert change.after is not None
            assert (change.path.read_bytes() if change.path.exists() else None) == change.before
            change.path.write_bytes(change.after)


def whole(issued: Issued) -> tuple[Certificate, ...]:
    return (issued.certificate, CA.certificate)


def test_red_hats_layout(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "redhat", "conf/httpd.conf")
    layout.put("tls/certs/localhost.crt", *whole(a_site(CA, "localhost")))
    proposal = layout.propose()
    (change,) = proposal.changes
    assert change.path == layout.root / "conf.d" / "ssl.conf"
    assert change.before is not None
    beside = b"SSLSessionCacheTimeout  300\n"
    key = f"SSLCertificateKeyFile {layout.root}/tls/private/localhost.key\n".encode()
    assert change.after == change.before.replace(
        beside,
        beside + b"SSLStaplingCache shmcb:/run/httpd/ssl_stapling(128000)\n"
        b"SSLStaplingResponderTimeout 5\nSSLStaplingReturnResponderErrors off\n"
        b"SSLStaplingFakeTryLater off\n",
    ).replace(key, key + b"SSLUseStapling on\n")
    (site,) = proposal.proved
    assert (site.listens, site.server_name) == ((("127.0.0.1", 443),), None)
    layout.apply(proposal)
    assert layout.propose().changes == ()


def test_certbots_shared_file_stays_as_it_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "certbot", "apache2.conf")
    for name in ("example.test", "shop.test"):
        layout.put(f"live/{name}/fullchain.pem", *whole(a_site(CA, name)))
    proposal = layout.propose(Wish(sites=("shop.test",)))
    changed = {change.path.name: change for change in proposal.changes}
    assert changed.keys() == {"001-shop.conf", "apache2.conf"}
    layout.apply(proposal)
    assert layout.propose(Wish(sites=("shop.test",))).changes == ()
    assert [host.staples for host in layout.view().hosts] == [False, True]
    layout.apply(layout.propose())
    assert [host.staples for host in layout.view().hosts] == [True, True]


def test_before_2_4_8_the_chain_has_a_file_of_its_own(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "redhat", "conf/httpd.conf", version=(2, 4, 6))
    issued = a_site(CA, "localhost")
    leaf = layout.put("tls/certs/localhost.crt", issued.certificate)
    keeper = Keeper(settings=None, state=Path("/s"), listen=("::1", 9120))
    wish = Wish(mode="keeper", keeper=keeper)
    issuers = {"_default_:443": (CA.certificate, CA.root)}
    proposal = layout.propose(wish, **issuers)
    made, ssl_conf = proposal.changes
    assert made.path == leaf.with_name("localhost-chain.pem")
    assert (made.before, made.after) == (None, encode_certificates([CA.certificate]))
    assert f"\nSSLCertificateChainFile {made.path}\n".encode() in (ssl_conf.after or b"")
    assert b"SSLStaplingForceURL http://[::1]:9120/ocsp\n" in (ssl_conf.after or b"")
    (need,) = proposal.needs
    assert need == KeeperNeed(
        name="localhost",
        chain=leaf,
        issuer=made.path,
        kind="apache",
        keys={"cache_timeout": "20s"},
    )
    layout.apply(proposal)
    again = layout.propose(wish, **issuers)
    assert (again.changes, again.needs) == ((), proposal.needs)


def test_an_old_chain_file_is_completed_in_its_own_manner(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "old", "httpd.conf", version=(2, 4, 6))
    issued = a_site(CA, "old.test")
    layout.put("conf/ssl.crt/server.crt", issued.certificate)
    chain = layout.put("conf/ssl.crt/chain.crt", CA.root)
    chain.write_bytes(chain.read_bytes().replace(b"\n", b"\r\n"))
    proposal = layout.propose(**{"old.test": (CA.certificate, CA.root)})
    changed = {change.path.name: change.after or b"" for change in proposal.changes}
    assert changed.keys() == {"chain.crt", "httpd.conf"}
    both = encode_certificates([CA.root, CA.certificate]).replace(b"\n", b"\r\n")
    assert changed["chain.crt"] == both
    text = changed["httpd.conf"]
    assert b"SSLStaplingCache dbm:" in text
    assert text.count(b"\n") == text.count(b"\r\n")
    layout.apply(proposal)
    assert layout.propose(**{"old.test": (CA.certificate, CA.root)}).changes == ()


def test_two_sites_of_one_certificate_complete_it_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "certbot", "apache2.conf")
    issued = a_site(CA, "example.test", "shop.test")
    one = layout.put("live/example.test/fullchain.pem", issued.certificate)
    other = layout.root / "live/shop.test/fullchain.pem"
    other.parent.mkdir()
    other.symlink_to(one)
    more = (CA.certificate, CA.root)
    proposal = layout.propose(**{"example.test": more, "shop.test": more})
    (grown,) = (change for change in proposal.changes if change.path.suffix == ".pem")
    assert grown.after == encode_certificates(whole(issued))
    layout.apply(proposal)
    assert layout.propose(**{"example.test": more, "shop.test": more}).changes == ()


def test_one_site_that_cannot_staple_leaves_the_other_to(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "certbot", "apache2.conf")
    silent = a_server(CA, "example.test", at=YESTERDAY)
    layout.put("live/example.test/fullchain.pem", *whole(silent))
    layout.put("live/shop.test/fullchain.pem", *whole(a_site(CA, "shop.test")))
    proposal = layout.propose()
    assert [site.name for site in proposal.proved] == ["shop.test"]
    assert [(one.code, one.fatal) for one in proposal.troubles] == [("no-responder", False)]


@pytest.mark.parametrize(
    ("file", "line", "code"),
    [
        ("conf/httpd.conf", "Include none.conf\n", "apache-include-missing"),
        ("conf.d/ssl.conf", "<IfModule mod_ssl.c>\n", "apache-section-not-ended"),
        (
            "conf.d/ssl.conf",
            "SSLStaplingCache shmcb:/nowhere/at/all(128000)\n",
            "apache-cache-unwritable",
        ),
    ],
)
def test_what_no_edit_mends_forbids_everything(
    tmp_path: Path, file: str, line: str, code: str
) -> None:
    layout = Layout(tmp_path, "redhat", "conf/httpd.conf")
    layout.put("tls/certs/localhost.crt", *whole(a_site(CA, "localhost")))
    path = layout.root / file
    path.write_text(path.read_text() + line)
    for wish in (Wish(), Wish(mend=True)):
        proposal = layout.propose(wish)
        assert proposal.changes == ()
        (found,) = (one for one in proposal.troubles if one.fatal)
        assert found.code == code
        assert found.place is not None
        assert found.place.line == len(path.read_text().splitlines())


def test_without_mod_ssl_on_red_hat_there_is_nothing_to_link(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "redhat", "conf/httpd.conf")
    (layout.root / "conf.modules.d" / "00-ssl.conf").unlink()
    found = troubles(layout.view())[0]
    assert (found.code, found.fatal, found.mendable) == ("apache-mod-ssl-missing", True, False)
    assert "dnf install mod_ssl" in found.hint


def test_a2enmod_links_what_is_depended_on_and_not_there(tmp_path: Path) -> None:
    available, enabled = tmp_path / "mods-available", tmp_path / "mods-enabled"
    available.mkdir()
    enabled.mkdir()
    (available / "a.load").write_text("# Depends: b c\nLoadModule\n")
    (available / "b.load").write_text("# Depends: a\n")
    (available / "b.conf").write_text("")
    (available / "c.load").write_text("")
    (enabled / "c.load").symlink_to("../mods-available/c.load")
    links = a2enmod(tmp_path, "a")
    assert {Path(path).name: link for path, link in links.items()} == {
        name: f"../mods-available/{name}" for name in ("a.load", "b.load", "b.conf")
    }
    (available / "c.load").unlink()
    assert a2enmod(tmp_path, "a") == {}
