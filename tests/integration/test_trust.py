"""`holdfast ca trust` and `untrust`, judged by curl and certutil; every file back byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import holdfast
from support.processes import ran
from support.tls_peers import program

# What would have curl and OpenSSL look elsewhere than they usually do
OVERRIDES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = ("--with-server", "localhost", "--intermediate", "--name", "Trusted Test")
    assert holdfast("ca", "init", "--ca", tmp_path / "ca", *words).code == 0
    return tmp_path / "ca"


@pytest.fixture
def port(folder: Path) -> Iterator[int]:
    issued = folder / "issued"
    words = ["openssl", "s_server", "-quiet", "-www", "-cert", issued / "localhost.pem"]
    words += ["-key", issued / "localhost.key", "-cert_chain", folder / "ca.pem"]
    with program(words, lambda port: ["-accept", f"127.0.0.1:{port}"]) as port:
        yield port


def curl(port: int, **environment: str) -> int:
    """curl's exit code for our server, with no --cacert; 60 is `not trusted`."""
    clean = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", f"https://localhost:{port}/"],
        env=clean | environment, timeout=30, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode


def trust(folder: Path, action: str, *words: object) -> list[str]:
    done = holdfast("ca", action, "--ca", folder, "--json", *words)
    assert done.code == 0, done.err
    return [row["did"] for row in done.json["stores"]]


@pytest.mark.parametrize("before", [b"", b"no end of line", b"# mine\n"])
def test_a_bundle_file(folder: Path, port: int, tmp_path: Path, before: bytes) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(before)
    bundle.chmod(0o640)
    assert curl(port, CURL_CA_BUNDLE=str(bundle)) in (60, 77)  # an empty one cannot be set
    assert trust(folder, "trust", "--bundle", bundle) == ["added"]
    assert trust(folder, "trust", "--bundle", bundle) == ["trusted already"]
    assert curl(port, CURL_CA_BUNDLE=str(bundle)) == 0
    assert trust(folder, "untrust", "--bundle", bundle) == ["put back as it was"]
    assert bundle.read_bytes() == before
    assert bundle.stat().st_mode & 0o777 == 0o640
    assert trust(folder, "untrust", "--bundle", bundle) == ["was not trusted"]
    assert not (folder / "trusted").exists()


