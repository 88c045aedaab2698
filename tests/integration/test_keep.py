"""`holdfast keep` and its companions before a responder that others wrote: openssl ocsp -index."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ocsp.certid import CertID
from support.cli import holdfast
from support.keep_world import BEGIN, TWO, World, a_world, soon
from support.pki import a_server
from support.ports import free_port
from support.processes import HOLDFAST, ran, running


@pytest.fixture
def world(tmp_path: Path) -> World:
    return a_world(tmp_path)


def test_one_certificate_without_a_settings_file(world: World) -> None:
    """K1, K3: the staple appears in the store and in the file, and openssl accepts it."""
    with world.responder(), world.keeper(*world.options()):
        waited = holdfast("wait", "web.test", "--state", world.state, "--timeout", "20s")
        assert waited.code == 0, waited.err
        assert "good" in waited.out
        assert "web.pem: good" in world.judged_by_openssl(world.out)
        (row,) = world.status()["certificates"]
        assert (row["name"], row["state"], row["settled"]) == ("web.test", "good", True)
        assert row["servers"] == [
            {
                "name": "file",
                "delivered": True,
                "proved": None,
                "delivered_at": row["servers"][0]["delivered_at"],
                "failures": 0,
                "last_failure": None,
            }
        ]
        held = holdfast("staple", "web.test", "--state", world.state)
        assert held.stdout == world.out.read_bytes()
        socket_mode = (world.state / "control.sock").stat().st_mode
        assert stat.S_IMODE(socket_mode) == 0o600
        table = holdfast("status", "--state", world.state)
        line = next(line for line in table.out.splitlines() if line.startswith("web.test"))
        assert re.search(r"good +\[=*>-+\] \d+%, \d+m.* left +refresh in \d+m", line), line
        assert "1 good; next: web.test in" in table.out


def test_settings_page_and_metrics(world: World) -> None:
    """K22, K29: two certificates, two servers, the page, the metrics."""
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        url = json.loads(started.first)["url"]
        for name in ("web", "mail"):
            waited = holdfast("wait", name, "-c", settings, "--timeout", "20s")
            assert waited.code == 0, waited.err
        assert "mail.pem: good" in world.judged_by_openssl(world.folder / "mail.ocsp", "mail")
        assert (world.folder / "told.log").read_text() == "deliver\n"

        def got(path: str) -> str:
            with urllib.request.urlopen(url + path, timeout=10) as reply:
                return str(reply.read().decode())

        page = got("")
        assert 'class="good"' in page
        assert "must-staple" in page
        assert json.loads(got("status.json"))["schema"] == "holdfast.status/1"
        metrics = got("metrics")
        assert 'holdfast_certificates{state="good"} 2' in metrics
        assert 'holdfast_fetches_total{outcome="good"} 2' in metrics
        assert got("healthz") == "ok\n"


def test_k11_a_revocation_reaches_the_file(world: World) -> None:
    with world.responder(), world.keeper(*world.options(), "--recheck", "1s"):
        soon(world.out.exists)
        world.write_index(revoked=True)

        def revoked() -> bool:
            return "web.pem: revoked" in world.judged_by_openssl(world.out)

        soon(revoked)
        (row,) = world.status()["certificates"]
        assert row["state"] == "revoked"
        assert row["alerts"] == ["revoked"]


def test_k3_kill_9_and_restart_with_the_responder_down(world: World) -> None:
    with world.responder(), world.keeper(*world.options()) as started:
        soon(world.out.exists)
        before = world.out.read_bytes()
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    assert (world.state / "control.sock").exists(), "left behind, and no obstacle"
    world.out.unlink()
    with world.keeper(*world.options()) as started:
        soon(world.out.exists)
        assert world.out.read_bytes() == before
        begun = time.monotonic()
        assert started.stop(signal.SIGTERM) == 0
        assert time.monotonic() - begun < 8
    assert not (world.state / "control.sock").exists()
    assert world.out.read_bytes() == before, "a clean end takes nothing away"


def test_k7_k24_a_dead_responder_then_refresh(world: World) -> None:
    with world.keeper(*world.options()):
        waited = holdfast("wait", "web.test", "--state", world.state, "--timeout", "1s")
        assert waited.code == 3
        assert str(world.port) in waited.err
        (row,) = world.status()["certificates"]
        assert row["state"] == "missing"
        assert row["last_failure"]["kind"]
        assert not world.out.exists()
        with world.responder():
            done = holdfast("refresh", "web.test", "--state", world.state, "--json")
            assert done.json == {"refreshing": ["web.test"]}
            soon(world.out.exists)


def test_k24_sighup_and_reload(world: World) -> None:
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        for name in ("web", "mail"):
            assert holdfast("wait", name, "-c", settings, "--timeout", "20s").code == 0
        first = (world.folder / "web.ocsp").read_bytes()
        only_web = TWO.replace(
            '[[certificate]]\nname = "mail"\nchain = "mail.pem"\nservers = ["files"]\n', ""
        )
        world.settings(only_web)
        started.child.send_signal(signal.SIGHUP)
        soon(lambda: not (world.folder / "mail.ocsp").exists())
        assert (world.folder / "web.ocsp").read_bytes() == first, "what stays is not touched"
        assert [row["name"] for row in world.status()["certificates"]] == ["web"]
        world.settings(TWO + "\nnonsense = 1\n")
        broken = holdfast("reload", "--state", world.state)
        assert broken.code == 2
        assert "nonsense" in broken.err
        assert (world.folder / "web.ocsp").exists(), "a reload that fails changes nothing"
        world.settings(TWO.replace("{name}.ocsp", "moved-{name}.ocsp"))
        assert "2 certificates" in holdfast("reload", "-c", settings).out
        soon((world.folder / "moved-mail.ocsp").exists)
        soon((world.folder / "moved-web.ocsp").exists)
        assert not (world.folder / "web.ocsp").exists(), "nothing would refresh it there"


def test_k18_a_renewed_file_is_noticed_and_takes_over(world: World) -> None:
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings):
        assert holdfast("wait", "web", "-c", settings, "--timeout", "20s").code == 0
        renewed = a_server(
            world.ca,
            "web.test",
            at=BEGIN,
            responder_urls=(f"http://127.0.0.1:{world.port}/",),
        )
        world.write_index(renewed)
        chain = world.folder / "web.pem"
        chain.with_suffix(".new").write_bytes(renewed.pem + world.ca.issued.pem)
        os.replace(chain.with_suffix(".new"), chain)

        def taken_over() -> bool:
            rows = world.status()["certificates"]
            return [row["serial"] for row in rows if row["name"] == "web"] == [
                f"{renewed.certificate.serial:x}"
            ]

        soon(taken_over)
        soon(lambda: "web.pem: good" in world.judged_by_openssl(world.folder / "web.ocsp"))


def test_without_a_daemon_the_store_is_read_and_verified(world: World) -> None:
    with world.responder(), world.keeper(*world.options()):
        soon(world.out.exists)
        assert holdfast("wait", "web.test", "--state", world.state).code == 0
    chain = world.folder / "web.pem"
    held = holdfast("staple", chain, "--state", world.state)
    assert held.code == 0, held.err
    assert held.stdout == world.out.read_bytes()
    late = (datetime.now(UTC) + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = holdfast("staple", chain, "--state", world.state, "--at", late)
    assert (ended.code, ended.stdout) == (1, b"")
    certid = CertID.of(world.web.certificate.serial, world.ca.certificate)
    stored = world.state / "staples" / f"{certid.key}.der"
    flipped = bytearray(stored.read_bytes())
    flipped[80] ^= 1  # in tbsResponseData
    stored.write_bytes(flipped)
    assert holdfast("staple", chain, "--state", world.state).code in (1, 3)


@pytest.mark.parametrize(
    "words",
    [("status",), ("refresh",), ("reload",), ("wait", "x", "--timeout", "0s"), ("staple", "x")],
    ids=lambda words: words[0],
)
def test_no_keeper_is_running(tmp_path: Path, words: tuple[str, ...]) -> None:
    outcome = holdfast(*words, "--state", tmp_path)
    assert outcome.code == 3
    assert "hint:" in outcome.err
    assert "keep" in outcome.err
    assert "Traceback" not in outcome.err


def test_k27_dead_man(world: World) -> None:
    """The keeper is killed and never comes back: at its end the staple is taken from everywhere."""
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        for name in ("web", "mail"):
            assert holdfast("wait", name, "-c", settings, "--timeout", "20s").code == 0
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    early = holdfast("withdraw", "--expired", "-c", settings)
    assert (early.code, early.out) == (0, "nothing to withdraw\n")
    at = (datetime.now(UTC) + timedelta(minutes=9, seconds=45)).strftime("%Y-%m-%dT%H:%M:%SZ")
    looked = holdfast("withdraw", "--expired", "-c", settings, "--at", at, "--dry-run", "--json")
    assert len(looked.json["withdrawn"]) == 5
    assert (world.folder / "web.ocsp").exists()
    done = holdfast("withdraw", "--expired", "-c", settings, "--at", at)
    assert done.code == 0, done.err
    assert not list(world.folder.glob("*.ocsp"))
    assert not list((world.state / "staples").glob("*.der"))
    assert (world.folder / "told.log").read_text() == "deliver\nwithdraw\n"


def test_k27_dead_man_after_a_rotation(world: World) -> None:
    """The file still holds the staple of the certificate before: it goes at its own end."""
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        assert holdfast("wait", "web", "-c", settings, "--timeout", "20s").code == 0
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    renewed = a_server(world.ca, "web.test", at=BEGIN, responder_urls=("http://127.0.0.1:9/",))
    (world.folder / "web.pem").write_bytes(renewed.pem + world.ca.issued.pem)
    assert holdfast("withdraw", "--expired", "-c", settings).out == "nothing to withdraw\n"
    assert (world.folder / "web.ocsp").exists()
    at = after(timedelta(minutes=9, seconds=45))  # a little before nextUpdate
    assert holdfast("withdraw", "--expired", "-c", settings, "--at", at).code == 0
    assert not list(world.folder.glob("*.ocsp"))
    assert not list((world.state / "staples").glob("*.der"))


def after(span: timedelta) -> str:
    return (datetime.now(UTC) + span).strftime("%Y-%m-%dT%H:%M:%SZ")


def killed(world: World, *words: object, minutes: int | None = 10) -> None:
    """A keeper delivers and is killed."""
    with world.responder(minutes=minutes), world.keeper(*words) as started:
        assert holdfast("wait", "web.test", "--state", world.state, "--timeout", "20s").code == 0
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    assert world.out.exists()


def stored(world: World) -> list[Path]:
    return list((world.state / "staples").glob("*.der"))


def test_k27_dead_man_without_a_settings_file(world: World) -> None:
    """What the keeper was told by options is known when it is dead."""
    killed(world, *world.options())
    saved = world.state / "settings.json"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    words = ("withdraw", "--expired", "--state", world.state)
    assert holdfast(*words).out == "nothing to withdraw\n"
    done = holdfast(*words, "--at", after(timedelta(days=2)))
    assert done.code == 0, done.err
    assert not world.out.exists()
    assert not stored(world)
    assert "withdrew web.test from file" in done.out


@pytest.mark.parametrize(("spoil", "says"), [("gone", "no settings"), ("others", "another user")])
def test_k27_without_settings_nothing_is_taken_away(world: World, spoil: str, says: str) -> None:
    """Red twin: whose files are not known, keeps what shows that there are some."""
    killed(world, *world.options())
    saved = world.state / "settings.json"
    if spoil == "gone":
        saved.unlink()
    else:
        saved.chmod(0o666)
    refused = holdfast(
        "withdraw", "--expired", "--state", world.state, "--at", after(timedelta(days=2))
    )
    assert refused.code == 2
    assert says in refused.err
    assert "-c" in refused.err
    assert world.out.exists()
    assert stored(world)


def test_k27_k6_without_next_update_it_ends_too(world: World) -> None:
    killed(world, *world.options(), minutes=None)
    words = ("withdraw", "--expired", "--state", world.state, "--at")
    assert holdfast(*words, after(timedelta(hours=11))).out == "nothing to withdraw\n"
    assert holdfast(*words, after(timedelta(hours=12))).code == 0
    assert not world.out.exists()
    assert not stored(world)


def test_k27_k6_without_next_update_after_a_rotation(world: World) -> None:
    """The staple of the certificate before, which nothing can prove any more, ends too."""
    killed(world, *world.options(), minutes=None)
    renewed = a_server(world.ca, "web.test", at=BEGIN, responder_urls=("http://127.0.0.1:9/",))
    (world.folder / "web.pem").write_bytes(renewed.pem + world.ca.issued.pem)
    words = ("withdraw", "--expired", "--state", world.state, "--at")
    assert holdfast(*words, after(timedelta(hours=11))).out == "nothing to withdraw\n"
    assert holdfast(*words, after(timedelta(hours=12))).code == 0
    assert not world.out.exists()
    assert not stored(world)


def test_k27_a_reload_is_known_too(world: World) -> None:
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings) as started:
        assert holdfast("wait", "web", "-c", settings, "--timeout", "20s").code == 0
        world.settings(TWO.replace("{name}.ocsp", "moved-{name}.ocsp"))
        assert holdfast("reload", "-c", settings).code == 0
        soon((world.folder / "moved-web.ocsp").exists)
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    settings.unlink()
    words = ("withdraw", "--expired", "--state", world.state, "--at")
    done = holdfast(*words, after(timedelta(minutes=11)))
    assert done.code == 0, done.err
    assert not list(world.folder.glob("*.ocsp"))


def test_k27_a_server_that_was_not_told_is_told_again(world: World) -> None:
    """The file is gone, the command fails: exit 3 until it succeeds, and the store's copy last."""
    text = TWO.replace("echo $HOLDFAST_ACTION >> told.log", "echo $HOLDFAST_ACTION >> told.log; ")
    world.settings(text.replace('told.log; "]', 'told.log; test ! -e deaf"]'))
    settings, deaf = world.folder / "holdfast.toml", world.folder / "deaf"
    settings.write_text(settings.read_text().replace("-e deaf", f"-e {deaf}"))
    with world.responder(), world.keeper("-c", settings) as started:
        for name in ("web", "mail"):
            assert holdfast("wait", name, "-c", settings, "--timeout", "20s").code == 0
        started.child.send_signal(signal.SIGKILL)
        started.child.wait(timeout=10)
    deaf.touch()
    words = ("withdraw", "--expired", "-c", settings, "--at", after(timedelta(days=2)))
    for _ in range(2):
        failed = holdfast(*words)
        assert failed.code == 3
        assert "withdrew web from told: failed" in failed.out
        assert not (world.folder / "told.ocsp").exists()
        assert len(stored(world)) == 1, "that of web; mail's servers are done"
    deaf.unlink()
    looked = holdfast(*words, "--dry-run")
    assert looked.out == "would withdraw web from told\nwould withdraw web from store\n"
    done = holdfast(*words)
    assert (done.code, done.out) == (0, "withdrew web from told\nwithdrew web from store\n")
    assert not stored(world)
    assert (world.folder / "told.log").read_text().split() == ["deliver"] + ["withdraw"] * 3
    assert holdfast(*words).out == "nothing to withdraw\n"


