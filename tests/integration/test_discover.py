"""`holdfast keep --discover` on a tree of other programs' files; what it prints, `keep` reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from holdfast.pki.issue import Issued
from support.cli import holdfast
from support.tls_world import a_ca, a_site

CA = a_ca()
URLS = ("http://ocsp.test/",)


def placed(root: Path, path: str, content: str | bytes) -> Path:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


def a_certificate(name: str, urls: tuple[str, ...] = URLS) -> Issued:
    return a_site(CA, name, responder_urls=urls)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def discovered(root: Path) -> tuple[str, dict]:  # type: ignore[type-arg]
    told = holdfast("keep", "--discover", "--root", root)
    assert told.code == 0, told.err
    return told.out, tomllib.loads(told.out)


def checked(root: Path, text: str) -> str:
    (root / "holdfast.toml").write_text(text)
    done = holdfast("keep", "-c", root / "holdfast.toml", "--state", root / "state", "--check")
    assert done.code == 0, done.err
    return done.out


def test_certbot_and_acme_sh(root: Path) -> None:
    archive = placed(root, "/etc/letsencrypt/archive/a.test/fullchain1.pem", b"")
    archive.write_bytes(a_certificate("a.test").fullchain_pem)
    live = root / "etc/letsencrypt/live/a.test"
    live.mkdir(parents=True)
    (live / "fullchain.pem").symlink_to("../../archive/a.test/fullchain1.pem")
    placed(
        root, "/home/me/.acme.sh/b.test_ecc/fullchain.cer", a_certificate("b.test").fullchain_pem
    )
    quiet = a_certificate("quiet.test", ())
    placed(root, "/etc/letsencrypt/live/quiet.test/fullchain.pem", quiet.fullchain_pem)
    placed(root, "/etc/letsencrypt/live/spoilt.test/fullchain.pem", "nothing")
    text, document = discovered(root)
    chains = [one["chain"] for one in document["certificate"]]
    assert chains == [
        str(live / "fullchain.pem"),
        str(root / "home/me/.acme.sh/b.test_ecc/fullchain.cer"),
    ]
    assert "quiet.test/fullchain.pem (certbot): not applicable: it names no OCSP responder" in text
    assert "spoilt.test/fullchain.pem (certbot): " in text
    assert "2 certificates; the settings are good" in checked(root, text)


def test_nginx_by_its_includes(root: Path) -> None:
    placed(root, "/etc/nginx/nginx.conf", "http { include sites-enabled/*; include none/*; }")
    placed(
        root,
        "/etc/nginx/sites-enabled/a",
        'server { ssl_certificate "ssl/a.pem"; }\n'
        "server { ssl_certificate /etc/ssl/rsa.pem; ssl_certificate /etc/ssl/ec.pem; }\n"
        "server { ssl_certificate $name.pem; }",
    )
    placed(root, "/etc/nginx/ssl/a.pem", a_certificate("a.test").fullchain_pem)
    for name in ("rsa", "ec"):
        placed(root, f"/etc/ssl/{name}.pem", a_certificate(f"{name}.test").fullchain_pem)
    text, document = discovered(root)
    servers = {Path(one["chain"]).name: one["servers"] for one in document["certificate"]}
    assert servers["a.pem"] == ["nginx"]
    assert servers["ec.pem"] == ["nginx-relay"]
    assert [one["kind"] for one in document["server"]] == ["nginx", "nginx-relay"]
    assert document["keeper"]["listen"] == "127.0.0.1:9120"
    assert "add `include /etc/nginx/holdfast/a.test.conf*;`" in text
    assert "ssl_certificate $name.pem: not a file that stays" in text
    assert "several certificates" in text
    assert "3 certificates" in checked(root, text)


def test_apache_with_a_chain_file(root: Path) -> None:
    placed(
        root,
        "/etc/apache2/apache2.conf",
        "Define where /etc/ssl/own\nIncludeOptional sites-enabled/*.conf\n",
    )
    placed(
        root,
        "/etc/apache2/sites-enabled/a.conf",
        "<VirtualHost *:443>\nSSLCertificateFile ${where}/a.pem\n"
        "SSLCertificateChainFile /etc/ssl/chain.pem\n</VirtualHost>\n",
    )
    one = a_certificate("a.test")
    placed(root, "/etc/ssl/own/a.pem", one.pem)
    placed(root, "/etc/ssl/chain.pem", one.fullchain_pem[len(one.pem) :])
    text, document = discovered(root)
    (certificate,) = document["certificate"]
    assert certificate["issuer"] == str(root / "etc/ssl/chain.pem")
    assert certificate["servers"] == ["apache"]
    assert document["keeper"]["listen"] == "127.0.0.1:9120"
    assert "gives to apache" in checked(root, text)


def test_haproxy_by_files_folders_and_lists(root: Path) -> None:
    placed(
        root,
        "/etc/haproxy/haproxy.cfg",
        "global\n  stats socket /run/h.sock mode 660 level admin\n  crt-base /etc/haproxy\n"
        "frontend f\n  bind :443 ssl crt certs crt /etc/one.pem crt-list /etc/list\n",
    )
    placed(root, "/etc/list", "/etc/two.pem [alpn h2] two.test\n# no\n")
    for path in ("/etc/haproxy/certs/a.pem", "/etc/one.pem", "/etc/two.pem"):
        one = a_certificate(f"{Path(path).stem}.test")
        placed(root, path, one.fullchain_pem + one.key_pem())
    placed(root, "/etc/haproxy/certs/a.pem.ocsp", b"")
    text, document = discovered(root)
    assert [one["name"] for one in document["certificate"]] == ["a", "one", "two"]
    first, second = document["server"]
    assert first["crt"] == str(root / "etc/haproxy/certs/{name}.pem")
    assert second["crt"] == str(root / "etc/{name}.pem")
    assert first["sockets"] == ["/run/h.sock"]
    assert "3 certificates" in checked(root, text)


def test_a_machine_with_nothing(root: Path) -> None:
    text, document = discovered(root)
    assert document == {}
    assert "No certificate was found" in text
