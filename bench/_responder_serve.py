"""Our side of the responder's benchmark: the service's own parts, one worker, as it is wired."""

from __future__ import annotations

import sys
from pathlib import Path

from holdfast.net.answer_server import AnswerServer
from holdfast.net.clock import SystemClock
from holdfast.net.sockets import Place
from holdfast.ocsp.sign import Signer
from holdfast.pki import keys, pem
from holdfast.services.responder import Responder
from holdfast.services.responder_tally import Tallies
from holdfast.services.worker import Plan, Served, Worker
from holdfast.services.workers import Workers
from holdfast.sources.presigned import Presigned
from holdfast.sources.signing import Signing
from holdfast.stores.answers import Answers
from holdfast.stores.index_txt import IndexTxt


def main() -> int:
    folder, shelf = Path(sys.argv[1]), Path(sys.argv[2])
    issuer = pem.certificates((folder / "ca.pem").read_bytes(), name="ca.pem")[0]
    key = keys.load((folder / "ca.key").read_bytes(), name="ca.key")

    async def build(worker: Worker) -> Served:
        clock = SystemClock()
        ledger = IndexTxt(str(folder / "index.txt"))
        live = Signing(signer=Signer(issuer, key, issuer), ledger=ledger, clock=clock)
        answering = Presigned(Answers(shelf), live, issuers=[issuer], clock=clock)
        responder = Responder(answering, clock=clock, tally=worker.tally)
        return Served(
            servers={"": AnswerServer(responder.respond, responder.hot, clock=clock)},
        )

    def read() -> Plan:
        return Plan(build=build, listen=(Place("127.0.0.1", 0),), workers=1)

    return Workers(
        read, tallies=Tallies(), ready=lambda bound: print(bound[0].port, flush=True)
    ).run()


if __name__ == "__main__":
    sys.exit(main())
