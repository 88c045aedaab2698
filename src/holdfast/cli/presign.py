"""`holdfast presign`: sign a CA's answers ahead, into the store that its responder serves from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import click

from holdfast.cli.given_ca import HASHES, ca_options, given_ca
from holdfast.cli.params import DURATION, json_option
from holdfast.cli.stderr_log import logging_to_stderr

if TYPE_CHECKING:
    from holdfast.wiring_presign import Job

WITH_CONFIG = frozenset(
    {"config", "names", "ended", "anew", "processes", "max_size", "follow", "as_json"}
)
DELAY = timedelta(seconds=10)
LEAST_DELAY = timedelta(seconds=1)


@click.command()
@click.option(
    "-c", "--config", type=click.Path(), help="Settings: every [[responder.ca]] with a store."
)
@click.option("--name", "names", multiple=True, help="With --config: only the CA of that name.")
@ca_options
@click.option("--store", type=click.Path(dir_okay=False), help="The file to fill.")
@click.option(
    "--hash",
    "hashes",
    type=click.Choice(HASHES),
    multiple=True,
    default=("sha1",),
    show_default="sha1",
    help="How the CertIDs of the answers are made; several go into each answer.",
)
@click.option(
    "--ahead",
    type=DURATION,
    default="1h",
    show_default=True,
    help="How long before the last moment an answer is signed again; "
    "at least the time to the next run.",
)
@click.option("--ended", is_flag=True, help="Also for certificates that have ended.")
@click.option("--anew", is_flag=True, help="All of them, whatever their age.")
@click.option(
    "--processes",
    type=click.IntRange(0, 1024),
    default=0,
    show_default="one more than cores",
    help="Processes that sign.",
)
@click.option(
    "--max-size",
    type=click.IntRange(1, 1 << 20),
    default=256,
    show_default=True,
    metavar="GIB",
    help="The most that the file may grow to.",
)
@click.option("--follow", is_flag=True, help="Go on: what changes in the ledger, and what is due.")
@click.option(
    "--delay",
    type=DURATION,
    default="10s",
    show_default=True,
    help="With --follow: within which a change is in the store.",
)
@json_option
@click.pass_context
def presign(
    ctx: click.Context,
    /,
    *,
    config: str | None,
    names: tuple[str, ...],
    ahead: timedelta,
    ended: bool,
    anew: bool,
    processes: int,
    max_size: int,
    follow: bool,
    delay: timedelta,
    store: str | None,
    hashes: tuple[str, ...],
    as_json: bool,
    **of_ca: Any,
) -> int:
    """Sign a CA's answers ahead, with all cores, into the store that its responder serves from.

    What is due is signed, what left the ledger is dropped, the rest is kept; a run that was ended,
    however, is gone on with by the next. Answers of certificates that have ended are dropped: the
    responder signs them when they are asked for. With --follow it goes on for ever.
    """
    from dataclasses import replace

    from holdfast.cli.presign_run import follow_all, once

    if config is not None:
        _refuse_beside_config(ctx)
        jobs = _configured(config, names, follow=follow)
    else:
        jobs = [_of_options(store, hashes, ahead, delay if follow else None, of_ca)]
    jobs = [
        replace(job, ended=ended, anew=anew, processes=processes, limit=max_size << 30)
        for job in jobs
    ]
    with logging_to_stderr():
        return follow_all(jobs, as_json=as_json) if follow else once(jobs, as_json=as_json)


def _of_options(
    store: str | None,
    hashes: Sequence[str],
    ahead: timedelta,
    delay: timedelta | None,
    of_ca: dict[str, Any],
) -> Job:
    from holdfast.errors import OperatorError
    from holdfast.wiring_presign import Job

    if store is None:
        raise OperatorError(
            "neither --store nor --config: where are the answers to be kept?",
            hint="give --store answers.lmdb, or -c holdfast.toml",
        )
    if delay is not None and delay < LEAST_DELAY:
        raise OperatorError("--delay under a second", hint="give 1s or more")
    unlisted: Literal["unauthorized"] = "unauthorized"
    given = given_ca(
        responses=None, prefix="", never_issued="unauthorized", crl_unlisted=unlisted, **of_ca
    )
    kept = tuple(name for name in HASHES if name in hashes)
    return Job(given=given, store=store, hash_algorithms=kept, ahead=ahead, delay=delay)


def _configured(config: str, names: Sequence[str], *, follow: bool) -> list[Job]:
    from holdfast.errors import OperatorError
    from holdfast.settings import read_settings
    from holdfast.wiring_presign import Job
    from holdfast.wiring_responder_service import service_of

    table = read_settings(config).responder
    jobs = [
        Job(
            given=given,
            store=ca.store,
            hash_algorithms=tuple(name for name in HASHES if name in ca.hashes),
            ahead=ca.ahead,
            delay=max(ca.delay, LEAST_DELAY) if follow else None,
        )
        for ca, given in zip(table.ca, service_of(table).cas, strict=True)
        if ca.store and (not names or given.name in names)
    ]
    known = {job.given.name for job in jobs}
    for name in names:
        if name not in known:
            raise OperatorError(
                f"{config}: no [[responder.ca]] with a store is called {name!r}",
                hint=f"there is {', '.join(sorted(known)) or 'none'}",
            )
    if not jobs:
        raise OperatorError(
            f"{config}: no [[responder.ca]] has a store",
            hint='add store = "answers.lmdb" to those whose answers are to be signed ahead',
        )
    return jobs


def _refuse_beside_config(ctx: click.Context) -> None:
    from holdfast.errors import OperatorError

    for param in ctx.command.params:
        given = ctx.get_parameter_source(param.name or "")
        if param.name not in WITH_CONFIG and given is not click.core.ParameterSource.DEFAULT:
            raise OperatorError(
                f"{param.opts[0]} beside --config, which says it for each CA",
                hint="write it into the settings: `holdfast keep --show-settings` shows the keys",
            )
