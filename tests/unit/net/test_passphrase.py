"""Passphrases come from files and systemd's credentials; what is wrong is said with its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.errors import OperatorError
from holdfast.net.passphrase import read_passphrase
from support.pki import private


def test_the_first_line_of_a_file_counts(tmp_path: Path) -> None:
    path = private(tmp_path / "pass", b"correct horse\r\nbattery staple\n")
    assert read_passphrase(str(path)) == b"correct horse"
    path.chmod(0o640)  # a group may be given it
    assert read_passphrase(str(path)) == b"correct horse"


@pytest.mark.parametrize("data", [b"", b"\nsecond", b"with\x00nul\n"])
def test_a_file_without_a_passphrase_is_refused(tmp_path: Path, data: bytes) -> None:
    path = private(tmp_path / "pass", data)
    with pytest.raises(OperatorError, match="no passphrase in its first line"):
        read_passphrase(str(path))


def test_a_file_that_all_can_read_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "pass", b"secret\n")
    path.chmod(0o604)
    with pytest.raises(OperatorError, match="others can read") as caught:
        read_passphrase(str(path))
    assert "secret" not in caught.value.message


def test_a_credential_is_what_systemd_handed_over(tmp_path: Path) -> None:
    private(tmp_path / "ocsp-key", b"from systemd\n").chmod(0o444)  # it guards the folder itself
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase("credential:ocsp-key", environ=environ) == b"from systemd"
    with pytest.raises(OperatorError, match="no such credential") as caught:
        read_passphrase("credential:other", environ=environ)
    assert "LoadCredential=other:" in caught.value.hint
    with pytest.raises(OperatorError, match="CREDENTIALS_DIRECTORY is not set") as caught:
        read_passphrase("credential:ocsp-key", environ={})
    assert "LoadCredential=ocsp-key:" in caught.value.hint


@pytest.mark.parametrize("name", ["", "../shadow", "a/b", ".hidden"])
def test_a_credential_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match="not the name of a credential"):
        read_passphrase(
            f"credential:{name}", environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "inner")}
        )
