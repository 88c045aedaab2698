"""Which of Apache's hosts speak TLS, where they are reached, and what they have from above."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.conf.apache_reading import read
from holdfast.conf.apache_sites import TlsHost, tls_hosts
from support.apache_files import SSL, hosts, reading

CORPUS = Path(__file__).parents[2] / "corpus" / "apache"


def host(text: str, *, before: str = "Listen 443\n") -> TlsHost:
    (found,) = hosts(reading(f"{SSL}{before}{text}"))
    return found


def vhost(body: str, address: str = "*:443") -> str:
    return f"<VirtualHost {address}>\n{body}</VirtualHost>\n"


def test_engine_and_certificate_may_be_inherited() -> None:
    main = "Listen 443\nListen 80\nSSLEngine on\nSSLCertificateFile /m1\nSSLCertificateFile /m2\n"
    text = vhost("ServerName a\nSSLCertificateFile /a\n") + vhost("SSLEngine off\n", "*:80")
    found = host(text, before=main)
    assert found.name == "a"
    assert [one.first for one in found.certificates] == ["/a", "/m2"]


@pytest.mark.parametrize(
    ("listen", "port", "is_tls"),
    [
        ("Listen 443", 443, True),
        ("Listen 8443 https", 8443, True),
        ("Listen 8443", 8443, False),
        ("Listen 443 http", 443, False),
    ],
)
def test_without_ssl_engine_the_protocol_of_the_port_decides(
    listen: str, port: int, is_tls: bool
) -> None:
    text = f"{SSL}{listen}\n" + vhost("SSLCertificateFile /a\n", f"*:{port}")
    assert bool(hosts(reading(text))) is is_tls


@pytest.mark.parametrize(
    ("listen", "address", "reached"),
    [
        ("443", "*:443", (("127.0.0.1", 443),)),
        ("443", "_default_:443", (("127.0.0.1", 443),)),
        ("443", "192.0.2.1:443", (("192.0.2.1", 443),)),
        ("[::]:443", "*:443", (("::1", 443),)),
        ("[::]:443", "[2001:db8::1]:443", (("2001:db8::1", 443),)),
        ("192.0.2.1:443", "*:443", (("192.0.2.1", 443),)),
        ("192.0.2.1:443", "192.0.2.2:443", ()),
        ("443", "*:8443", ()),
        ("443", "*", (("127.0.0.1", 443),)),
        ("443", "*:443 *:444", (("127.0.0.1", 443),)),
    ],
)
def test_where_a_handshake_reaches_it(
    listen: str, address: str, reached: tuple[tuple[str, int], ...]
) -> None:
    found = host(vhost("SSLEngine on\n", address), before=f"Listen {listen}\n")
    assert found.listens == reached


def test_names() -> None:
    text = "".join(
        vhost(f"SSLEngine on\n{name}")
        for name in (
            "ServerName https://a.test:443\nServerAlias b c\nServerAlias d\n",
            "ServerName a.test\n",
            "",
            "ServerName 192.0.2.1\n",
        )
    )
    found = hosts(reading(f"{SSL}Listen 443\n{text}"))
    assert [(one.name, one.server_name) for one in found] == [
        ("a.test", "a.test"),
        ("a.test:443", "a.test"),
        ("*:443", None),
        ("192.0.2.1", None),
    ]
    assert found[0].aliases == ("b", "c", "d")


@pytest.mark.parametrize(
    ("main", "own", "verifies"),
    [
        ("", "", False),
        ("", "SSLVerifyClient require\n", True),
        ("", "SSLVerifyClient optional_no_ca\n", True),
        ("SSLVerifyClient require\n", "", True),
        ("SSLVerifyClient require\n", "SSLVerifyClient none\n", False),
        ("", "<Location /a>\nSSLVerifyClient require\n</Location>\n", True),
        ("<Directory /a>\nSSLVerifyClient optional\n</Directory>\n", "", True),
        ("", "<Location /a>\nSSLVerifyClient none\n</Location>\n", False),
    ],
)
def test_client_certificates_are_seen_in_every_scope(main: str, own: str, verifies: bool) -> None:
    found = host(vhost(f"SSLEngine on\n{own}"), before=f"Listen 443\n{main}")
    assert found.verifies_clients is verifies


def test_another_hosts_client_certificates_are_its_own() -> None:
    text = vhost("SSLEngine on\nSSLVerifyClient require\n") + vhost("SSLEngine on\n")
    found = hosts(reading(f"{SSL}Listen 443\n{text}"))
    assert [one.verifies_clients for one in found] == [True, False]


def test_the_main_server_is_a_site_where_no_host_takes_its_port() -> None:
    main = f"{SSL}Listen 443\nServerName m\nSSLEngine on\nSSLCertificateFile /m\n"
    (found,) = hosts(reading(main))
    assert (found.number, found.name, found.listens) == (None, "m", (("127.0.0.1", 443),))
    both = hosts(reading(main + vhost("ServerName v\n")))
    assert [one.name for one in both] == ["v"]


@pytest.mark.parametrize(
    ("main", "names", "defines"),
    [
        ("redhat/conf/httpd.conf", ["_default_:443"], ()),
        ("certbot/apache2.conf", ["example.test", "shop.test"], ()),
        ("suse/httpd.conf", ["suse.test"], ("SSL",)),
        ("old/httpd.conf", ["old.test"], ()),
    ],
)
def test_layouts_of_distributions(main: str, names: list[str], defines: tuple[str, ...]) -> None:
    path = CORPUS / main
    root = path.parent.parent if path.parent.name == "conf" else path.parent
    found = tls_hosts(read(str(path), Rooted(root), server_root=str(root), defines=defines))
    assert [one.name for one in found] == names


class Rooted:
    """Implements `Lookup`: every ServerRoot is this folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def matching(self, pattern: str) -> list[str]:
        for root in ("/etc/httpd/", "/usr/local/apache2/"):
            pattern = pattern.replace(root, f"{self._root}/")
        place = Path(pattern)
        return sorted(map(str, place.parent.glob(place.name)))

    def text(self, name: str) -> str | None:
        return Path(name).read_text()

    def exists(self, path: str) -> bool:
        return Path(path).exists()
