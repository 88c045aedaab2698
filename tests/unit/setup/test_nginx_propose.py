"""What is proposed for nginx, on configurations that are only values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.pki.certificate import Certificate
from holdfast.pki.issue import Issued
from holdfast.pki.pem import encode_certificates
from holdfast.setup.nginx import _host_names, _name_servers
from holdfast.setup.nginx_mend import staple_file_troubles, text_troubles, trust_troubles
from holdfast.setup.nginx_native import Names, completed
from holdfast.setup.nginx_propose import Setting, keeper_names, propose
from holdfast.setup.nginx_sites import certificate_troubles, survey
from holdfast.setup.words import Configuration, Keeper, Proposal, Wish
from support.pki import AT, a_root, a_server, a_signer, an_intermediate
from support.staples import a_desk

MAIN = Path("/etc/nginx/nginx.conf")
FOLDER = "/etc/nginx/holdfast"
ROOT = a_root()
CA = an_intermediate(ROOT)
NAMES = Names(servers=("192.0.2.53", "[2001:db8::53]"), hosts=frozenset({"ocsp.local.test"}))
BY_NAME = "http://ocsp.example.org/r"
BY_ADDRESS = "http://192.0.2.80/"


def issue(*names: str, url: str = BY_ADDRESS, **wishes: object) -> Issued:
    return a_server(CA, *names, responder_urls=[url] if url else [], **wishes)


SITE = issue("a.test")


def configuration(
    server: str = "",
    *,
    http: str = "",
    certificates: Mapping[str, bytes] | None = None,
    **more: str,
) -> Configuration:
    """One site with the certificate /a.pem; `more`: files beside the main one."""
    text = (
        f"http {{\n{http}  server {{\n    listen 443 ssl;\n    server_name a.test;\n"
        f"    ssl_certificate /a.pem;\n{server}  }}\n}}\n"
    )
    files = {MAIN: text.encode()}
    files |= {MAIN.parent / name: other.encode() for name, other in more.items()}
    held = {"/a.pem": SITE.fullchain_pem} | dict(certificates or {})
    files |= {Path(name): data for name, data in held.items()}
    return looked_at(files)


def looked_at(files: dict[Path, bytes]) -> Configuration:
    """As `examine` would give it."""
    view = survey(MAIN, files, folder=FOLDER)
    troubles = (
        *text_troubles(view, (1, 22, 1)),
        *certificate_troubles(view, {}),
        *trust_troubles(view),
    )
    sites = tuple(stand.site for stand in view.stands)
    return Configuration(version=(1, 22, 1), files=files, sites=sites, troubles=troubles)


def proposed(
    given: Configuration,
    wish: Wish | None = None,
    *,
    roots: tuple[Certificate, ...] = (),
    names: Names = NAMES,
    **issuers: tuple[Certificate, ...],
) -> Proposal:
    setting = Setting(main=MAIN, folder=FOLDER, roots=lambda: roots, names=names, keys={})
    by_name = {name.replace("_", "."): some for name, some in issuers.items()}
    return propose(given, wish or Wish(), issuers=by_name, setting=setting)


def after(given: Configuration, proposal: Proposal) -> Configuration:
    files = dict(given.files)
    for change in proposal.changes:
        assert files.get(change.path) == change.before
        assert change.after is not None
        files[change.path] = change.after
    return looked_at(files)


def lines(given: Configuration, proposal: Proposal, path: Path = MAIN) -> set[str]:
    """The lines that are new in a file."""
    old = given.files[path].decode().splitlines()
    new = after(given, proposal).files[path].decode().splitlines()
    return {line.strip() for line in new if line not in old}


def codes(proposal: Proposal) -> list[str]:
    return [one.code for one in proposal.troubles]


ON, VERIFY = "ssl_stapling on;", "ssl_stapling_verify on;"
TRUST = "ssl_trusted_certificate /etc/nginx/holdfast-a.test-root.pem;"


@pytest.mark.parametrize(
    ("url", "server", "resolver"),
    [
        (BY_ADDRESS, "", False),
        ("http://[2001:db8::80]/", "", False),
        (BY_NAME, "", True),
        (BY_NAME, "    resolver 127.0.0.1;\n", False),
        ("http://ocsp.local.test/", "", False),
        ("http://ocsp/", "", False),
        (BY_ADDRESS, "    ssl_stapling_responder http://ocsp.example.net/;\n", True),
        (BY_NAME, "    ssl_stapling_responder http://127.0.0.1/;\n", False),
    ],
)
def test_a_resolver_only_for_names_that_dns_knows(url: str, server: str, resolver: bool) -> None:
    chain = issue("a.test", url=url).fullchain_pem
    given = configuration(server, certificates={"/a.pem": chain})
    line = "resolver 192.0.2.53 [2001:db8::53];"
    assert (line in lines(given, proposed(given))) is resolver
    assert "resolver" not in " ".join(lines(given, proposed(given, names=Names())))


def test_a_resolver_above_is_enough() -> None:
    chain = issue("a.test", url=BY_NAME).fullchain_pem
    given = configuration(http="  resolver 127.0.0.1;\n", certificates={"/a.pem": chain})
    assert lines(given, proposed(given)) == {ON}


def test_the_root_from_wherever_it_is_known() -> None:
    whole = {"/a.pem": SITE.fullchain_pem + encode_certificates([ROOT.certificate])}
    given = configuration()
    for proposal in (
        proposed(given, roots=(ROOT.certificate,)),
        proposed(given, a_test=(ROOT.certificate,)),
    ):
        assert lines(given, proposal) == {ON, VERIFY, TRUST}
        (new,) = [change for change in proposal.changes if change.before is None]
        assert new.after == encode_certificates([ROOT.certificate])
        assert "/a.pem" not in {str(change.path) for change in proposal.changes}
    within = configuration(certificates=whole)
    assert lines(within, proposed(within)) == {ON, VERIFY, "ssl_trusted_certificate /a.pem;"}
    trusted = configuration(
        http="  ssl_trusted_certificate /t.pem;\n",
        certificates={"/t.pem": encode_certificates([ROOT.certificate])},
    )
    assert lines(trusted, proposed(trusted)) == {ON, VERIFY}


def test_an_intermediate_is_no_root_to_verify_with() -> None:
    """OpenSSL takes no partial chain."""
    given = configuration(
        http="  ssl_trusted_certificate /t.pem;\n",
        certificates={"/t.pem": encode_certificates([CA.certificate])},
    )
    proposal = proposed(given)
    assert codes(proposal) == ["nginx-verify-left-out"]
    assert lines(given, proposal) == {ON}


@pytest.mark.parametrize(
    ("http", "server"),
    [
        ("", "    ssl_verify_client on;\n"),
        ("", "    ssl_verify_client optional;\n"),
        ("", "    ssl_verify_client optional_no_ca;\n"),
        ("  ssl_verify_client on;\n", ""),
        ("", "    include mtls.conf;\n"),
    ],
)
@pytest.mark.parametrize("way", ["bundle", "gathered", "in the chain"])
def test_no_anchor_where_clients_are_verified(http: str, server: str, way: str) -> None:
    """Whoever knows the root, and wherever verification was turned on."""
    chain = SITE.fullchain_pem
    if way == "in the chain":
        chain += encode_certificates([ROOT.certificate])
    given = configuration(
        server,
        http=http,
        certificates={"/a.pem": chain},
        **{"mtls.conf": "ssl_verify_client on;\n"},
    )
    roots = (ROOT.certificate,)
    proposal = proposed(
        given,
        roots=roots if way == "bundle" else (),
        **({"a_test": roots} if way == "gathered" else {}),
    )
    assert lines(given, proposal) == {ON}
    assert codes(proposal) == ["nginx-verify-left-out"]
    assert {change.path for change in proposal.changes} == {MAIN}
    assert proposal.proved == given.sites


def test_verification_that_is_on_in_such_a_scope_is_told_and_turned_off_when_asked() -> None:
    server = "    ssl_verify_client on;\n    ssl_stapling on;\n    ssl_stapling_verify on;\n"
    given = configuration(server)
    proposal = proposed(given, roots=(ROOT.certificate,))
    assert codes(proposal) == ["nginx-verify-without-trust"]
    assert proposal.changes == ()
    mended = proposed(given, Wish(mend=True))
    assert [one.code for one in mended.mended] == ["nginx-verify-without-trust"]
    assert lines(given, mended) == {"ssl_stapling_verify off;"}


@pytest.mark.parametrize(
    ("held", "gathered", "appended"),
    [
        ([SITE.certificate], (CA.certificate,), [CA.certificate]),
        ([SITE.certificate], (CA.certificate, ROOT.certificate), [CA.certificate]),
        ([SITE.certificate, ROOT.certificate], (CA.certificate,), [CA.certificate]),
        ([SITE.certificate, CA.certificate], (ROOT.certificate,), []),
    ],
)
def test_the_chain_is_completed_without_the_root(
    held: list[Certificate], gathered: tuple[Certificate, ...], appended: list[Certificate]
) -> None:
    pem = encode_certificates(held)
    given = configuration(certificates={"/a.pem": pem})
    done = after(given, proposed(given, a_test=gathered))
    assert done.files[Path("/a.pem")] == pem + encode_certificates(appended)


def test_a_root_that_issued_the_certificate_itself_is_appended() -> None:
    """Without it nginx cannot make the request."""
    alone = a_server(ROOT, "a.test", responder_urls=[BY_ADDRESS])
    pem = encode_certificates([alone.certificate])
    given = configuration(certificates={"/a.pem": pem})
    assert codes(proposed(given)) == ["nginx-issuer-missing"]
    done = after(given, proposed(given, a_test=(ROOT.certificate,)))
    assert done.files[Path("/a.pem")] == pem + encode_certificates([ROOT.certificate])


def test_a_file_is_appended_to_in_its_own_line_ends() -> None:
    pem = encode_certificates([SITE.certificate])
    more = encode_certificates([CA.certificate])
    assert completed(pem.rstrip(b"\n"), [CA.certificate]) == pem + more
    crlf = pem.replace(b"\n", b"\r\n")
    assert completed(crlf, [CA.certificate]) == (pem + more).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    ("server", "certificates", "code"),
    [
        ("", {"/a.pem": issue("a.test", url="").fullchain_pem}, "no-responder-url"),
        ("", {"/a.pem": issue("a.test", url="https://o/").fullchain_pem}, "nginx-responder-prefix"),
        ("    ssl_certificate /$ssl_server_name.pem;\n", {}, "nginx-certificate-variable"),
    ],
)
def test_what_nginx_cannot_staple_for_is_told_and_left(
    server: str, certificates: dict[str, bytes], code: str
) -> None:
    given = configuration(server, certificates=certificates)
    proposal = proposed(given, roots=(ROOT.certificate,))
    assert codes(proposal) == [code]
    assert (proposal.changes, proposal.proved) == ((), ())


@pytest.mark.parametrize(
    ("data", "code"),
    [(SITE.certificate.der, "nginx-certificate-unreadable"), (b"", "nginx-certificate-unreadable")],
)
def test_a_certificate_that_nginx_cannot_read_forbids_everything(data: bytes, code: str) -> None:
    proposal = proposed(configuration(certificates={"/a.pem": data}))
    assert codes(proposal) == [code]
    assert proposal.troubles[0].fatal
    assert proposal.changes == ()


def test_a_configuration_without_tls_is_told() -> None:
    (trouble,) = looked_at({MAIN: b"http { server { listen 80; } }"}).troubles
    assert (trouble.code, trouble.fatal) == ("nginx-no-tls-site", False)


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ("server { listen 443 ssl; }", ["nginx-no-certificate"]),
        ("server { listen 443 ssl; ssl_reject_handshake on; }", []),
        ("server { listen 443 ssl; ssl_certificate /a.pem; } server { listen 443 ssl; }", []),
    ],
)
def test_a_certificate_is_only_needed_where_nginx_needs_one(blocks: str, told: list[str]) -> None:
    files = {MAIN: f"http {{ {blocks} }}".encode(), Path("/a.pem"): SITE.fullchain_pem}
    given = looked_at(files)
    assert [one.code for one in given.troubles if one.code != "nginx-no-tls-site"] == told
    assert len(given.sites) == blocks.count("/a.pem")


def test_the_issuers_own_signature_is_known_by_the_response() -> None:
    """And a delegated signer's, with which verification is turned off where it would fail."""
    own = a_desk("a.test", ca=CA)
    direct = Wish(responses={"/a.pem": own.response(AT).der})
    given = configuration()
    assert lines(given, proposed(given, direct)) == {ON, VERIFY}
    delegated = a_desk("a.test", ca=CA, signer=a_signer(CA)).response(AT).der
    wish = Wish(responses={"/a.pem": delegated})
    assert lines(given, proposed(given, wish)) == {ON}
    running = configuration("    ssl_stapling on;\n    ssl_stapling_verify on;\n")
    proposal = proposed(running, wish)
    assert lines(running, proposal) == {"ssl_stapling_verify off;"}
    assert [one.code for one in proposal.mended] == ["nginx-verify-without-trust"]


