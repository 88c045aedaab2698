"""The library as docs/reference/library.md shows it: every block is run, in order."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import holdfast
from holdfast.ocsp.response import GOOD, SingleResponse
from holdfast.ocsp.sign import Signer
from support.pki import AT, a_root, a_server

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "library.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_every_block_of_the_page_runs() -> None:
    ca = a_root()
    server = a_server(ca, "www.example.test", responder_urls=["http://ocsp.example.test"])
    subject = holdfast.Subject.of(server.certificate, ca.certificate)
    signer = Signer(ca.certificate, ca.key, ca.certificate)
    single = SingleResponse(subject.certid, GOOD, AT, AT + timedelta(days=7))
    names: dict[str, object] = {
        "fullchain": server.fullchain_pem + ca.issued.pem,
        "response": signer.respond([single], produced_at=AT),
        "now": AT + timedelta(hours=1),
    }
    found = blocks()
    assert len(found) == 5
    for block in found:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["verdict"].good  # type: ignore[attr-defined]
    assert isinstance(names["staple"], holdfast.Staple)


def test_every_public_name_is_there() -> None:
    for name in holdfast.__all__:
        assert getattr(holdfast, name) is not None
    assert set(holdfast.__all__) <= set(dir(holdfast))


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(holdfast, "staple_everything")


def test_importing_it_loads_nothing_else() -> None:
    code = "import sys, holdfast; print([m for m in sys.modules if m.startswith('holdfast')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "['holdfast.version', 'holdfast']"
