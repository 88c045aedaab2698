"""Reports as one HTML file: nothing is loaded, nothing runs, and it prints well.

Laws: every text goes through `_t`, which escapes it and takes its controls away; no attribute holds
another's text but an `aria-label`; there is no link, script, style attribute or image; a policy in
the page forbids all that is not its own style sheet, should a text ever slip through.
CSP3 8.1 (hashes), HTML 13.1.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from html import escape

from holdfast.formats.controls import harmless
from holdfast.formats.html_style import STYLE
from holdfast.formats.summary import VERDICTS, by_hurt, cured, in_words, refused_by, sentence
from holdfast.ocsp.findings import Finding
from holdfast.ocsp.window import duration_text
from holdfast.pki.pem import encode_certificates
from holdfast.plan.report import AskedReport, LeafReport, Report, StapleReport, instant
from holdfast.version import __version__

MOST = 2000  # characters of one text: a subject may be 64 KB
_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def document(reports: Sequence[Report]) -> str:
    """The whole file."""
    return "".join(_page(reports))


def _page(reports: Sequence[Report]) -> Iterator[str]:
    one = reports[0].target if len(reports) == 1 else f"{len(reports)} servers"
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>OCSP stapling: {_t(one)}</title>\n<style>{STYLE}</style></head><body>\n"
        f"<header><h1>OCSP stapling</h1>{_when(reports)}</header>\n<main>\n"
    )
    if len(reports) > 1:
        yield _overview(reports)
    for number, report in enumerate(reports, 1):
        yield from _article(report, number, only=len(reports) == 1)
    yield (
        f'</main>\n<footer class="dim">holdfast {__version__}. Codes and rules: '
        "<code>docs/reference/findings.md</code></footer>\n</body></html>\n"
    )


def _when(reports: Sequence[Report]) -> str:
    if not reports:
        return ""
    first, last = (instant(f(r.at for r in reports)) for f in (min, max))
    until = "" if first == last else f" to {last}"
    return f'<p class="dim">judged at {first}{until}</p>'


def _overview(reports: Sequence[Report]) -> str:
    rows = [
        (
            _t(report.target),
            f'<span class="verdict {report.verdict}">{report.verdict}</span>',
            _t(sentence(report)),
        )
        for report in reports
    ]
    counts = (f"{sum(r.verdict == word for r in reports)} {word}" for word in VERDICTS)
    told = ", ".join(told for told in counts if not told.startswith("0 "))
    return f"<p>{told}</p>\n{_table(('server', 'verdict', 'in one sentence'), rows)}"


def _article(report: Report, number: int, *, only: bool) -> Iterator[str]:
    kind = ' class="only"' if only else ""
    yield (
        f'<article{kind} aria-labelledby="t{number}">\n<h2 id="t{number}">{_t(report.target)}</h2>'
        f'<p><span class="verdict {report.verdict}">{VERDICTS[report.verdict]}</span></p>'
        f"<p>{_t(sentence(report))}</p>\n"
    )
    if report.server is not None and (told := in_words(report.server)):
        yield f'<p class="dim">Server: {_t(told)}</p>\n'
    for leaf in report.leaves:
        for staple in report.staples:
            if staple.leaf == leaf.leaf:
                yield _staple(staple, report)
    if report.findings:
        yield f"<h3>Findings, by what hurts</h3><ol>{''.join(_findings(report))}</ol>\n"
    yield from _handshakes(report)
    for leaf in report.leaves:
        yield from _leaf(leaf)
    yield from _responders(report)
    yield from _clients(report)
    yield "</article>\n"


def _clients(report: Report) -> Iterator[str]:
    rows = [
        (
            f'<span class="client">{_t(c.client)}</span>',
            '<span class="good">goes on</span>'
            if c.accepts
            else f'<span class="bad">refuses</span>: {_t(c.because)}',
            f'{_t(c.rule)} <span class="dim">{_t(c.source)}</span>',
        )
        for c in report.clients
    ]
    if rows:
        yield f"<h3>Clients</h3>{_table(('client', 'what it does', 'its rule'), rows)}"


def _findings(report: Report) -> Iterator[str]:
    for found in by_hurt(report):
        yield _finding(found, refused_by(report, found), cured(report, found))


def _finding(found: Finding, refusing: Sequence[str], cure: str) -> str:
    clients = f'<p class="dim">refused by {_t(", ".join(refusing))}</p>' if refusing else ""
    hint = f'<p class="hint">{_t(found.hint)}</p>' if found.hint else ""
    steps = f"<pre>{_t(cure, lines=True)}</pre>" if cure else ""
    return (
        f'<li class="finding {found.severity.text}"><p class="severity">{found.severity.text} '
        f"<code>{_t(found.code)}</code></p><p>{_t(found.message)}</p>{hint}{steps}{clients}"
        f'<p class="dim">{_t(found.spec)}</p></li>\n'
    )


def _staple(staple: StapleReport, report: Report) -> str:
    whose = (
        "The staple" if staple.position == 0 else f"The staple for certificate {staple.position}"
    )
    verdict = staple.verdict
    status = staple.certificate_status or "nothing usable"
    role = f", signed by its {verdict.signer_role}" if verdict and verdict.signer_role else ""
    valid = "valid" if staple.valid else "not valid"
    kind = "good" if staple.valid and status == "good" else "bad"
    said = f'<p><span class="verdict {kind}">{_t(status)}</span>, {valid}{_t(role)}</p>'
    if verdict is None:
        said = f'<p class="dim">{len(staple.der)} bytes; no issuer to judge it by</p>'
    return f"<h3>{whose}</h3>{said}{timeline(staple, report)}\n"


WIDE, EDGE = 560.0, 8.0


def timeline(staple: StapleReport, report: Report) -> str:
    """The staple's time as a picture, with now on it; all of it is in words below."""
    window, at = staple.window, report.at
    if window is None:
        single = staple.verdict.single if staple.verdict is not None else None
        since = "" if single is None else f"since {instant(single.this_update)}, without an end"
        return f'<p class="dim">{since}</p>'
    begin, end = window.begin, max(window.end, window.begin + timedelta(seconds=1))
    beyond = (end - begin) * 0.04
    first, last = min(begin, at) - beyond, max(end, at) + beyond

    def x(moment: datetime) -> float:
        return round(EDGE + (WIDE - 2 * EDGE) * ((moment - first) / (last - first)), 1)

    now = min(max(at, begin), end)
    left = "left" if staple.valid else "after"
    drawn = [
        _bar("past" if staple.valid else "after", x(begin), x(now)),
        _bar(left, x(now), x(end)),
        f'<path class="end" d="M{x(begin)} 8v18M{x(end)} 8v18"/>',
        f'<path class="over" d="M{x(end)} 17H{x(at)}"/>' if at > end else "",
        f'<path class="now" d="M{x(at)} 3v28"/><circle class="now" cx="{x(at)}" cy="5" r="4"/>',
    ]
    label = _in_words(staple, report)
    return (
        f'<figure><svg viewBox="0 0 {WIDE:g} 34" role="img" aria-label="{_t(label)}">'
        f'{"".join(drawn)}</svg><figcaption><p class="ends"><span>{instant(begin)}</span>'
        f"<span>{instant(window.end)}</span></p><p>{_t(label)}</p></figcaption></figure>"
    )