def test_native_takes_a_file_and_the_keepers_address_out() -> None:
    server = (
        "    ssl_stapling on;\n    ssl_stapling_file /a.der;\n"
        "    ssl_stapling_responder http://127.0.0.1:9120/ocsp;\n"
    )
    given = configuration(server)
    keeper = Keeper(settings=None, state=Path("/s"), listen=("127.0.0.1", 9120))
    done = after(given, proposed(given, Wish(keeper=keeper)))
    text = done.files[MAIN].decode()
    assert "ssl_stapling_file" not in text
    assert "9120" not in text
    kept = after(given, proposed(given)).files[MAIN].decode()
    assert "9120" in kept, "another's responder is left to whoever named it"


def test_a_file_above_is_overruled() -> None:
    given = configuration(http="  ssl_stapling_file /all.der;\n")
    assert lines(given, proposed(given)) == {ON, 'ssl_stapling_file "";'}


def test_keeper_takes_the_stapling_lines_out_and_names_each_certificate_once() -> None:
    server = "    ssl_stapling on;\n    ssl_stapling_verify on;\n    resolver 127.0.0.1;\n"
    given = configuration(server)
    proposal = proposed(given, Wish(mode="keeper", keeper=Keeper(settings=None, state=Path("/s"))))
    text = after(given, proposal).files[MAIN].decode()
    assert text == given.files[MAIN].decode().replace(
        "    ssl_stapling on;\n    ssl_stapling_verify on;\n",
        f"    include {FOLDER}/a.test.conf*;\n",
    )
    (need,) = proposal.needs
    assert (need.name, need.chain, need.kind) == ("a.test", Path("/a.pem"), "nginx")
    assert need.keys == {"include": f"{FOLDER}/{{name}}.conf", "prove": "127.0.0.1:443"}


