"""The smallest edits: where lines go, how they look, and that they are not made twice."""

from __future__ import annotations

import pytest

from holdfast.conf.apache_reading import Reading
from holdfast.conf.apache_stapling import (
    cache_value,
    keeper_values,
    pruned,
    stapling,
    stapling_lines,
)
from support.apache_files import SSL, after, hosts, reading

LISTEN = "Listen 443\nListen 8443\n"
URL = "http://127.0.0.1:9120/ocsp"
NATIVE = (
    "SSLStaplingResponderTimeout 5\nSSLStaplingReturnResponderErrors off\n"
    "SSLStaplingFakeTryLater off\n"
)
CACHE = "SSLStaplingCache shmcb:/run/ssl_stapling(128000)\n"


def site(name: str, more: str = "", *, port: int = 443) -> str:
    return (
        f"<VirtualHost *:{port}>\n    ServerName {name}\n    SSLEngine on\n"
        f"    SSLCertificateFile /{name}.pem\n{more}</VirtualHost>\n"
    )


def done(said: Reading, *names: str, url: str = "") -> Reading:
    """Stapling set up for the sites of `names`, or all; the same again is no edit."""
    result = after(said, edits(said, names, url))
    assert edits(result, names, url) == ()
    for name in said.texts:
        left = list(result.texts[name].splitlines(keepends=True))
        for line in said.texts[name].splitlines(keepends=True):
            if line.endswith("\n") and "tapling" not in line:
                assert line in left
    return result


def edits(said: Reading, names: tuple[str, ...], url: str):  # type: ignore[no-untyped-def]
    every = hosts(said)
    chosen = [one for one in every if not names or one.name in names]
    return stapling(said, chosen, every=len(chosen) == len(every), keeper_url=url)


def test_beside_the_session_cache_and_in_its_folder() -> None:
    text = f"{SSL}{LISTEN}  SSLSessionCache shmcb:/run/x(512000)\n  SSLSessionCacheTimeout 3\n"
    said = reading(text + site("a"))
    result = done(said)
    lines = "".join(f"  {line}\n" for line in (CACHE + NATIVE).splitlines())
    own = "    SSLCertificateFile /a.pem\n"
    expected = (text + lines + site("a")).replace(own, own + "    SSLUseStapling on\n")
    assert result.texts["/a/0.conf"] == expected


def test_the_cache_goes_to_the_file_that_has_the_session_cache() -> None:
    said = reading(f"{SSL}{LISTEN}Include 1.conf\n", "SSLSessionCache dbm:/run/x\n" + site("a"))
    result = done(said)
    assert result.texts["/a/0.conf"] == said.texts["/a/0.conf"]
    assert "SSLSessionCache dbm:/run/x\nSSLStaplingCache shmcb:/run/" in result.texts["/a/1.conf"]


def test_else_the_end_of_the_main_file_guarded() -> None:
    said = reading(f"{SSL}{LISTEN}Include 1.conf\nDefaultRuntimeDir /run/q", site("a"))
    result = done(said)
    lines = "".join(
        f"    {line}\n" for line in (CACHE.replace("/run/", "/run/q/") + NATIVE).splitlines()
    )
    end = f"\n<IfModule mod_ssl.c>\n{lines}</IfModule>\n"
    assert result.texts["/a/0.conf"] == said.texts["/a/0.conf"] + end


@pytest.mark.parametrize(
    ("lines", "folder"),
    [
        ("SSLSessionCache shmcb:${R}/x(5)\n", "${R}/"),
        ("SSLSessionCache none\nDefaultRuntimeDir /q\n", "/q/"),
        ("PidFile run/httpd.pid\n", "run/"),
        ("PidFile httpd.pid\n", "logs/"),
        ("SSLSessionCache dc:UNIX:/x/y\n", "logs/"),
    ],
)
def test_the_run_folder(lines: str, folder: str) -> None:
    said = reading(f"{SSL}Define R /r\n{lines}")
    assert cache_value(said) == f"shmcb:{folder}ssl_stapling(128000)"


def test_debians_run_folder_is_written_as_its_variable() -> None:
    said = reading(SSL, environment={"APACHE_RUN_DIR": "/run/apache2"})
    assert cache_value(said) == "shmcb:${APACHE_RUN_DIR}/ssl_stapling(128000)"


def test_a_folder_with_a_space_is_quoted() -> None:
    assert cache_value(reading(f'{SSL}DefaultRuntimeDir "/a b"\n')) == (
        '"shmcb:/a b/ssl_stapling(128000)"'
    )


def test_what_the_operator_said_stays_in_native_mode() -> None:
    text = f"{SSL}{LISTEN}SSLStaplingCache dbm:/mine\nSSLStaplingResponderTimeout 2\n" + site(
        "a", "    SSLStaplingReturnResponderErrors on\n"
    )
    result = done(reading(text))
    assert result.texts["/a/0.conf"] == text.replace(
        "dbm:/mine\n", "dbm:/mine\nSSLStaplingFakeTryLater off\n"
    ).replace("/a.pem\n", "/a.pem\n    SSLUseStapling on\n")


