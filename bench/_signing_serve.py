"""Our side of the signing benchmark: one worker as it is wired, that signs every answer anew."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast.net.answer_server import AnswerServer
from holdfast.net.clock import SystemClock
from holdfast.net.sockets import Place
from holdfast.pki import pem
from holdfast.services.responder import Responder
from holdfast.services.responder_tally import Tallies
from holdfast.services.worker import Plan, Served, Worker
from holdfast.services.workers import Workers
from holdfast.sources.signer_files import SignerPlace, load_signer
from holdfast.sources.signing import Signing
from holdfast.stores.index_txt import IndexTxt


def signing(folder: Path) -> Signing:
    """`keep=0`: an answer is never given again, so that each costs a signature."""
    issuer = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    place = SignerPlace(certificate=str(folder / "ca.pem"), key=str(folder / "ca.key"))
    ledger = IndexTxt(str(folder / "index.txt"))
    return Signing(signer=load_signer(place, issuer), ledger=ledger, clock=SystemClock(), keep=0)


def main() -> int:
    folder = Path(sys.argv[1])

    async def build(worker: Worker) -> Served:
        clock = SystemClock()
        responder = Responder(signing(folder), clock=clock, tally=worker.tally)
        return Served(servers={"": AnswerServer(responder.respond, responder.hot, clock=clock)})

    def read() -> Plan:
        return Plan(build=build, listen=(Place("127.0.0.1", 0),), workers=1)

    return Workers(
        read, tallies=Tallies(), ready=lambda bound: print(bound[0].port, flush=True)
    ).run()


if __name__ == "__main__":
    sys.exit(main())