def test_keeper_names_are_file_names_and_unlike() -> None:
    block = "server {{ listen {0} ssl; server_name {1}; ssl_certificate {2}; }}\n"
    sites = [
        (1, "a.test", "/1"),
        (2, "a.test", "/2"),
        (3, "*.b.test", "/3"),
        (4, "a.test", "/1"),
        (5, '"~^../x$"', "/5"),
    ]
    text = "http {\n" + "".join(block.format(*site) for site in sites) + "}\n"
    files = {MAIN: text.encode()}
    names = keeper_names(survey(MAIN, files, folder=FOLDER))
    assert names == {
        Path("/1"): "a.test",
        Path("/2"): "a.test-2",
        Path("/3"): "_.b.test",
        Path("/5"): "__.._x_",
    }


WISHES = [
    Wish(),
    Wish(mend=True),
    Wish(prune=True),
    Wish(mode="keeper", keeper=Keeper(settings=None, state=Path("/s"), listen=("::", 9120))),
]
SHAPES = [
    "",
    "    ssl_stapling off;\n",
    "    ssl_stapling on;\n    ssl_stapling_verify on;\n",
    "    ssl_verify_client on;\n    ssl_stapling_verify on;\n",
    "    ssl_certificate /b.pem;\n",
    "    ssl_staplng on;\n",
    "    ssl_stapling on;\n    ssl_stapling off;\n",
    f"    include {FOLDER}/mine.conf*;\n",
    "    ssl_stapling_responder http://ocsp.example.net/;\n",
    "    location / { ssl_stapling on; }\n",
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: f"{wish.mode}-{wish.mend}-{wish.prune}")
@pytest.mark.parametrize("server", SHAPES)
@pytest.mark.parametrize("roots", [(), (ROOT.certificate,)])
def test_the_same_again_proposes_nothing(
    wish: Wish, server: str, roots: tuple[Certificate, ...]
) -> None:
    bare = encode_certificates([SITE.certificate])
    rsa = issue("b.test").fullchain_pem
    given = configuration(server, certificates={"/a.pem": bare, "/b.pem": rsa})
    first = proposed(given, wish, roots=roots, a_test=(CA.certificate,))
    done = after(given, first)
    again = proposed(done, wish, roots=roots, a_test=(CA.certificate,))
    assert again.changes == ()
    assert [site.name for site in again.proved] == [site.name for site in first.proved]
    if wish.mend:
        assert first.proved
        assert not any(one.fatal for one in done.troubles)


