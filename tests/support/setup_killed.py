"""`holdfast setup` that kills itself (SIGKILL) at its Nth step; run as a program of its own.

python -m support.setup_killed KIND CONFIG STATE ROOT N apply|off
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from holdfast.setup.words import Wish
from holdfast.wiring_setup import kind_of, setup_of

ENDED = 7  # exit code when there was no Nth step


async def run(words: list[str], step: int, what: str) -> None:
    kind_name, config, state, root = words
    count = 0

    def on_step(name: str, about: str) -> None:
        nonlocal count
        count += 1
        if count == step:
            print(name, about, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    assert kind_name in ("nginx", "apache")
    kind = kind_of("nginx" if kind_name == "nginx" else "apache", config=Path(config), roots=[root])
    async with setup_of(
        kind,
        state=Path(state),
        config=config,
        issuer_files=[root],
        timeout=2,
        within=5,
        on_step=on_step,
    ) as made:
        if what == "off":
            await made.off()
        else:
            await made.apply(await made.plan(Wish()))
    sys.exit(ENDED)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1:5], int(sys.argv[5]), sys.argv[6]))
