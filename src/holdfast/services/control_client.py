"""Ask a running keeper over its control socket; blocking, for the command line.

Law: errors arrive as the exceptions they were, so that the exit code is the same as if the keeper's
work had been done here.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from holdfast import errors
from holdfast.errors import Unavailable

MAX_ANSWER = 512 * 1024 * 1024  # bytes: the status of 100,000 certificates is about 100 MB

_CLASSES = {"NotFound": errors.NotFound, "OperatorError": errors.OperatorError}


def ask(state: str | os.PathLike[str], question: dict[str, Any], *, timeout: float = 30.0) -> Any:
    """What the keeper of the folder `state` answers. `Unavailable` when none is running there."""
    path = Path(state) / "control.sock"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline(MAX_ANSWER)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(
            f"no keeper is running on the state folder {state}",
            failure="not-running",
            hint="start one with `holdfast keep`, or name its folder with --state "
            "(or its settings with -c)",
        ) from error
    except TimeoutError as error:
        raise Unavailable(
            f"the keeper of {state} did not answer within {timeout:g} s", failure="timeout"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.OperatorError(
            f"{path}: {reason}", hint="ask as the user that runs the keeper, or as root"
        ) from error
    if not line:
        raise Unavailable(f"the keeper of {state} ended without an answer", failure="connect")
    answer = json.loads(line)
    if "error" in answer:
        told = answer["error"]
        if told["class"] in _CLASSES:
            raise _CLASSES[told["class"]](told["message"], hint=told["hint"])
        raise Unavailable(told["message"], hint=told["hint"])
    return answer["ok"]