def test_k27_a_name_and_only_without_a_keeper(world: World) -> None:
    settings = world.settings(TWO)
    with world.responder(), world.keeper("-c", settings):
        for name in ("web", "mail"):
            assert holdfast("wait", name, "-c", settings, "--timeout", "20s").code == 0
        refused = holdfast("withdraw", "web", "-c", settings)
        assert refused.code == 2
        assert "keeper is running" in refused.err
    done = holdfast("withdraw", "web", "-c", settings)
    assert done.code == 0, done.err
    assert sorted(path.name for path in world.folder.glob("*.ocsp")) == ["mail.ocsp"]


def test_a_second_keeper_on_one_state_folder_is_refused(world: World) -> None:
    with world.keeper(*world.options()):
        second = ran([*HOLDFAST, "keep", *world.options()], cwd=world.folder)
        assert second.returncode == 2
        assert b"another keeper is running" in second.stderr


def test_check_dry_run_and_show_settings(world: World) -> None:
    settings = world.settings(TWO)
    checked = holdfast("keep", "-c", settings, "--check")
    assert checked.code == 0, checked.err
    assert "2 certificates; the settings are good" in checked.out
    planned = holdfast("keep", "-c", settings, "--dry-run")
    assert sorted(planned.out.splitlines()) == ["would fetch mail", "would fetch web"]
    assert not world.state.exists(), "looking makes nothing"
    shown = holdfast("keep", "-c", settings, "--show-settings")
    assert 'on_revoked = "staple"' in shown.out
    again = world.folder / "again.toml"
    again.write_text(shown.out)
    assert holdfast("keep", "-c", again, "--check").code == 0
    assert holdfast("keep", "--show-settings").code == 0


