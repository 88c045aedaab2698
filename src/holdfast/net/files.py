"""Files, read with a bound and written whole or not at all.

Laws: a reader of a file that `write_atomic` writes sees the old bytes or the new, also after a
crash (K3: temporary file, fsync, rename, fsync of the folder); nothing is read without a limit;
what the system says is turned into an `OperatorError` that names the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from holdfast.errors import OperatorError

MAX_FILE = 16 * 1024 * 1024  # bytes: a CA bundle of the largest root program is under 1 MiB

_ELSE = "check the path and what it leads to"
_HINTS = {
    errno.ENOENT: "check the path; relative paths are taken from the current directory",
    errno.EACCES: "run as a user that may, or change the permissions",
    errno.EPERM: "run as a user that may, or change the permissions",
    errno.EISDIR: "give a file, not a directory",
    errno.ENOSPC: "make room on that file system",
    errno.EDQUOT: "make room on that file system",
    errno.EROFS: "the file system is mounted read-only; choose another place",
}


def read_bounded(path: str | os.PathLike[str], limit: int = MAX_FILE) -> bytes:
    """All of `path`; `OperatorError` when it cannot be read or holds more than `limit` bytes."""
    try:
        # Non-blocking, because opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                os.set_blocking(descriptor, True)  # `<(command)` of a shell is one
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise trouble("cannot read", path, error) from error
    if len(content) > limit:
        raise OperatorError(
            f"{os.fspath(path)}: larger than {limit} bytes",
            hint="this does not look like the file that was meant",
        )
    return content


def write_atomic(
    path: str | os.PathLike[str],
    data: bytes,
    mode: int = 0o600,
    *,
    fsync: bool = True,
    owner: tuple[int, int] | None = None,
) -> None:
    """Replace `path` by `data`; `OperatorError` when that fails, and then the old file is intact.

    The file gets exactly `mode`, whatever the umask, and where given the `owner` (user, group).
    `fsync=False` gives up durability, not
    atomicity. A symbolic link is followed, so that the file it names is the one replaced.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                if owner is not None:
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                if fsync:
                    os.fsync(descriptor)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        if fsync:
            sync_directory(target.parent)
    except (OSError, ValueError) as error:
        raise trouble("cannot write", path, error) from error


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable; `OSError` when the medium fails."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def require_private(path: str | os.PathLike[str], *, group: bool = False) -> None:
    """Raise `OperatorError` when others than the owner (and, with `group`, its group) can read it.

    For private keys and tokens. A missing file is the reader's to report.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    forbidden = 0o007 if group else 0o077
    if stat.S_ISREG(mode) and mode & forbidden:
        raise OperatorError(
            f"{os.fspath(path)}: a private file that others can read "
            f"(mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod {'640' if group else '600'} {os.fspath(path)}",
        )


def warn_unless_private(path: str | os.PathLike[str]) -> None:
    """Log a warning where `require_private` would refuse: for keys that other programs made and
    serve already, which a stricter holdfast would only keep from being stapled for."""
    try:
        require_private(path, group=True)
    except OperatorError as error:
        import logging

        logging.getLogger("holdfast.files").warning("%s; %s", error.message, error.hint)


def trouble(doing: str, path: str | os.PathLike[str], error: OSError | ValueError) -> OperatorError:
    """What the system said about `path`, as an error for the operator."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return OperatorError(
            f"{doing} {os.fspath(path)}: {reason}", hint=_HINTS.get(error.errno or 0, _ELSE)
        )
    return OperatorError(f"{doing} {os.fspath(path)!r}: {error}")  # a NUL in the name
