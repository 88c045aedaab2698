"""Our side of the signing benchmark: one worker as it is wired, that signs every answer anew."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast.net.answer_server import AnswerServer
from holdfast.net.clock import SystemClock
from holdfast.net.line_log import LineFile
from holdfast.net.sockets import Place
from holdfast.pki import pem
from holdfast.services.responder import Responder
from holdfast.services.responder_audit import COUNTED, Audit
from holdfast.services.responder_tally import COUNTERS, Tallies, Tally
from holdfast.services.worker import Plan, Served, Worker
from holdfast.services.workers import Workers
from holdfast.sources.signer_files import SignerPlace, load_signer
from holdfast.sources.signing import Signing
from holdfast.stores.index_txt import IndexTxt


def signing(folder: Path, tally: Tally | None = None) -> Signing:
    """`keep=0`: an answer is never given again, so that each costs a signature; and a line in the
    audit, as an operator has it who keeps one."""
    issuer = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    place = SignerPlace(certificate=str(folder / "ca.pem"), key=str(folder / "ca.key"))
    ledger = IndexTxt(str(folder / "index.txt"))
    audit = Audit(
        "bench", tally=tally or Tally((*COUNTERS, *COUNTED)), lines=LineFile(str(folder / "audit"))
    )
    return Signing(
        signer=load_signer(place, issuer), ledger=ledger, clock=SystemClock(), audit=audit, keep=0
    )


def main() -> int:
    folder = Path(sys.argv[1])

    async def build(worker: Worker) -> Served:
        clock = SystemClock()
        responder = Responder(signing(folder, worker.tally), clock=clock, tally=worker.tally)
        return Served(servers={"": AnswerServer(responder.respond, responder.hot, clock=clock)})

    def read() -> Plan:
        return Plan(build=build, listen=(Place("127.0.0.1", 0),), workers=1)

    return Workers(
        read, tallies=Tallies(extra=COUNTED), ready=lambda bound: print(bound[0].port, flush=True)
    ).run()


if __name__ == "__main__":
    sys.exit(main())
