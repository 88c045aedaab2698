"""nginx's program and files as they are read, and its logs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from holdfast.conf.nginx_reading import MappingFiles, read
from holdfast.errors import OperatorError
from holdfast.setup.log import lines_since, mark
from holdfast.setup.nginx_disk import DiskFiles, build, parse_build, read_configuration
from holdfast.setup.nginx_log import log_files

DEBIAN = (
    "nginx version: nginx/1.22.1\nbuilt with OpenSSL 3.0.11\nconfigure arguments: "
    "--with-cc-opt='-g -O2 --x=y' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf "
    "--error-log-path=stderr --pid-path=/run/nginx.pid --with-http_ssl_module\n"
)


def test_what_a_build_says_of_itself() -> None:
    made = parse_build(DEBIAN)
    assert made.version == (1, 22, 1)
    assert made.config == Path("/etc/nginx/nginx.conf")
    assert made.pid_file == Path("/run/nginx.pid")
    assert made.error_log == "stderr"


def test_a_plain_build_has_everything_below_its_prefix() -> None:
    made = parse_build("nginx version: nginx/1.27.4\nconfigure arguments: --with-http_ssl_module")
    assert made.config == Path("/usr/local/nginx/conf/nginx.conf")
    assert made.pid_file == Path("/usr/local/nginx/logs/nginx.pid")


def test_openresty_is_an_nginx() -> None:
    said = DEBIAN.replace("nginx/1.22.1", "openresty/1.21.4.1")
    assert parse_build(said).version == (1, 21, 4, 1)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (DEBIAN.replace("1.22.1", "1.3.6"), "1.3.6, which cannot staple"),
        (DEBIAN.replace("--with-http_ssl_module", ""), "built without TLS"),
        ("usage: something else", "does not say which nginx"),
    ],
)
def test_what_cannot_staple_is_refused(said: str, message: str) -> None:
    with pytest.raises(OperatorError, match=message) as refused:
        parse_build(said)
    assert refused.value.hint


def test_the_first_version_that_staples() -> None:
    assert parse_build(DEBIAN.replace("1.22.1", "1.3.7")).version == (1, 3, 7)


def test_the_real_program_and_one_that_is_not_there() -> None:
    assert asyncio.run(build("/usr/sbin/nginx")).version >= (1, 3, 7)
    with pytest.raises(OperatorError, match="cannot run /usr/sbin/no-nginx"):
        asyncio.run(build("/usr/sbin/no-nginx"))


def test_files_are_kept_by_the_name_that_nginx_knows(tmp_path: Path) -> None:
    enabled, available = tmp_path / "sites-enabled", tmp_path / "sites-available"
    enabled.mkdir()
    available.mkdir()
    (available / "a").write_bytes(b"a;\xff")
    (enabled / "a").symlink_to("../sites-available/a")
    (enabled / "gone").symlink_to("../sites-available/gone")
    (tmp_path / "nginx.conf").write_text("include sites-enabled/*;")
    files = DiskFiles()
    reading = read_configuration(tmp_path / "nginx.conf", files)
    assert list(files.held) == [tmp_path / "nginx.conf", enabled / "a"]
    assert files.held[enabled / "a"] == b"a;\xff"
    assert [one.file for one in reading.missing] == [str(enabled / "gone")]
    assert "No such file" in files.troubles[enabled / "gone"]


def test_the_disk_matches_as_the_pure_reading_does(tmp_path: Path) -> None:
    """Deciding works on the files that were read: both must find the same."""
    for name in ("a.conf", "b.conf", ".c.conf", "d.conf~", "A.conf"):
        (tmp_path / name).write_text("x;")
    names = {str(path): "x;" for path in tmp_path.iterdir()}
    for pattern in ("*", "*.conf", "[ab].conf", "?.conf", ".*", "[!a].conf", "*.conf*"):
        whole = f"{tmp_path}/{pattern}"
        assert DiskFiles().matching(whole) == MappingFiles(names).matching(whole), pattern


def test_a_main_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"nginx\.conf: No such file"):
        read_configuration(tmp_path / "nginx.conf", DiskFiles())


def test_the_logs_that_a_configuration_names() -> None:
    text = (
        "error_log logs/main.log; http { error_log /v/http.log warn; server { error_log stderr; "
        "error_log syslog:server=x; error_log memory:32m debug; error_log /v/http.log; } }"
    )
    reading = read("/n", MappingFiles({"/n": text}))
    assert reading is not None
    found = log_files(reading, default="stderr", prefix=Path("/p"))
    assert found == (Path("/p/logs/main.log"), Path("/v/http.log"))
    empty = read("/n", MappingFiles({"/n": ""}))
    assert empty is not None
    assert log_files(empty, default="/v/e.log", prefix=Path("/p")) == (Path("/v/e.log"),)
    assert log_files(empty, default="stderr", prefix=Path("/p")) == ()


def test_what_was_written_since(tmp_path: Path) -> None:
    log, new = tmp_path / "a.log", tmp_path / "b.log"
    log.write_text("old\n")
    before = mark([log, new])
    assert lines_since(before, [log, new]) == ()
    log.write_text("old\nnew\n")
    new.write_text("first\n")
    assert lines_since(before, [log, new]) == ("new", "first")
    log.rename(tmp_path / "a.log.1")
    log.write_text("after rotation\n")
    assert lines_since(before, [log]) == ("after rotation",)


def test_a_log_that_was_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("a long line that goes\n")
    before = mark([log])
    os.truncate(log, 0)
    log.write_text("short\n")
    assert lines_since(before, [log]) == ("short",)


def test_a_log_that_is_a_pipe_says_nothing(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert lines_since(mark([pipe]), [pipe]) == ()