def test_a_bundle_that_was_not_there_is_gone_again(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "deep" / "bundle.pem"
    bundle.parent.mkdir()
    trust(folder, "trust", "--bundle", bundle)
    trust(folder, "untrust", "--bundle", bundle)
    assert list(bundle.parent.iterdir()) == []


def test_a_bundle_behind_a_link(folder: Path, tmp_path: Path) -> None:
    bundle, link = tmp_path / "bundle.pem", tmp_path / "link.pem"
    bundle.write_bytes(b"# mine\n")
    link.symlink_to(bundle)
    trust(folder, "trust", "--bundle", link)
    assert link.is_symlink()
    assert b"BEGIN" in bundle.read_bytes()
    assert trust(folder, "untrust", "--bundle", link) == ["put back as it was"]
    assert link.is_symlink()
    assert bundle.read_bytes() == b"# mine\n"


def test_what_somebody_else_added_meanwhile_stays(folder: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(b"# mine\n")
    trust(folder, "trust", "--bundle", bundle)
    with bundle.open("ab") as file:
        file.write(b"# theirs\n")
    assert trust(folder, "untrust", "--bundle", bundle) == ["taken out"]
    assert bundle.read_bytes() == b"# mine\n# theirs\n"


def test_a_folder_of_local_cas(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "local"
    place.mkdir()
    trust(folder, "trust", "--system-dir", place)
    (file,) = place.iterdir()
    assert file.read_bytes() == (folder / "root.pem").read_bytes()
    trust(folder, "untrust", "--system-dir", place)
    assert list(place.iterdir()) == []


def test_the_browsers_databases(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chromium's, which is made and goes away again, and a Firefox profile with others in it."""
    home = tmp_path / "home"
    profile = home / ".mozilla" / "firefox" / "abc.default"
    profile.mkdir(parents=True)
    certutil("-N", profile, "--empty-password")
    other = tmp_path / "other"
    assert holdfast("ca", "init", "--ca", other, "--name", "Other").code == 0
    certutil("-A", profile, "-a", "-n", "other", "-t", "C,,", "-i", other / "root.pem")
    before = contents(home)
    monkeypatch.setenv("HOME", str(home))

    assert not accepts(profile, folder)
    added = trust(folder, "trust", "--store", "nss")
    assert [did.startswith("added as 'Trusted Test Root (holdfast ") for did in added] == [True] * 2
    for database in (profile, home / ".pki" / "nssdb"):
        assert accepts(database, folder)
    assert trust(folder, "untrust", "--store", "nss") == ["put back as it was"] * 2
    assert contents(home) == before
    assert not (home / ".pki").exists()
    assert not accepts(profile, folder)


def test_a_database_that_changed_meanwhile_keeps_its_changes(folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "nss"
    trust(folder, "trust", "--nssdb", database)
    leaf = folder / "issued" / "localhost.pem"
    certutil("-A", database, "-a", "-n", "theirs", "-t", ",,", "-i", leaf)
    assert trust(folder, "untrust", "--nssdb", database) == ["taken out"]
    listed = ran(["certutil", "-L", "-d", f"sql:{database}"]).stdout
    assert b"theirs" in listed
    assert b"holdfast" not in listed


def test_the_system_store(folder: Path, port: int, tmp_path: Path) -> None:
    """The real commands on the real layout, in a mount namespace of the test's own: whatever
    happens, this machine's trust is not touched. curl believes, and then does not."""
    before = system_contents()
    if os.geteuid() != 0:
        refused = holdfast("ca", "trust", "--ca", folder, "--store", "system")
        assert refused.code == 2
        assert "hint: run as root" in refused.err
        assert system_contents() == before
        return
    copies = []
    for place in SYSTEM_PLACES:
        copy = tmp_path / place.replace("/", "_")
        subprocess.run(["cp", "-a", place, str(copy)], check=True)
        copies.append(copy)
    script = tmp_path / "within.sh"
    mounts = [f'mount --bind "{c}" {p}' for c, p in zip(copies, SYSTEM_PLACES, strict=True)]
    script.write_text("set -e\n" + "\n".join(mounts) + '\nexec "$@"\n')
    clean = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
    words = ["unshare", "--mount", "sh", script, sys.executable, "-c", WITHIN]
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [*map(str, words), str(folder), str(port)],
        env=clean | {"PYTHONPATH": paths}, timeout=110, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == ["60", "added", "0", "put", "back", "60", "same"]
    assert system_contents() == before


SYSTEM_PLACES = ("/etc/ssl", "/usr/local/share/ca-certificates")
WITHIN = """
import sys
from pathlib import Path
sys.path[:0] = [p for p in sys.path if p.endswith("tests")]
from support.cli import holdfast
from integration.test_trust import curl, system_contents, trust
folder, port = Path(sys.argv[1]), int(sys.argv[2])
before = system_contents()
print(curl(port))
print(*trust(folder, "trust", "--store", "system"))
print(curl(port))
print(*[did.split(" as ")[0] for did in trust(folder, "untrust", "--store", "system")])
print(curl(port))
print("same" if system_contents() == before else "differs")
"""


def test_dry_run_names_the_places(folder: Path, tmp_path: Path) -> None:
    done = holdfast("ca", "trust", "--ca", folder, "--dry-run", "--bundle", tmp_path / "b.pem")
    assert f"the bundle {tmp_path}/b.pem: would trust" in done.out
    assert not (tmp_path / "b.pem").exists()


def certutil(word: str, database: Path, *words: object) -> None:
    done = ran(["certutil", word, "-d", f"sql:{database}", *words])
    assert done.returncode == 0, done.stderr.decode()


def accepts(database: Path, folder: Path) -> bool:
    """Whether certutil -V believes our server by a copy of `database`."""
    import shutil

    copy = folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(database, copy)
    certutil("-A", copy, "-a", "-n", "issuing", "-t", ",,", "-i", folder / "ca.pem")
    leaf = folder / "issued" / "localhost.pem"
    certutil("-A", copy, "-a", "-n", "server", "-t", ",,", "-i", leaf)
    return ran(["certutil", "-V", "-d", f"sql:{copy}", "-n", "server", "-u", "V"]).returncode == 0


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def system_contents() -> dict[str, str | bytes | None]:
    """Every file and link of the system's stores; a link by where it leads."""
    found: dict[str, str | bytes | None] = {}
    for place in ("/etc/ssl/certs", "/usr/local/share/ca-certificates"):
        for path in Path(place).rglob("*"):
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            else:
                found[str(path)] = path.read_bytes() if path.is_file() else None
    return found
