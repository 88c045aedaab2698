"""What setup proposes for HAProxy, without one: each version's way, and the smallest edits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.conf.text import read_text
from holdfast.pki.certificate import Certificate
from holdfast.setup.haproxy_disk import Reader, config_files, listens
from holdfast.setup.haproxy_propose import dead_lines, propose
from holdfast.setup.haproxy_sites import with_sites
from holdfast.setup.haproxy_words import HAProxyConfiguration
from holdfast.setup.words import Keeper, Proposal, Wish
from support.staples import Desk, a_desk
from support.tls_world import NOW, YESTERDAY, a_ca

CA = a_ca()
DAY = timedelta(days=1)
V26, V28, V30 = (2, 6, 12), (2, 8, 5), (3, 0, 2)


def desk(*names: str, **wishes: object) -> Desk:
    return a_desk(*(names or ("www.test",)), ca=CA, at=YESTERDAY, **wishes)


class Ground:
    """A folder with a configuration; certificates are put where it says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "haproxy.cfg"
        self.desks: dict[str, Desk] = {}

    def certificate(self, name: str, held: Desk, *, whole: bool = True) -> Path:
        path = self.folder / name
        server = held.server
        path.write_bytes((server.fullchain_pem if whole else server.pem) + server.key_pem())
        self.desks[str(path)] = held
        return path

    def write(self, text: str) -> None:
        self.config.write_text(text.replace("$F", str(self.folder)), newline="")

    def read(self, version: tuple[int, ...] = V26) -> HAProxyConfiguration:
        reader = Reader(version, {}, lambda _: False, self.folder)
        return with_sites(reader.read(config_files([self.config])), at=NOW)

    def propose(
        self,
        wish: Wish | None = None,
        version: tuple[int, ...] = V26,
        *,
        issuers: Mapping[str, tuple[Certificate, ...]] | None = None,
        owner: str = "",
    ) -> Proposal:
        return propose(
            self.read(version),
            wish or self.native(),
            issuers=issuers or {},
            socket=self.folder / "admin.sock",
            owner_of=lambda _: owner,
            at=NOW,
        )

    def native(self, **more: object) -> Wish:
        responses = {
            path: held.staple(NOW - timedelta(hours=1), 7 * DAY).der
            for path, held in self.desks.items()
        }
        return Wish(mode="native", responses=responses, **more)  # type: ignore[arg-type]

    def apply(self, proposal: Proposal) -> None:
        for change in proposal.changes:
            assert change.before == (change.path.read_bytes() if change.path.exists() else None), (
                change.path
            )
            if change.after is None:
                change.path.unlink()
            else:
                change.path.write_bytes(change.after)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def keeper(tmp_path: Path) -> Wish:
    return Wish(mode="keeper", keeper=Keeper(settings=None, state=tmp_path))


def codes(proposal: Proposal) -> list[str]:
    return [one.code for one in proposal.troubles]


# -- versions ----------------------------------------------------------------------------------


