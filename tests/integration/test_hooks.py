"""Renewal by others' tools: certbot's live links and deploy hook, acme.sh's files and --reloadcmd,
with `holdfast wait` as the hook of a keeper that runs (K18, K29)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.pki.issue import Issued
from support.cli import holdfast
from support.keep_world import BEGIN, World, a_world
from support.pki import a_server
from support.processes import HOLDFAST

SETTINGS = """
[keeper]
state = "state"
watch = "1s"
[[certificate]]
name = "web"
chain = "live/web/fullchain.pem"
servers = ["files"]
[[server]]
name = "files"
kind = "files"
file = "web.ocsp"
"""
# What certbot's renewal does: a new file in archive, the link of live turned, then the deploy hooks
# with RENEWED_LINEAGE; a hook that fails is told and the renewal stands.
CERTBOT = """#!/bin/sh
set -e
cp "$2" archive/web/fullchain2.pem
ln -s ../../archive/web/fullchain2.pem live/web/fullchain.new
mv -T live/web/fullchain.new live/web/fullchain.pem
RENEWED_LINEAGE="$PWD/live/web" RENEWED_DOMAINS=web.test sh "$1"
"""
# acme.sh --install-cert: the files are written in place, then the reload command is run.
ACME_SH = """#!/bin/sh
set -e
head -c 200 "$2" > live/web/fullchain.pem
sleep 1.2
cat "$2" > live/web/fullchain.pem
RELOAD_CMD=$(cat "$1")
eval "$RELOAD_CMD"
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """With certbot's layout: live/web/fullchain.pem is a link into archive."""
    world = a_world(tmp_path)
    for folder in ("archive/web", "live/web"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "archive/web/fullchain1.pem").write_bytes((tmp_path / "web.pem").read_bytes())
    (tmp_path / "live/web/fullchain.pem").symlink_to("../../archive/web/fullchain1.pem")
    world.settings(SETTINGS)
    return world


def renewed(world: World) -> Issued:
    """A new certificate in `new.pem`, which the responder knows."""
    urls = (f"http://127.0.0.1:{world.port}/",)
    issued = a_server(world.ca, "web.test", at=BEGIN, responder_urls=urls)
    world.write_index(issued)
    (world.folder / "new.pem").write_bytes(issued.pem + world.ca.issued.pem)
    return issued


def run(world: World, tool: str, hook: str) -> subprocess.CompletedProcess[bytes]:
    (world.folder / "tool").write_text(tool)
    (world.folder / "hook").write_text(hook)
    return subprocess.run(
        ["sh", "tool", "hook", "new.pem"],
        cwd=world.folder,
        env={**os.environ, "HOLDFAST": " ".join(HOLDFAST)},
        capture_output=True,
        timeout=60,
        check=False,
    )


def serials(world: World) -> list[str]:
    rows = holdfast("status", "--state", world.state, "--json").json["certificates"]
    return [row["serial"] for row in rows if row["state"] != "leaving"]


# /etc/letsencrypt/renewal-hooks/deploy/holdfast, as the how-to has it; `echo` is the reload
DEPLOY_HOOK = """
$HOLDFAST wait "$RENEWED_LINEAGE/fullchain.pem" --timeout 30s --state state && echo reloaded
"""
RELOADCMD = (
    "$HOLDFAST wait live/web/fullchain.pem --timeout 30s --state state --json > waited.json"
    " && echo reloaded"
)


def test_k18_k29_certbot_deploy_hook(world: World) -> None:
    """The hook goes on when the new certificate's staple is there, and the old one's was until
    then; nobody told the keeper."""
    file = world.folder / "web.ocsp"
    with world.responder(), world.keeper("-c", world.folder / "holdfast.toml"):
        assert holdfast("wait", "web", "--state", world.state, "--timeout", "20s").code == 0
        old = file.read_bytes()
        issued = renewed(world)
        assert file.read_bytes() == old
        done = run(world, CERTBOT, DEPLOY_HOOK)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(b"reloaded\n")
        assert file.read_bytes() != old
        (world.folder / "web.pem").write_bytes((world.folder / "new.pem").read_bytes())
        assert "web.pem: good" in world.judged_by_openssl(file)
        assert f"{issued.certificate.serial:x}" in serials(world)


def test_k18_k29_acme_sh_reloadcmd(world: World) -> None:
    """A file that is half written when it is looked at costs nothing: the old staple stays."""
    file = world.folder / "web.ocsp"
    with world.responder(), world.keeper("-c", world.folder / "holdfast.toml"):
        assert holdfast("wait", "web", "--state", world.state, "--timeout", "20s").code == 0
        issued = renewed(world)
        link = world.folder / "live/web/fullchain.pem"
        link.unlink()
        link.write_bytes((world.folder / "web.pem").read_bytes())
        done = run(world, ACME_SH, RELOADCMD)
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"reloaded\n"
        assert f"{issued.certificate.serial:x}" in serials(world)
        (world.folder / "web.pem").write_bytes((world.folder / "new.pem").read_bytes())
        assert "web.pem: good" in world.judged_by_openssl(file)


def test_k29_a_hook_before_a_dead_responder_ends_in_time_and_reloads_nothing(world: World) -> None:
    """The red twin: the old certificate keeps its staple, the hook says why it fails."""
    file = world.folder / "web.ocsp"
    with world.keeper("-c", world.folder / "holdfast.toml"):
        with world.responder():
            assert holdfast("wait", "web", "--state", world.state, "--timeout", "20s").code == 0
        old = file.read_bytes()
        renewed(world)
        begun = time.monotonic()
        done = run(world, CERTBOT, DEPLOY_HOOK.replace("30s", "4s"))
        assert time.monotonic() - begun < 12
        assert done.returncode == 3
        assert b"reloaded" not in done.stdout
        assert b"no staple held and delivered within" in done.stderr
        assert file.read_bytes() == old


def test_k29_a_name_that_is_not_kept_fails_at_once(world: World) -> None:
    with world.keeper("-c", world.folder / "holdfast.toml"):
        begun = time.monotonic()
        outcome = holdfast("wait", "nobody", "--state", world.state, "--timeout", "20s")
        assert outcome.code != 0
        assert time.monotonic() - begun < 5
