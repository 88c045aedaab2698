"""`holdfast fetch`: one OCSP query, verified, with a timeline.

Law: what is written with `--out` has been verified for this certificate at this instant; anything
else is shown and not kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import click

from holdfast.cli.params import (
    DURATION,
    INPUT,
    SECONDS,
    Input,
    dry_run_option,
    fail_on_option,
    json_option,
    live_at_option,
)

if TYPE_CHECKING:
    from holdfast.cli.output import Printer
    from holdfast.net.http_client import Http
    from holdfast.ocsp.certid import Subject
    from holdfast.ocsp.policy import Policy
    from holdfast.ocsp.verdict import Verdict
    from holdfast.pki.certificate import Certificate
    from holdfast.sources.http import Exchange, Method

SCHEMA = "holdfast.fetch/1"


@click.command()
@click.argument("cert", type=INPUT, metavar="CERT")
@click.option("--issuer", "-I", type=INPUT, metavar="I", help="Default: from CERT, else by AIA.")
@click.option(
    "--url", metavar="U", help="Ask this responder. Default: those the certificate names."
)
@click.option(
    "--method", type=click.Choice(["auto", "get", "post"]), default="auto", show_default=True
)
@click.option(
    "--hash", "hash_", type=click.Choice(["sha1", "sha256"]), default="sha1", show_default=True,
    help="Of the CertID.",
)  # fmt: skip
@click.option("--nonce", is_flag=True, help="Send a nonce, and have it echoed.")
@click.option("--proxy", metavar="P", help="An HTTP proxy, http://host:port.")
@click.option("--out", "-o", metavar="F.der", help="Write the verified response there.")
@click.option(
    "--profile", type=click.Choice(["strict", "rfc6960", "browser"]), default="strict",
    show_default=True,
)  # fmt: skip
@click.option("--allow-sha1", is_flag=True, help="Accept signatures made with SHA-1.")
@click.option("--max-age", type=DURATION, metavar="D", help="Refuse what was made longer ago.")
@click.option(
    "--timeout", type=SECONDS, default=10.0, show_default=True, metavar="S",
    help="Seconds for each request.",
)  # fmt: skip
@live_at_option
@fail_on_option
@dry_run_option
@json_option
def fetch(
    *,
    cert: Input,
    issuer: Input | None,
    url: str | None,
    method: str,
    hash_: str,
    nonce: bool,
    proxy: str | None,
    out: str | None,
    profile: str,
    allow_sha1: bool,
    max_age: timedelta | None,
    timeout: float,
    at: datetime | None,
    fail_on: str,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Ask a responder about CERT once; verify the answer; show how long each step took.

    Exit 0 when the answer is valid and good, 1 when it is not, 3 when there is none.
    """
    import asyncio

    from holdfast.net.http_client import Http
    from holdfast.ocsp.findings import Profile
    from holdfast.ocsp.policy import Policy
    from holdfast.sources.http import HttpSource

    if url is not None:
        _refuse_bad(url)
    policy = Policy(profile=Profile(profile), allow_sha1=allow_sha1, max_age=max_age)

    async def run() -> int:
        async with Http(proxy=proxy, timeout=timeout) as http:
            subject = await _subject(cert, issuer, url, None if dry_run else http)
            if dry_run:
                return _plan(subject, method, hash_, as_json=as_json)
            source = HttpSource(http, method=cast("Method", method), hash=hash_, nonce=nonce)
            exchanges = [one async for one in source.exchanges(subject)]
        told = _Told(exchanges, subject, policy, at or datetime.now(UTC))
        return told.tell(out=out, fail_on=fail_on, as_json=as_json)

    return asyncio.run(run())


def _refuse_bad(url: str) -> None:
    from holdfast.errors import OperatorError, Unavailable
    from holdfast.net.http_urls import checked_url

    try:
        checked_url(url)
    except Unavailable as error:
        raise OperatorError(
            f"--url {error.message}", hint="give the responder as http://host/path"
        ) from error


async def _subject(
    cert: Input, issuer: Input | None, url: str | None, http: Http | None
) -> Subject:
    from holdfast.errors import NotFound
    from holdfast.net.issuers import issuer_of
    from holdfast.ocsp.certid import Subject
    from holdfast.pki import pem
    from holdfast.pki.chain import order

    held = pem.certificates(cert.data, name=cert.name)
    beside: list[Certificate] = list(held)
    if issuer is not None:
        beside += pem.certificates(issuer.data, name=issuer.name)
    leaf = order(held).leaf
    urls = leaf.responder_urls if url is None else (url,)
    if not urls:
        raise NotFound(
            f"{leaf.subject}: the certificate names no OCSP responder: stapling does not apply",
            hint="its CA may have ended OCSP; if it has a responder, name it with --url",
        )
    found = await issuer_of(leaf, http, beside=beside)
    return Subject.of(leaf, found, urls)


