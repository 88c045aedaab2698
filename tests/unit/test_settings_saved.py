"""What a keeper ran by, for those who come when it is dead. K27."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.settings import Settings, read_settings
from holdfast.settings_saved import FILE, save_settings, saved_settings
from holdfast.settings_server import ServerTable

TEXT = """
[keeper]
state = "state"
recheck = "90s"
[[certificate]]
chain = "web.pem"
servers = ["told"]
[[server]]
name = "told"
kind = "command"
file = "told.ocsp"
run = ["./tell", "./this"]
run_on_withdraw = []
"""


def test_all_of_it_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "holdfast.toml"
    file.write_text(TEXT)
    settings = read_settings(file)
    save_settings(settings, tmp_path)
    assert saved_settings(tmp_path) == settings
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_programs_are_those_that_the_keeper_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = ServerTable(name="x", kind="command", file="f", run=["./tell", "./this"], test=["true"])
    save_settings(Settings(server=[table]), tmp_path)
    saved = saved_settings(tmp_path)
    assert saved is not None
    assert saved.server[0].run == [os.path.join(tmp_path, "tell"), "./this"]
    assert saved.server[0].test == ["true"], "looked up in PATH"


def test_none_were_left(tmp_path: Path) -> None:
    assert saved_settings(tmp_path) is None
    assert saved_settings(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["", "[]", '{"keeper": 7}', "{"])
def test_spoiled_ones_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(OperatorError, match="spoiled"):
        saved_settings(tmp_path)


def test_those_that_others_could_have_written_are_not_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    (tmp_path / FILE).chmod(0o620)
    with pytest.raises(OperatorError, match="another user"):
        saved_settings(tmp_path)


def test_that_they_cannot_be_left_hinders_nothing(tmp_path: Path) -> None:
    save_settings(Settings(), tmp_path / "nowhere")
