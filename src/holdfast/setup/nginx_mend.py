"""What is wrong with nginx's stapling as it stands, and the edits that take it away.

Laws: what is found is told with file and line; what is mended is exactly what was told; nothing is
mended that its text does not show to be wrong. The instant is a parameter named `at`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from holdfast.conf.nginx_edits import Edits
from holdfast.conf.nginx_faults import Fault, faults
from holdfast.conf.nginx_reading import Statement
from holdfast.conf.text import Edit, edited
from holdfast.errors import HoldfastError, OperatorError
from holdfast.net.files import read_bounded
from holdfast.ocsp.response import Response
from holdfast.setup.nginx_sites import Stand, Survey
from holdfast.setup.words import Place, Trouble

MAX_STAPLE = 64 * 1024  # bytes
VERIFY = "nginx-verify-without-trust"
STAPLE_FILE = ("nginx-staple-file-missing", "nginx-staple-file-bad", "nginx-staple-file-stale")


def text_troubles(survey: Survey, version: tuple[int, ...]) -> tuple[Trouble, ...]:
    """What the text alone shows."""
    return tuple(_told(fault) for fault in faults(survey.reading, version=version))


def trust_troubles(survey: Survey) -> Iterator[Trouble]:
    """Sites whose nginx is to verify responses, and has no root to do it with. Mending turns it
    off; turning stapling on may find a better way before."""
    for stand in survey.stands:
        server = stand.server
        if not (server.on and server.verified and stand.readable and stand.responders()):
            continue
        if server.block.value("ssl_stapling_file") or all(stand.rooted(one) for one in stand.held):
            continue
        yield Trouble(
            code=VERIFY,
            message=f"{stand.site.name}: ssl_stapling_verify is on, and the root of its "
            "certificate is in no file that nginx verifies with here: responses that a delegated "
            "signer signed will fail (`OCSP_basic_verify() failed`)",
            hint=(
                "turn ssl_stapling_verify off: ssl_trusted_certificate would also let in clients "
                "whose certificates that root issued"
                if server.verifies_clients
                else "name the root's file in ssl_trusted_certificate"
            ),
            place=survey.place(server.block.effective("ssl_stapling_verify")[-1]),
            mendable=True,
        )


def staple_file_troubles(survey: Survey, *, at: datetime) -> Iterator[Trouble]:
    """`ssl_stapling_file`s that nginx would refuse, or send though they have ended."""
    seen: set[tuple[str, int]] = set()
    for stand in survey.stands:
        for one in stand.server.block.effective("ssl_stapling_file"):
            if one.key in seen or not one.args or not one.args[0] or _by_keeper(survey, one):
                continue
            seen.add(one.key)
            path = Path(survey.reading.full(one.args[0]))
            trouble = _staple_file(path, survey.place(one), at)
            if trouble is not None:
                yield trouble


def mended(
    survey: Survey, troubles: Iterable[Trouble], version: tuple[int, ...]
) -> Mapping[str, str]:
    """The texts of the files in which `troubles`, as told of this survey, are mended."""
    told = {(str(t.place.path), t.place.line, t.code) for t in troubles if t.place and t.mendable}
    edits = Edits(survey.reading, survey.servers, survey.servers)
    for fault in faults(survey.reading, version=version):
        if (fault.file, fault.line, fault.code) in told and fault.statement is not None:
            _mend(edits, fault, fault.statement)
    for stand in survey.stands:
        _mend_stand(survey, edits, stand, told)
    return texts(survey, edits.files())


def texts(survey: Survey, edits: Mapping[str, Iterable[Edit]]) -> dict[str, str]:
    """The files of `edits` as they become."""
    return {
        file: edited(survey.reading.trees[file].text, some) for file, some in edits.items() if some
    }


def _mend(edits: Edits, fault: Fault, statement: Statement) -> None:
    match fault.mend:
        case "rename":
            edits.rename(statement, fault.to)
        case "remove":
            edits.take(statement, whoever=True)
        case "on" | "off":
            edits.change(statement, (fault.mend,))
        case None:
            pass


def _mend_stand(
    survey: Survey, edits: Edits, stand: Stand, told: set[tuple[str, int, str]]
) -> None:
    for one in stand.server.block.effective("ssl_stapling_file"):
        place = survey.place(one)
        if any((str(place.path), place.line, code) in told for code in STAPLE_FILE):
            edits.take(one, whoever=True)
    for one in stand.server.block.effective("ssl_stapling_verify")[-1:]:
        place = survey.place(one)
        if (str(place.path), place.line, VERIFY) in told:
            edits.holds(stand.server, "ssl_stapling_verify", "off")


def _told(fault: Fault) -> Trouble:
    return Trouble(
        code=fault.code,
        message=fault.message,
        hint=fault.hint,
        place=Place(Path(fault.file), fault.line),
        fatal=fault.refused,
        mendable=fault.mend is not None,
    )


def _by_keeper(survey: Survey, statement: Statement) -> bool:
    """Whether a keeper wrote the line and looks after the file."""
    return statement.file.startswith(f"{survey.folder}/")


def _staple_file(path: Path, place: Place, at: datetime) -> Trouble | None:
    try:
        data = read_bounded(path, MAX_STAPLE)
    except OperatorError as error:
        return Trouble(
            code="nginx-staple-file-missing",
            message=f"ssl_stapling_file: {error.message}",
            hint="take the line out, or put a response there",
            place=place,
            fatal=True,
            mendable=True,
        )
    try:
        response = Response.parse(data)
    except HoldfastError as error:
        return Trouble(
            code="nginx-staple-file-bad",
            message=f"ssl_stapling_file: {path} is no OCSP response: {error.message}",
            hint="take the line out, or write a response there in DER",
            place=place,
            fatal=True,
            mendable=True,
        )
    ends = [one.next_update for one in response.basic.singles] if response.basic else []
    ended = [end for end in ends if end is not None and end < at]
    if response.basic is not None and not ended:
        return None
    said = f"ended {max(ended):%Y-%m-%d %H:%M} UTC" if ended else "is only an error"
    return Trouble(
        code="nginx-staple-file-stale",
        message=f"ssl_stapling_file: the response in {path} {said}, and nginx sends it for ever",
        hint="take the line out, so that nginx fetches one, or let the keeper write the file",
        place=place,
        mendable=True,
    )