def _in_words(staple: StapleReport, report: Report) -> str:
    window, at = staple.window, report.at
    assert window is not None
    if at < window.begin:
        return f"begins in {duration_text(window.begin - at)}"
    if at >= window.end:
        return f"ended {duration_text(at - window.end)} ago"
    percent = staple.age_percent(at)
    return f"{percent:.0f} % of its time has passed, {duration_text(window.end - at)} left"


def _bar(kind: str, begin: float, end: float) -> str:
    width = round(end - begin, 1)
    if width <= 0:
        return ""
    return f'<rect class="{kind}" x="{begin}" y="11" width="{width}" height="12"/>'


def _handshakes(report: Report) -> Iterator[str]:
    rows = [
        (
            _t(o.address),
            _t(o.tls or f"TLS {o.asked}"),
            _t(o.key_type),
            _t(o.cipher),
            f"{o.milliseconds:.1f} ms" if o.seen else "",
            "yes" if o.staple else "no" if o.seen else "",
            "" if o.error is None else _t(o.error.problem),
        )
        for o in report.handshakes
    ]
    if rows:
        heads = ("address", "TLS", "key", "cipher", "took", "stapled", "trouble")
        yield f"<h3>Handshakes</h3>{_table(heads, rows)}"


def _leaf(one: LeafReport) -> Iterator[str]:
    leaf = one.leaf
    facts = [
        ("names", _t(", ".join(leaf.names) or leaf.subject)),
        ("serial", f"<code>{leaf.serial:x}</code>"),
        ("key", _t(leaf.key_type)),
        ("in date", f"{instant(leaf.not_before)} to {instant(leaf.not_after)}"),
        ("must-staple", "yes" if leaf.must_staple else "no"),
        ("responders", _t(", ".join(leaf.responder_urls)) or "none"),
        ("chain", f"{_or_not(one.complete, 'complete')}, {_or_not(one.trusted, 'trusted')}"),
        ("SHA-256", f"<code>{leaf.sha256}</code>"),
    ]
    rows = [(f"<b>{name}</b>", value) for name, value in facts]
    yield f"<h3>The certificate</h3>{_table((), rows)}"
    sent = [
        (str(n), _t(c.subject), _t(c.issuer), _t(c.key_type), instant(c.not_after) or "")
        for n, c in enumerate(one.sent)
    ]
    if sent:
        heads = ("", "sent", "issued by", "key", "until")
        yield f"<h3>The chain as it was sent</h3>{_table(heads, sent)}"
    if one.missing:
        lacking = encode_certificates(one.missing).decode("ascii")
        yield f"<h3>What it lacks, to be appended</h3><pre>{_t(lacking, lines=True)}</pre>\n"


def _or_not(yes: bool, word: str) -> str:
    return word if yes else f"not {word}"


def _responders(report: Report) -> Iterator[str]:
    rows = [
        (
            _t(one.url),
            _t(one.certificate_status or "no usable answer"),
            "" if one.milliseconds is None else f"{one.milliseconds:.0f} ms",
            "; ".join(map(_asked, one.asked)),
        )
        for one in report.responders
    ]
    if report.crl is not None:
        rows.append((_t(report.crl.url), f"CRL: {_CRL[report.crl.revoked]}", "", ""))
    if rows:
        heads = ("address", "says", "took", "asked by")
        yield f"<h3>What the CA says now</h3>{_table(heads, rows)}"


def _asked(one: AskedReport) -> str:
    took = f" {one.stages[-1][1]:.0f} ms" if one.stages else ""
    return f"{_t(one.method)}{took}: {_t(one.certificate_status or one.problem or 'unusable')}"


_CRL = {
    True: "lists the certificate as revoked",
    False: "does not list it",
    None: "could not be used",
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` of cells that are HTML already."""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table>{top}<tbody>\n{body}</tbody></table>\n"


def _t(text: object, *, lines: bool = False) -> str:
    """Somebody's text as HTML, also within a quoted attribute. `lines`: it may have several."""
    if lines:
        return "\n".join(map(_t, str(text).splitlines()))
    return escape(harmless("" if text is None else text, MOST), quote=True)