def test_3_0_fetches_by_one_line_in_global(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("global\n  maxconn 5\n\nfrontend f\n  bind :443 ssl crt $F/a.pem\n")
    done = ground.propose(version=V30)
    ground.apply(done)
    text = ground.config.read_text()
    assert text.startswith("global\n  maxconn 5\n  ocsp-update.mode on\n\nfrontend f\n")
    assert [one.path for one in done.changes] == [ground.config], "no .ocsp that ends"
    assert [one.name for one in done.proved] == ["www.test"]
    assert codes(done) == []
    assert ground.propose(version=V30).changes == ()
    assert ground.read(V30).sites[0].stapling == "by ocsp-update"


def test_3_0_turns_off_into_on(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write(
        "global\n  ocsp-update.mode off # why\nfrontend f\n  bind :443 ssl crt-list $F/l\n"
    )
    (ground.folder / "l").write_text(f"{ground.folder}/a.pem [ocsp-update off alpn h2] www.test\n")
    ground.apply(ground.propose(version=V30))
    assert "  ocsp-update.mode on # why\n" in ground.config.read_text()
    assert (ground.folder / "l").read_text() == f"{ground.folder}/a.pem [alpn h2] www.test\n"
    assert ground.propose(version=V30).changes == ()


def test_2_8_fetches_for_lines_of_a_crt_list(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.certificate("b.pem", desk("b.test"))
    ground.write("frontend f\n  bind :443 ssl crt-list $F/l\n")
    before = f"# list\n{ground.folder}/a.pem www.test\n{ground.folder}/b.pem [ocsp-update off]\r\n"
    (ground.folder / "l").write_text(before, newline="")
    done = ground.propose(version=V28)
    ground.apply(done)
    after = (ground.folder / "l").read_bytes().decode()
    assert after == (
        f"# list\n{ground.folder}/a.pem [ocsp-update on] www.test\n"
        f"{ground.folder}/b.pem [ocsp-update on]\r\n"
    )
    assert len(done.proved) == 2
    assert ground.propose(version=V28).changes == ()
    assert dead_lines(ground.read(V28), ground.read(V28).sites[0]) == (
        f"{ground.folder}/l:2: ocsp-update on",
    )


def test_2_8_with_a_crt_gets_a_response_and_is_told_why(ground: Ground) -> None:
    path = ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    done = ground.propose(version=V28)
    assert [one.path for one in done.changes] == [path.with_name("a.pem.ocsp")]
    assert codes(done) == ["haproxy-fetches-for-lists-only", "haproxy-fetches-nothing"]


def test_a_list_that_differs_from_a_crt_is_not_made(ground: Ground) -> None:
    """HAProxy refuses `ocsp-update on` for a certificate that a `crt` loads too."""
    ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem crt-list $F/l\n")
    (ground.folder / "l").write_text(f"{ground.folder}/a.pem www.test\n")
    done = ground.propose(version=V28)
    assert "haproxy-fetches-for-lists-only" in codes(done)
    assert ground.folder / "l" not in [one.path for one in done.changes]


def test_only_the_chosen_sites(ground: Ground) -> None:
    ground.certificate("a.pem", desk("a.test"))
    ground.certificate("b.pem", desk("b.test"))
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem crt $F/b.pem\n")
    done = ground.propose(ground.native(sites=("b.test",)))
    assert [one.path.name for one in done.changes] == ["b.pem.ocsp"]
    assert [one.name for one in done.proved] == ["b.test"]


def test_nothing_without_a_response(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    done = ground.propose(Wish())
    assert done.changes == ()
    assert done.proved == ()
    assert codes(done) == ["haproxy-no-response"]


def test_a_response_that_haproxy_ignores_is_not_written(ground: Ground) -> None:
    path = ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    held = ground.desks[str(path)]
    for response in (
        held.staple(NOW - timedelta(hours=1), None).der,  # says no end
        held.response(NOW - 9 * DAY, DAY).der,  # has ended
        b"nothing of the kind",
    ):
        done = ground.propose(Wish(responses={str(path): response}))
        assert done.changes == ()
        assert codes(done) == ["haproxy-response-unfit"]


def test_no_responder_no_change(ground: Ground) -> None:
    ground.certificate("a.pem", desk(responder_urls=[]))
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    for wish in (ground.native(), keeper(ground.folder)):
        for version in (V26, V28, V30):
            done = ground.propose(wish, version)
            assert done.changes == ()
            assert done.proved == ()


# -- the keeper --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "global\n\tlog x\n\tstats timeout 30s\n\n\tuser h\n# end\nfrontend f\n",
            "global\n\tlog x\n\tstats timeout 30s\n\tSOCKET\n\n\tuser h\n# end\nfrontend f\n",
        ),
        (
            "global\r\n  maxconn 1\r\n\r\nfrontend f\r\n",
            "global\r\n  maxconn 1\r\n  SOCKET\r\n\r\nfrontend f\r\n",
        ),
        ("global\nfrontend f\n", "global\n    SOCKET\nfrontend f\n"),
        ("# no global\nfrontend f\n", "global\n    SOCKET\n\n# no global\nfrontend f\n"),
        (
            "global\n  a 1\n.if 1\n  b 2\n.endif\nfrontend f\n",
            "global\n  a 1\n  SOCKET\n.if 1\n  b 2\n.endif\nfrontend f\n",
        ),
        (
            "global\n  stats socket /x level operator\nfrontend f\n",
            "global\n  stats socket /x level operator\n  SOCKET\nfrontend f\n",
        ),
    ],
)  # fmt: skip
def test_an_admin_socket_is_one_line_like_its_neighbours(
    before: str, after: str, ground: Ground
) -> None:
    ground.certificate("a.pem", desk())
    bind = "\tbind :443 ssl crt $F/a.pem"
    ground.write(before + bind)
    ground.apply(ground.propose(keeper(ground.folder)))
    line = f"stats socket {ground.folder}/admin.sock mode 600 level admin"
    want = (after.replace("SOCKET", line) + bind).replace("$F", str(ground.folder))
    assert ground.config.read_bytes().decode() == want
    assert ground.propose(keeper(ground.folder)).changes == ()


def test_a_section_that_ends_with_the_file(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\nglobal\n  maxconn 5")
    ground.apply(ground.propose(keeper(ground.folder)))
    assert ground.config.read_text().endswith("  maxconn 5\n  stats socket "
        f"{ground.folder}/admin.sock mode 600 level admin")  # fmt: skip


def test_the_keepers_user_is_let_in_and_told_what_it_needs(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("global\n  maxconn 5\nfrontend f\n  bind :443 ssl crt $F/a.pem\n")
    done = ground.propose(keeper(ground.folder), owner="holdfast")
    assert codes(done) == ["haproxy-keeper-rights"]
    ground.apply(done)
    assert "admin.sock user holdfast mode 600 level admin\n" in ground.config.read_text()


def test_sockets_that_are_there_are_used(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write(
        "global\n  stats socket /a level admin\n  stats socket ipv4@127.0.0.1:9 level admin\n"
        "  stats socket /u level user\nfrontend f\n  bind :443 ssl crt $F/a.pem\n"
    )
    done = ground.propose(keeper(ground.folder))
    assert done.needs[0].keys["sockets"] == ("/a", "ipv4@127.0.0.1:9")
    assert [one.path.name for one in done.changes] == ["a.pem.ocsp"]


def test_a_missing_folder_for_the_socket_forbids_it(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    done = propose(
        ground.read(),
        keeper(ground.folder),
        issuers={},
        socket=ground.folder / "gone" / "admin.sock",
        owner_of=lambda _: "",
        at=NOW,
    )
    (trouble,) = done.troubles
    assert trouble.code == "haproxy-no-socket-folder"
    assert trouble.fatal


def test_a_folder_of_certificates_is_one_server_of_the_keeper(ground: Ground) -> None:
    for name in ("a", "b"):
        ground.certificate(f"{name}.pem", desk(f"{name}.test"))
    other = ground.folder / "other"
    other.mkdir()
    ground.certificate("other/a.pem", desk("c.test"))
    ground.certificate("odd name.pem", desk("odd.test"))
    ground.write(
        "global\n  stats socket /a level admin\nfrontend f\n"
        "  bind 10.1.2.3:443 ssl crt $F/a.pem crt $F/b.pem crt $F/other crt '$F/odd name.pem'\n"
    )
    a, b, c, odd = ground.propose(keeper(ground.folder)).needs
    assert (a.name, b.name) == ("a", "b")
    assert a.keys == b.keys
    assert a.keys["crt"] == f"{ground.folder}/{{name}}.pem"
    assert (c.name, c.keys["crt"]) == ("c.test", f"{other}/a.pem"), "`a` is taken"
    assert (odd.name, odd.keys["crt"]) == ("odd.test", f"{ground.folder}/odd name.pem")
    assert a.keys["prove"] == "10.1.2.3:443"


def test_a_current_response_goes_in_and_one_that_is_there_stays(ground: Ground) -> None:
    path = ground.certificate("a.pem", desk())
    held = ground.desks[str(path)]
    ground.write(
        "global\n  stats socket /a level admin\nfrontend f\n  bind :443 ssl crt $F/a.pem\n"
    )
    response = held.staple(NOW - timedelta(hours=1), 7 * DAY).der
    wish = Wish(mode="keeper", responses={str(path): response})
    assert [one.after for one in ground.propose(wish).changes] == [response]
    there = path.with_name("a.pem.ocsp")
    there.write_bytes(held.staple(NOW - timedelta(hours=2), DAY).der)
    assert ground.propose(wish).changes == (), "it is the keeper's now"
    there.write_bytes(desk("other.test").staple(NOW - timedelta(hours=2), DAY).der)
    done = ground.propose(wish)
    assert [one.after for one in done.changes] == [response]
    assert [one.code for one in done.mended] == ["haproxy-ocsp-of-another"]


def test_two_who_fetch_are_told(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("global\n  ocsp-update.mode on\n  stats socket /a level admin\nfrontend f\n"
                 "  bind :443 ssl crt $F/a.pem\n")  # fmt: skip
    assert codes(ground.propose(keeper(ground.folder), V30)) == ["haproxy-two-fetch"]


# -- issuers -----------------------------------------------------------------------------------


def test_the_issuer_is_found_where_haproxy_looks(ground: Ground) -> None:
    path = ground.certificate("a.pem", desk(), whole=False)
    bind = "frontend f\n  bind :443 ssl crt $F/a.pem\n"
    given = {"www.test": (CA.certificate,)}
    ground.write(bind)
    names = [one.path.name for one in ground.propose(issuers=given).changes]
    assert names == ["a.pem.issuer", "a.pem.ocsp"]
    (ground.folder / "issuers").mkdir()
    (ground.folder / "issuers" / "ca.pem").write_bytes(CA.issued.pem)
    ground.write("global\n  issuers-chain-path $F/issuers\n" + bind)
    assert [one.path.name for one in ground.propose().changes] == ["a.pem.ocsp"]
    ground.write(bind)
    path.with_name("a.pem.issuer").write_bytes(CA.issued.pem)
    assert [one.path.name for one in ground.propose().changes] == ["a.pem.ocsp"]
    ground.write("global\n  ssl-load-extra-files ocsp\n" + bind)
    done = ground.propose(issuers=given)
    ground.apply(done)
    assert "  ssl-load-extra-files ocsp issuer\n" in ground.config.read_text()
    assert ground.propose(issuers=given).changes == ()


def test_extra_files_none_becomes_both(ground: Ground) -> None:
    ground.certificate("a.pem", desk(), whole=False)
    ground.write("global\n  ssl-load-extra-files none\nfrontend f\n  bind :443 ssl crt $F/a.pem\n")
    given = {"www.test": (CA.certificate,)}
    ground.apply(ground.propose(issuers=given))
    assert "  ssl-load-extra-files ocsp issuer\n" in ground.config.read_text()
    assert ground.propose(issuers=given).changes == ()


def test_extensions_that_are_taken_off(ground: Ground) -> None:
    ground.certificate("a.crt", desk(), whole=False)
    ground.write("global\n ssl-load-extra-del-ext\nfrontend f\n  bind :443 ssl crt $F/a.crt\n")
    names = [
        one.path.name for one in ground.propose(issuers={"www.test": (CA.certificate,)}).changes
    ]
    assert names == ["a.issuer", "a.ocsp"]


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":443", (("127.0.0.1", 443),)),
        ("*:443,10.0.0.1:8443", (("127.0.0.1", 443), ("10.0.0.1", 8443))),
        ("[::]:443", (("::1", 443),)),
        (":::443", (("::1", 443),)),
        ("ipv6@:443", (("::1", 443),)),
        ("ipv4@0.0.0.0:443", (("127.0.0.1", 443),)),
        ("www.test:443-445", (("www.test", 443),)),
        ("unix@/run/x.sock", ()),
        ("/run/x.sock", ()),
        ("quic4@:443", ()),
        ("fd@3", ()),
        ("abns@x", ()),
        (":0", ()),
    ],
)
def test_where_a_bind_line_listens(text: str, expected: tuple[tuple[str, int], ...]) -> None:
    assert listens(text) == expected


def test_troubles_of_reading_have_places(ground: Ground) -> None:
    (ground.folder / "dir").mkdir()
    (ground.folder / "l").write_text("a.pem [alpn [h2]]\ndir x.test\n")
    ground.certificate("a.pem", desk())
    ground.write(
        "global\n  crt-base $F\n  description 'open\nfrontend f\n"
        "  bind :443 ssl crt gone.pem crt-list $F/l crt-list $F/none\n"
        '  bind :444 ssl crt "$UNSET/x.pem" crt @store/x\n'
        "  bind :445 ssl crt a.pem accept-proxy\n"
    )
    told = {one.code: str(one.place) for one in ground.read().troubles}
    config = str(ground.config)
    assert told == {
        "haproxy-quote-open": f"{config}:3",
        "haproxy-crt-list": f"{config}:5",
        "haproxy-folder-in-crt-list": f"{ground.folder}/l:2",
        "haproxy-variable-unset": f"{config}:6",
        "haproxy-crt-store": f"{config}:6",
        "haproxy-certificate-unreadable": f"{config}:5",
        "haproxy-behind-proxy": f"{config}:7",
    }
    (site,) = ground.read().sites
    assert site.listens == ()


def test_no_key_is_kept(ground: Ground) -> None:
    ground.certificate("a.pem", desk())
    ground.write("frontend f\n  bind :443 ssl crt $F/a.pem\n")
    ground.apply(ground.propose())
    read = ground.read()
    assert set(read.files) == {ground.config, ground.folder / "a.pem.ocsp"}
    assert not any(b"PRIVATE KEY" in data for data in read.files.values())
    assert "PRIVATE KEY" not in repr(read)


def test_names_are_unique_and_pairs_are_one_site(ground: Ground) -> None:
    rsa = desk("www.test", key_type="rsa-2048")
    ground.certificate("rsa.pem", rsa)
    ground.certificate("ec.pem", desk("www.test"))
    ground.certificate("again.pem", desk("www.test"))
    ground.write(
        "frontend f\n  bind :443 ssl crt $F/rsa.pem crt $F/ec.pem\n"
        "frontend g\n  bind :8443 ssl crt $F/again.pem\n"
    )
    first, second = ground.read().sites
    assert [one.chain.name for one in first.certificates] == ["rsa.pem", "ec.pem"]
    assert second.name == "www.test@127.0.0.1:8443"


def test_prune_takes_dead_options_out(ground: Ground) -> None:
    ground.certificate("a.pem", desk(responder_urls=[]))
    (ground.folder / "a.pem.ocsp").write_bytes(b"")
    ground.write("frontend f\n  bind :443 ssl crt-list $F/l\n")
    (ground.folder / "l").write_text(f"{ground.folder}/a.pem [ocsp-update on] a.test\n")
    done = ground.propose(Wish(prune=True), V28)
    ground.apply(done)
    assert read_text((ground.folder / "l").read_bytes()) == f"{ground.folder}/a.pem a.test\n"
    assert not (ground.folder / "a.pem.ocsp").exists()
    assert done.proved == ()