def _plan(subject: Subject, method: str, hash_: str, *, as_json: bool) -> int:
    import base64

    from holdfast.cli.output import Printer, write_document
    from holdfast.ocsp.http import get_url
    from holdfast.ocsp.request import Request

    request = Request.build(subject.certid_by(hash_)).encode()
    rows = []
    for url in subject.responder_urls:
        short = None if method == "post" else get_url(url, request)
        rows.append({"method": "GET" if short else "POST", "url": short or url})
    encoded = base64.b64encode(request).decode()
    if as_json:
        document = {"schema": SCHEMA, "dry_run": True, "would": rows, "request": encoded}
        write_document(document)
        return 0
    printer = Printer.on()
    for row in rows:
        printer.line(f"would {row['method']} {row['url']}")
    printer.field("request", encoded)
    printer.field("about", f"serial {subject.serial:x} of {subject.issuer.subject}")
    return 0


def _nothing() -> dict[str, Any]:
    """The fields of a verdict that there is not."""
    fields = ("response_status", "certificate_status", "revocation", "this_update", "next_update")
    return {"valid": False, **dict.fromkeys((*fields, "produced_at", "signer")), "findings": []}


class _Told:
    """The exchanges that there were, and the verdict on the last."""

    def __init__(
        self, exchanges: list[Exchange], subject: Subject, policy: Policy, at: datetime
    ) -> None:
        import time
        from dataclasses import replace

        from holdfast.ocsp.verify import examine

        self.exchanges = exchanges
        self.last = exchanges[-1]
        self.verdict: Verdict | None = None
        self.milliseconds = 0.0
        if self.last.response is not None:
            begun = time.perf_counter()
            judged = replace(policy, nonce=self.last.nonce)
            self.verdict = examine(self.last.response, subject, at=at, policy=judged)
            self.milliseconds = round((time.perf_counter() - begun) * 1000, 3)

    def tell(self, *, out: str | None, fail_on: str, as_json: bool) -> int:
        from holdfast.cli.output import Printer, exit_code, write_document

        verdict, kept = self.verdict, False
        if out is not None and verdict is not None and verdict.valid:
            from holdfast.net.files import write_atomic

            assert verdict.response is not None
            write_atomic(out, verdict.response.der, 0o644)
            kept = True
        if as_json:
            write_document(self.document(out if kept else None))
        else:
            self._text(Printer.on(), out if kept else None)
        if self.last.error is not None:
            self._complain()
            return 3
        assert verdict is not None
        return exit_code(verdict.findings, fail_on) if verdict.good else 1

    def document(self, out: str | None) -> dict[str, Any]:
        """Schema holdfast.fetch/1: that of verify, and the exchanges."""
        from holdfast.cli.verify import document

        error = self.last.error
        told = _nothing() if self.verdict is None else document(self.verdict)
        told["schema"] = SCHEMA
        told["exchanges"] = [self._exchange(one) for one in self.exchanges]
        told["out"] = out
        told["error"] = None
        if error is not None:
            told["error"] = {
                "class": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
            }
        return told

    def _exchange(self, one: Exchange) -> dict[str, Any]:
        return {
            "url": one.url,
            "method": one.method,
            "hash": one.hash_algorithm,
            "http_status": one.http_status,
            "address": None if one.answer is None else one.answer.address,
            "bytes": None if one.answer is None else len(one.answer.body),
            "milliseconds": self._stages(one),
            "error": None if one.error is None else one.error.message,
            "failure": one.failure,
            "notes": list(one.notes),
        }

    def _stages(self, one: Exchange) -> dict[str, float]:
        """How long each stage took."""
        stages, before = {}, 0.0
        for name, end in one.timeline.stages():
            stages[name.replace(" ", "_")] = round(end - before, 3)
            before = end
        if one.parse_milliseconds is not None:
            stages["parse"] = one.parse_milliseconds
        if one is self.last and self.verdict is not None:
            stages["verdict"] = self.milliseconds
        return stages

    def _text(self, printer: Printer, out: str | None) -> None:
        from holdfast.cli.verify import headline, tell_window

        verdict = self.verdict
        if verdict is not None:
            printer.line(headline(printer.paint, verdict, valid=verdict.valid))
            tell_window(verdict)
            for found in sorted(verdict.findings, key=lambda one: -one.severity):
                printer.finding(found)
        for one in self.exchanges:
            status = "no answer" if one.http_status is None else f"HTTP {one.http_status}"
            printer.line(f"{one.method} {one.url} ({one.hash_algorithm} CertID): {status}")
            stages = self._stages(one)
            whole = sum(stages.values()) or 1.0
            for name, spent in stages.items():
                bar = "#" * max(1, round(40 * spent / whole))
                printer.line(f"  {name.replace('_', ' '):<12}{spent:>9.3f} ms  {bar}")
            for note in one.notes:
                printer.line(f"  {note}")
            if one.error is not None and one is not self.last:  # the last is complained of
                printer.line(f"  {one.error.message}")
        if out is not None:
            printer.line(f"written to {out}")

    def _complain(self) -> None:
        import sys

        from holdfast.cli.output import printable

        assert self.last.error is not None
        sys.stderr.write(f"holdfast: {printable(self.last.error.message)}\n")
        if self.last.error.hint:
            sys.stderr.write(f"hint: {printable(self.last.error.hint)}\n")
