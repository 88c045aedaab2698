"""What we read of Apache's configuration is what Apache reads: its own dump of it (mod_info's
`-D DUMP_CONFIG`) names the same directives, with the same words, at the same lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.conf.apache_reading import Reading, Said, read
from holdfast.conf.text import line_of
from holdfast.setup.apache_disk import Disk
from support.pki import written
from support.servers.stock_apache import PROGRAM, StockApache
from support.tls_world import a_ca, a_site, run

DUMPED = Path(__file__).parents[2] / "corpus" / "apache" / "dumped"
MODULES = "/usr/lib/apache2/modules"
LOADED = (
    *("mpm_event", "authz_core", "alias", "headers", "setenvif", "rewrite", "info", "macro"),
    *("socache_shmcb", "ssl", "mime", "dir"),
)
AT_ONCE = {"loadmodule", "define", "undefine", "include", "includeoptional", "serverroot"} | {
    "defaultruntimedir"
}
UNFOLDED = {"use", "undefmacro"}
BUILT_IN = (
    *("core.c", "mod_so.c", "mod_watchdog.c", "http_core.c", "mod_log_config.c", "mod_logio.c"),
    *("mod_version.c", "mod_unixd.c"),
)

Line = tuple[str, int, str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return written(a_site(a_ca(), "localhost"), tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("path", sorted(DUMPED.iterdir()), ids=lambda path: path.stem)
def test_apache_reads_the_same(path: Path, tmp_path: Path, pair: tuple[Path, Path]) -> None:
    main = tmp_path / "main.conf"
    loads = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED]
    more = [
        *("ServerName localhost", f"PidFile {tmp_path}/pid", f"ErrorLog {tmp_path}/log"),
        *(f"DefaultRuntimeDir {tmp_path}", "Define PORT 8443", f"Define RUN {tmp_path}"),
        *(f"Define CERT {pair[0]}", f"Define KEY {pair[1]}", "Listen 127.0.0.1:8443"),
        f"Include {path}",
    ]
    main.write_text("\n".join([*loads, *more]) + "\n")
    code, said = run([PROGRAM, "-d", tmp_path, "-f", main, "-t", "-D", "DUMP_CONFIG"])
    assert code == 0, said
    disk = Disk()
    reading = read(
        str(main),
        disk,
        server_root=str(tmp_path),
        version=(2, 4, 71),
        defines=("DUMP_CONFIG",),
        built_in=BUILT_IN,
    )
    assert reading.gaps == ()
    assert ours(reading) == list(theirs(said))


def test_apache_reads_the_same_of_its_package() -> None:
    apache = StockApache(a_site(a_ca(), "localhost"))
    try:
        apache.enable("mods", "info.load")
        for name in sorted(path.name for path in (apache.conf / "conf-available").iterdir()):
            if not (apache.conf / "conf-enabled" / name).is_symlink():
                apache.enable("conf", name)
        code, said = run(apache.words("-t", "-D", "DUMP_CONFIG"))
        assert code == 0, said
        reading = read(
            str(apache.conf / "apache2.conf"),
            Disk(),
            server_root=str(apache.conf),
            version=(2, 4, 71),
            environment=apache.environment,
            built_in=BUILT_IN,
        )
        found = ours(reading)
        assert len(found) > 100
        assert found == list(theirs(said))
    finally:
        apache.remove()


def ours(reading: Reading) -> list[Line]:
    return [
        (said.file, _last_line(reading, said), plain(" ".join([said.name, *said.arguments])))
        for said in reading.said
        if said.name not in AT_ONCE | UNFOLDED
    ]


def _last_line(reading: Reading, said: Said) -> int:
    end = said.node.end - (1 if said.node.raw.endswith("\n") else 0)
    return line_of(reading.texts[said.file], end)


def theirs(dump: str) -> Iterator[Line]:
    """Directives, not sections: file, the last line, and the words."""
    file, before, line = "", 0, 0
    for text in dump.split("\n"):
        if found := re.fullmatch(r"\s*# In file: (.*)", text):
            file, before = found[1], 0
            if macro := re.match(r'macro \'[^\']*\' \(defined on line (\d+) of "([^"]*)"\)', file):
                file, before = macro[2], int(macro[1])
        elif found := re.fullmatch(r"\s*#\s*(\d+):", text):
            line = int(found[1]) + before
        elif text.strip() and not text.lstrip(" ").startswith(("<", "[")) and line:
            if text == "Syntax OK":
                continue
            name, _, words = text.strip(" ").partition(" ")
            yield file, line, plain(f"{name.lower()} {words}")
            line = 0


def plain(words: str) -> str:
    """Without quotes, escapes and the width of white space."""
    shown = words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"[ \t\r\v\f]+", " ", re.sub(r"[\"'\\]", "", shown)).strip(" ")