ERRORS: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "no settings"),
    "missing file": (("-c", "nowhere.toml"), "nowhere.toml"),
    "both": (("-c", "x.toml", "--certificate", "web.pem"), "two sources"),
    "no state": (("--certificate", "web.pem"), "--state"),
    "no such certificate": (("--certificate", "no.pem", "--state", "s"), "no.pem"),
    "a key": (("--certificate", "web.key", "--state", "s"), "web.key"),
    "no issuer": (("--certificate", "alone.pem", "--state", "s"), "issuer"),
    "run without file": (("--certificate", "web.pem", "--state", "s", "--run", "x"), "--file"),
    "issuer alone": (("--issuer", "ca.pem"), "--certificate"),
    "listen": (("--certificate", "web.pem", "--state", "s", "--listen", "x"), "--listen"),
    "state is a file": (("--certificate", "web.pem", "--state", "ca.pem"), "state folder"),
    "shared": (
        ("--certificate", "web.pem", "--certificate", "mail.pem", "--state", "s", "--file", "x"),
        "share the file",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_line_and_a_hint(world: World, case: str) -> None:
    words, told = ERRORS[case]
    (world.folder / "alone.pem").write_bytes(world.web.pem)
    done = holdfast("keep", *words, cwd=world.folder)
    assert done.code == 2, done.err
    errors = done.err.splitlines()
    assert told in errors[0]
    assert errors[1].startswith("hint: ")
    assert len(errors) == 2


def test_check_says_that_there_is_nothing_and_refuses_what_is_no_responder(world: World) -> None:
    empty = world.folder / "empty"
    empty.mkdir()
    (empty / "spoilt.pem").write_text("-----BEGIN CERTIFICATE-----\nx")
    words = ("keep", "--check", "--state", world.state)
    nothing = holdfast(*words, "--certificate", empty)
    assert nothing.code == 2
    assert "empty: no certificate is there" in nothing.err
    assert "spoilt.pem" in nothing.err
    ftp = holdfast(*words, "--certificate", "web.pem", "--responder-url", "ftp://x/")
    assert ftp.code == 2
    assert "--responder-url 'ftp://x/': not an http or https URL" in ftp.err


def test_k16_the_issuer_by_aia_is_asked_for_once_and_kept(world: World) -> None:
    port = free_port()
    urls = (f"http://127.0.0.1:{world.port}/",)
    where = (f"http://127.0.0.1:{port}/ca.pem",)
    bare = a_server(world.ca, "bare.test", at=BEGIN, responder_urls=urls, issuer_urls=where)
    (world.folder / "bare.pem").write_bytes(bare.pem)
    world.write_index(bare)
    words = ("--certificate", world.folder / "bare.pem", "--state", world.state)
    checked = holdfast("keep", "--check", *words)
    assert checked.code == 0, checked.err
    assert f"the keeper will ask for it at {where[0]}" in checked.out
    server = [sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with world.responder():
        with running(server, cwd=world.folder, until=b"Serving"), world.keeper(*words):
            deadline = time.monotonic() + 20
            while not list((world.state / "issuers").glob("*.der")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            while holdfast("wait", "bare.test", "--state", world.state, "--timeout", "5s").code:
                assert time.monotonic() < deadline
        with world.keeper(*words):  # nobody is there to be asked for it
            waited = holdfast("wait", "bare.test", "--state", world.state, "--timeout", "20s")
            assert waited.code == 0, waited.err
