"""[web]: every key, and errors that say where and what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.settings import Settings, read_settings
from holdfast.settings_shown import show_settings
from holdfast.settings_web import WebTable

TOKEN = "0123456789abcdef0123456789abcdef"
WHOLE = f"""
[web]
listen = "[::1]:8481"
allow_private_targets = true
token = "{TOKEN}"
keeper = "keeper"
state = "state"
ca_file = "roots.pem"
trust_forwarded = ["127.0.0.1", "10.0.0.0/8"]
[web.limits]
checks = 3
check = "30s"
fresh = "1m30s"
per_client = 5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "holdfast.toml"
    path.write_text(text)
    return path


def test_every_key_is_read_and_paths_are_the_files(tmp_path: Path) -> None:
    web = read_settings(written(tmp_path, WHOLE)).web
    assert (web.listen, web.allow_private_targets, web.token) == ("[::1]:8481", True, TOKEN)
    assert web.keeper == str(tmp_path / "keeper")
    assert web.state == str(tmp_path / "state")
    assert web.ca_file == str(tmp_path / "roots.pem")
    assert web.trust_forwarded == ["127.0.0.1", "10.0.0.0/8"]
    assert (web.limits.checks, web.limits.per_client) == (3, 5)
    assert (web.limits.check, web.limits.fresh) == (timedelta(seconds=30), timedelta(seconds=90))


def test_nothing_private_is_looked_at_unless_asked_for() -> None:
    assert WebTable().allow_private_targets is False
    assert WebTable().listen.startswith("127.0.0.1:")


ERRORS = {
    "unknown": ("[web]\nlissten = ''\n", ":2:1: unknown key 'lissten' in [web]", "'listen'"),
    "limit": ("[web.limits]\nchecs = 1\n", ":2:1: unknown key 'checs' in limits of", "'checks'"),
    "address": ('[web]\nlisten = "here"\n', ":2:1: listen: 'here' is not an address", "127.0"),
    "short token": ('[web]\ntoken = "secret"\n', ":2:1: token: shorter than 16", "openssl rand"),
    "network": ('[web]\ntrust_forwarded = ["x"]\n', ":2:1: trust_forwarded: 'x'", "10.0.0.0/8"),
    "zero": ("[web.limits]\nchecks = 0\n", ":2:1: checks", ""),
    "duration": ('[web.limits]\ncheck = "soon"\n', ":2:1: check: 'soon' is not a dur", "90s"),
    "sum": ("[web.limits]\nhandshakes = 11\n", ":2:1: handshakes", ""),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_where_and_what_to_do(tmp_path: Path, case: str) -> None:
    text, told, hint = ERRORS[case]
    with pytest.raises(OperatorError) as caught:
        read_settings(written(tmp_path, text))
    assert told in caught.value.message
    assert hint in caught.value.hint


def test_what_is_shown_is_read_again_and_tells_no_token(tmp_path: Path) -> None:
    settings = read_settings(written(tmp_path, WHOLE))
    shown = show_settings(settings)
    assert TOKEN not in shown
    again = read_settings(written(tmp_path, shown.replace("(set)", TOKEN)))
    assert again.web == settings.web
    assert "# [web]" in show_settings(Settings())
