"""Server and cures are in every format that has room for them, and harmless there."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from xml.etree import ElementTree

from holdfast.cli.check_text import tell
from holdfast.cli.output import Printer
from holdfast.formats import html, junit, sarif
from holdfast.ocsp.findings import FATAL, NOTE
from holdfast.plan.cure import Here, ServerSeen
from holdfast.plan.cures import Case, cures
from holdfast.plan.report import Report, document
from holdfast.plan.software import Software
from support.reports import a_missing, a_must_staple

COMMAND = "holdfast setup apache --config '/etc/<apache>/&.conf' --site '*:443' --mend"


def told(report: Report) -> Report:
    """By an Apache of this machine."""
    here = Here(kind="apache", pid=7, reload=("true",), config="/etc/<apache>/&.conf", site="*:443")
    software = Software(name="apache", version="2.4", because="it answers", behind="<blink>")
    server = ServerSeen(software=software, here=here)
    case = Case(target=report.target, server=server, leaves=report.leaves)
    return replace(report, server=server, cures=cures(report.findings, case))


def in_text(report: Report) -> str:
    stream = io.StringIO()
    tell([report], to=Printer(stream))
    return stream.getvalue()


def test_a_person_sees_the_server_and_the_command() -> None:
    text = in_text(told(a_missing()))
    assert "Apache 2.4 (it answers, with /etc/<apache>/&.conf); behind it <blink>" in text
    assert f"  $ {COMMAND}\n" in text


def test_the_same_cure_is_told_once() -> None:
    report = told(a_must_staple())
    assert {"staple-missing", "must-staple-without-staple"} & set(report.cures)
    both = replace(
        report,
        findings=(*report.findings, *a_missing().findings),
        cures={**report.cures, "staple-missing": report.cures["must-staple-without-staple"]},
    )
    text = in_text(both)
    assert text.count(COMMAND) == 1
    assert "cure: the same" in text


def test_programs_and_pages_have_it_too() -> None:
    report = told(a_missing())
    (shown,) = json.loads(json.dumps(document([report])))["reports"]
    (found,) = [one for one in shown["findings"] if one["code"] == "staple-missing"]
    assert found["cures"][0]["steps"][0]["run"][:3] == ["holdfast", "setup", "apache"]
    assert shown["server"]["behind"] == "<blink>"
    page = html.document([report])
    assert "&lt;apache&gt;/&amp;.conf" in page
    assert "<apache>" not in page
    assert "<blink>" not in page
    assert COMMAND in "".join(ElementTree.fromstring(junit.document([report], NOTE)).itertext())
    assert COMMAND in json.dumps(sarif.document([report])).replace('\\"', '"')


def test_a_report_that_nobody_asked_about_reads_as_before() -> None:
    report = a_missing()
    assert "cure:" not in in_text(report)
    assert "  server " not in in_text(report)
    assert "<pre>holdfast" not in html.document([report])
    assert "$ holdfast" not in junit.document([report], FATAL)
