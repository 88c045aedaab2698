"""holdfast.toml: what is accepted, and errors with file, line, column and the nearest key."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.settings import (
    Settings,
    parse_address,
    parse_duration,
    read_settings,
    usual_file,
)
from holdfast.settings_shown import show_settings
from holdfast.toml_places import place_of

WHOLE = """\
# a comment
[keeper]
state = "state"
recheck = "60s"
default_lifetime = "1h30m"
responder_overrides = { "*" = "http://relay/" }

[[certificate]]
name = "web"
chain = "live/web/fullchain.pem"
servers = ["told"]
need = "must"

[[certificate]]
chain = "/absolute/*.pem"
responder_urls = ["http://ocsp.test/"]

[[server]]
name = "told"
kind = "command"
file = "out/{name}.ocsp"
run = ["bin/tell", "{staple_file}"]
run_on_withdraw = ["systemctl", "reload", "x"]
"""


def read(folder: Path, text: str) -> Settings:
    (folder / "holdfast.toml").write_text(text, encoding="utf-8")
    return read_settings(folder / "holdfast.toml")


def test_everything(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    assert settings.keeper.recheck == timedelta(seconds=60)
    assert settings.keeper.default_lifetime == timedelta(minutes=90)
    assert settings.keeper.refresh_at == 0.5
    assert settings.certificate[0].need == "must"
    assert settings.certificate[1].responder_urls == ["http://ocsp.test/"]


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    assert settings.keeper.state == str(tmp_path / "state")
    assert settings.certificate[0].chain == str(tmp_path / "live/web/fullchain.pem")
    assert settings.certificate[1].chain == "/absolute/*.pem"
    (server,) = settings.server
    assert server.file == str(tmp_path / "out/{name}.ocsp")
    assert server.run == [str(tmp_path / "bin/tell"), "{staple_file}"]
    assert server.run_on_withdraw == ["systemctl", "reload", "x"], "a bare word is looked up"


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert (settings.keeper.on_revoked, settings.certificate) == ("staple", [])


ERRORS: dict[str, tuple[str, str, str]] = {
    "unknown key": (
        '[keeper]\nstate = "x"\n  refesh_at = 0.5\n',
        ":3:3: unknown key 'refesh_at' in [keeper]",
        "did you mean 'refresh_at'?",
    ),
    "unknown key of the second": (
        '[[certificate]]\nchain="a"\n[[certificate]]\nchain="b"\nisuer="c"\n',
        ":5:1: unknown key 'isuer' in [[certificate]]",
        "did you mean 'issuer'?",
    ),
    "unknown table": ("[keper]\n", ":1:2: unknown table or key 'keper'", "'keeper'"),
    "wrong type": ('[keeper]\nrefresh_at = "x"\n', ":2:1: refresh_at: expected float, not str", ""),
    "range": ("[keeper]\nrefresh_at = 3.0\n", ":2:1: refresh_at", ""),
    "choice": ('[keeper]\non_revoked = "drop"\n', ":2:1: on_revoked", "one of staple, withhold"),
    "duration": ('[keeper]\nrecheck = "5 minutes"\n', ":2:1: recheck: '5 minutes'", "10m"),
    "no duration": ("[keeper]\nrecheck = 60\n", ":2:1: recheck: 60 is not a duration", "90s"),
    "zero": ('[keeper]\nwatch = "0s"\n', ":2:1: watch: '0s'", "90s"),
    "missing": ('[[certificate]]\nname = "x"\n', ":1:3: [[certificate]] without 'chain'", "add"),
    "server": (
        '[[certificate]]\nchain="a"\nservers = ["wb"]\n[[server]]\nname="web"\nkind="proxy"\n',
        ":3:1: there is no server 'wb'",
        "did you mean 'web'?",
    ),
    "responder_urls": (
        '[[certificate]]\nchain = "c"\nresponder_urls = ["ftp://x/"]\n',
        ":3:1: 'ftp://x/': not an http or https URL",
        "http://ocsp.example.org/",
    ),
    "responder_overrides": (
        '[keeper]\nresponder_overrides = { "*" = "http://" }\n',
        ":2:1: '*': 'http://': no host in it",
        "http://ocsp.example.org/",
    ),
    "nginx without include": (
        '[[server]]\nname="n"\nkind = "nginx"\n',
        ":3:1: a server of kind 'nginx' needs include",
        "/etc/nginx/holdfast/{name}.conf",
    ),
    "a key of another kind": (
        '[[server]]\nname="n"\nkind = "nginx"\ninclude = "i"\nincude = "x"\n',
        ":5:1: unknown key 'incude' in [[server]] of kind 'nginx'",
        "did you mean 'include'?",
    ),
    "a key of no use to its kind": (
        '[[server]]\nname="n"\nkind = "files"\nfile = "f"\nsockets = ["x"]\n',
        ":5:1: unknown key 'sockets' in [[server]] of kind 'files'",
        "known here: name, kind, prove, file, encoding, mode",
    ),
    "kind": ('[[server]]\nname="n"\nkind = "comand"\n', ":3:1: unknown kind", "'command'"),
    "no file": ('[[server]]\nname="n"\nkind="files"\n', ":3:1: a server of kind", "file ="),
    "no run": ('[[server]]\nname="n"\nkind="command"\nfile="x"\n', ":3:1: a server", "run ="),
    "twice": (
        '[[server]]\nname="n"\nkind="proxy"\n[[server]]\nname="n"\nkind="proxy"\n',
        ":5:1: two servers are called 'n'",
        "rename",
    ),
    "empty name": ('[[server]]\nname=""\nkind="proxy"\n', ":2:1: name", ""),
    "run is a line": (
        '[[server]]\nname="n"\nkind="command"\nfile="x"\nrun = "a b"\n',
        ":5:1: run: expected array, not str",
        "",
    ),
    "mode": ('[[server]]\nname="n"\nkind="files"\nfile="x"\nmode="rw"\n', ":5:1: mode", ""),
    "listen": ('[keeper]\nlisten = "9120"\n', ":2:1: listen", "127.0.0.1:9120"),
    "prove": ('[[server]]\nname="n"\nkind="proxy"\nprove="x"\n', ":4:1: 'x'", "localhost:443"),
    "store": ('[keeper]\nstore = "redis://x"\n', ":2:1: store", "files"),
    "a list": ("[[keeper]]\n", ":1:3: keeper is a table", ""),
    "no list": ("[server]\n", ":1:2: server is a table: write [[server]]", ""),
    "a value": ("keeper = 1\n", ":1:1: keeper is a table", ""),
    "syntax": ("[keeper]\nstate = \n", ":2:9: invalid value", ""),
    "twice a key": ('[keeper]\nstate = "a"\nstate = "b"\n', ":3:", ""),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_where_and_what_to_do(tmp_path: Path, case: str) -> None:
    text, told, hint = ERRORS[case]
    with pytest.raises(OperatorError) as caught:
        read(tmp_path, text)
    assert f"holdfast.toml{told}" in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = [" + b"[" * 5000, b"\x00"])
def test_garbage_is_the_operators_to_mend(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(OperatorError, match=r"x\.toml"):
        read_settings(tmp_path / "x.toml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="nowhere"):
        read_settings(tmp_path / "nowhere.toml")


def test_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperatorError, match="no settings") as caught:
        usual_file()
    assert "--show-settings" in caught.value.hint
    (tmp_path / "holdfast.toml").write_text("")
    assert usual_file() == Path("holdfast.toml")


def test_what_is_shown_is_read_again(tmp_path: Path) -> None:
    settings = read(tmp_path, WHOLE)
    shown = show_settings(settings)
    again = read(tmp_path, shown)
    assert (again.keeper, again.certificate, again.server) == (
        settings.keeper,
        settings.certificate,
        settings.server,
    )
    assert 'recheck = "1m"  # ask also' in shown


def test_every_key_of_every_table_is_shown_with_what_it_is_for() -> None:
    shown = show_settings(Settings())
    for key in ("refresh_at", "on_revoked", "chain", "run_on_withdraw", "prove"):
        line = next(line for line in shown.splitlines() if f"{key} " in line)
        assert "  # " in line


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("12h", 43200), ("7d", 604800), ("1h30m", 5400)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "5w", "1.5h"])
def test_no_durations(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        (":0", ("", 0)),
        ("[::1]:443", ("::1", 443)),
        ("host:65536", None),
        ("::1:443", None),
        ("host", None),
        ("ho st:1", None),
    ],
)
def test_addresses(text: str, found: tuple[str, int] | None) -> None:
    assert parse_address(text) == found


def test_places() -> None:
    text = 'a = """\n[keeper]\nstate = 1\n"""\n[keeper]\n"state" = 2\n'
    assert place_of(text, ("keeper", "state")) == (6, 1)
    assert place_of(text, ("keeper", "other")) == (5, 2)
    assert place_of(text, ("nothing",)) is None