def test_off_becomes_on_in_its_place() -> None:
    text = f"{SSL}{LISTEN}{CACHE}{NATIVE}" + site("a", '    SSLUseStapling  "Off"\n')
    result = done(reading(text))
    assert result.texts["/a/0.conf"] == text.replace('"Off"', "on")


def test_a_shared_file_stays_and_is_answered_after_it() -> None:
    """certbot's options file has it off for all; the host says otherwise at its end."""
    text = f"{SSL}{LISTEN}{CACHE}{NATIVE}" + site("a", "    Include 1.conf\n") + site("b")
    said = reading(text, "SSLUseStapling off\n")
    result = done(said, "a")
    assert result.texts["/a/1.conf"] == "SSLUseStapling off\n"
    assert result.texts["/a/0.conf"] == text.replace(
        "    Include 1.conf\n", "    Include 1.conf\n    SSLUseStapling on\n"
    )
    assert [one.staples for one in hosts(result)] == [True, False]


def test_crlf_and_tabs_as_the_neighbours_have_them() -> None:
    text = (f"{SSL}{LISTEN}SSLSessionCache shmcb:/run/x(5)\n" + site("a")).replace("\n", "\r\n")
    text = text.replace("    ", "\t")
    result = done(reading(text)).texts["/a/0.conf"]
    assert result.count("\n") == result.count("\r\n")
    assert "\r\n\tSSLUseStapling on\r\n" in result


def test_the_keeper_has_its_values_for_all_sites_at_once() -> None:
    text = f"{SSL}{LISTEN}{CACHE}SSLStaplingStandardCacheTimeout 3600\n" + site("a") + site("b")
    result = done(reading(text), url=URL)
    for host in hosts(result):
        for name, value in keeper_values(URL):
            found = result.value(name.lower(), host.number)
            assert found is not None
            assert (found.first, found.host) == (value, None)
    assert result.texts["/a/0.conf"].count("StandardCacheTimeout") == 1


def test_the_keeper_of_one_site_leaves_the_other_alone() -> None:
    text = f"{SSL}{LISTEN}{CACHE}" + site("a", "    SSLStaplingForceURL http://else/\n") + site("b")
    result = done(reading(text), "a", url=URL)
    a, b = hosts(result)
    assert (a.forced_url, a.staples, b.forced_url, b.staples) == (URL, True, "", False)
    assert result.value("sslstaplingstandardcachetimeout", b.number) is None


def test_sites_of_one_macro_are_edited_once() -> None:
    macro = "<Macro S $n>\n" + site("$n") + "</Macro>\nUse S a\nUse S b\n"
    result = done(reading(f"{SSL}{LISTEN}{CACHE}{NATIVE}{macro}"))
    assert result.texts["/a/0.conf"].count("SSLUseStapling on") == 1
    assert [one.staples for one in hosts(result)] == [True, True]


def test_the_main_server_may_be_the_site() -> None:
    text = f"{SSL}{LISTEN}SSLEngine on\nSSLCertificateFile /m.pem\n"
    result = done(reading(text))
    assert result.texts["/a/0.conf"].startswith(text)
    (main,) = hosts(result)
    assert (main.number, main.staples) == (None, True)


def test_a_host_with_nothing_to_stand_beside() -> None:
    text = f"{SSL}{LISTEN}{CACHE}{NATIVE}SSLEngine on\nSSLCertificateFile /m.pem\n"
    text += "  <VirtualHost *:443>\n  </VirtualHost>\n"
    said = reading(text)
    result = done(said, hosts(said)[0].name)
    assert "<VirtualHost *:443>\n      SSLUseStapling on\n  </Vir" in result.texts["/a/0.conf"]


def test_no_directive_about_trust_is_ever_written() -> None:
    text = f"{SSL}{LISTEN}" + site(
        "a", "    SSLVerifyClient require\n    SSLCACertificateFile /c\n"
    )
    for url in ("", URL):
        result = done(reading(text), url=url).texts["/a/0.conf"]
        assert result.count("SSLCA") == 1


def test_pruning_takes_everything_out_where_every_site_is_dead() -> None:
    text = f"{SSL}{LISTEN}" + site("a") + site("b")
    said = reading(text)
    stapled = done(said)
    result = after(stapled, pruned(stapled, hosts(stapled), every=True))
    assert stapling_lines(result, None) == ()
    assert all(stapling_lines(result, host.number) == () for host in hosts(result))


def test_pruning_one_site_leaves_the_others_stapling() -> None:
    text = (
        f"{SSL}{LISTEN}{CACHE}SSLUseStapling on\n"
        + site("a", "    SSLUseStapling on\n")
        + site("b")
    )
    said = reading(text)
    a = hosts(said)[0]
    result = after(said, pruned(said, [a], every=False))
    assert [one.staples for one in hosts(result)] == [False, True]
    assert pruned(result, [hosts(result)[0]], every=False) == ()
