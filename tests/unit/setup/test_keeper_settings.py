"""What the keeper's settings gain: tables at the end, once, and nothing else touched."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.setup.keeper_settings import with_needs
from holdfast.setup.words import KeeperNeed

WWW = KeeperNeed(
    name="www", chain=Path("/etc/www.pem"), kind="nginx", keys={"include": "/etc/nginx/{name}.conf"}
)
MAIL = KeeperNeed(
    name="mail",
    chain=Path("/etc/mail.pem"),
    issuer=Path("/etc/ca.pem"),
    kind="nginx",
    keys=WWW.keys,
)
TEXT = '# ours\n[keeper]\nstate = "/var/lib/holdfast"  # here\n'


@pytest.mark.parametrize("text", ["", TEXT, TEXT.rstrip("\n"), TEXT.replace("\n", "\r\n")])
def test_added_at_the_end_and_once(text: str) -> None:
    made = with_needs(text, [WWW, MAIL])
    assert made.startswith(text)
    read = tomllib.loads(made)
    assert [one["name"] for one in read["certificate"]] == ["www", "mail"]
    assert read["certificate"][1]["issuer"] == "/etc/ca.pem"
    (server,) = read["server"]  # what is equal is one server
    assert server == {"name": "nginx", "kind": "nginx", "include": "/etc/nginx/{name}.conf"}
    assert with_needs(made, [WWW, MAIL]) == made
    assert ("\r\n" in made) == ("\r\n" in text)


def test_another_server_of_the_kind_gets_a_free_name() -> None:
    text = '[[server]]\nname = "nginx"\nkind = "nginx"\ninclude = "/elsewhere/{name}.conf"\n'
    names = [one["name"] for one in tomllib.loads(with_needs(text, [WWW]))["server"]]
    assert names == ["nginx", "nginx-2"]


def test_a_certificate_of_other_servers_is_told() -> None:
    text = '[[certificate]]\nname = "www"\nchain = "/etc/www.pem"\nservers = ["files"]\n'
    with pytest.raises(OperatorError, match="for other servers") as caught:
        with_needs(text, [WWW])
    assert "'nginx'" in caught.value.hint


def test_what_is_no_toml_is_told() -> None:
    with pytest.raises(OperatorError, match=r"holdfast\.toml"):
        with_needs("[keeper", [WWW])
