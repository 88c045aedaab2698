"""The web page shows the server and the cures of its findings, to be copied."""

from __future__ import annotations

from dataclasses import replace

from holdfast.plan.cure import ServerSeen
from holdfast.plan.cures import Case, cures
from holdfast.plan.report import Report
from holdfast.plan.software import Kind, Software
from holdfast.services.web.answer import Answer
from holdfast.services.web.pages import Pages
from support.pki import AT
from support.reports import a_missing


def shown(report: Report) -> dict[str, str]:
    answer = Answer(id="x", host="x", at=AT, running=False, cut="", report=dict(report.as_json()))
    return {part.name: str(part.html) for part in Pages(keeper=False).parts(answer)}


def of(name: Kind, **more: str) -> Report:
    report = a_missing()
    server = ServerSeen(software=Software(name=name, **more))
    case = Case(target=report.target, server=server, leaves=report.leaves)
    return replace(report, server=server, cures=cures(report.findings, case))


def test_a_known_servers_cure_can_be_copied() -> None:
    parts = shown(of("nginx", version="1.22.1", because="it answers"))
    assert "nginx 1.22.1 (it answers)" in parts["verdict"]
    assert parts["findings"].count("holdfast setup nginx --mend") == 1
    after = parts["findings"].partition("holdfast setup nginx --mend")[2]
    assert "ssl_stapling on;" in after
    assert 'class="copy' in after


def test_what_a_server_says_of_itself_is_text_alone() -> None:
    parts = shown(of("nginx", because="<script>alert(1)</script>"))
    assert "<script>" not in parts["verdict"] + parts["more"]
    assert "&lt;script&gt;" in parts["verdict"]


def test_an_unknown_server_is_not_named_and_gets_the_short_set() -> None:
    parts = shown(of("unknown"))
    assert "Server:" not in parts["verdict"]
    for kind in ("apache", "nginx", "haproxy"):
        assert f"holdfast setup {kind} --mend" in parts["findings"]