def test_only_the_chosen_site_is_touched() -> None:
    given = configuration()
    text = given.files[MAIN].decode()
    other = "server {\n listen 443 ssl;\n server_name b.test;\n ssl_certificate /a.pem;\n}\n}\n"
    files = dict(given.files) | {MAIN: (text.removesuffix("}\n") + other).encode()}
    both = looked_at(files)
    done = after(both, proposed(both, Wish(sites=("b.test",))))
    assert done.files[MAIN].decode().removesuffix("}\n").startswith(text.removesuffix("}\n"))
    assert [site.name for site in proposed(both, Wish(sites=("b.test",))).proved] == ["b.test"]


def test_a_staple_file_that_ended_is_told_and_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "a.der"
    path.write_bytes(a_desk("a.test").response(AT - timedelta(days=9)).der)
    given = configuration(f"    ssl_stapling on;\n    ssl_stapling_file {path};\n")
    view = survey(MAIN, given.files, folder=FOLDER)
    (trouble,) = staple_file_troubles(view, at=AT)
    assert trouble.code == "nginx-staple-file-stale"
    assert (trouble.mendable, trouble.fatal) == (True, False)
    assert trouble.place is not None
    assert trouble.place.line == 7
    assert list(staple_file_troubles(view, at=AT - timedelta(days=8))) == []
    wish = Wish(mode="keeper", mend=True, sites=("none",))
    proposal = proposed(replace(given, troubles=(trouble,)), wish)
    assert "ssl_stapling_file" not in after(given, proposal).files[MAIN].decode()
    path.write_bytes(b"no response")
    (bad,) = staple_file_troubles(view, at=AT)
    assert (bad.code, bad.fatal, bad.mendable) == ("nginx-staple-file-bad", True, True)


def test_name_servers_as_nginx_takes_them() -> None:
    text = (
        "# nameserver 1.1.1.1\nsearch test\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n"
        "nameserver\t2001:db8::1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
    )
    assert _name_servers(text) == ("192.0.2.1", "[2001:db8::1]", "192.0.2.2")
    assert list(_host_names("127.0.0.1 localhost l # x\n\n::1 six\n")) == ["localhost", "l", "six"]
