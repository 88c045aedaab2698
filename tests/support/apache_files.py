"""Apache's configuration in memory: files by their absolute paths."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from holdfast.conf.apache_faults import Fault, faults
from holdfast.conf.apache_reading import Reading, read
from holdfast.conf.apache_sites import TlsHost, tls_hosts
from holdfast.conf.apache_stapling import FileEdit
from holdfast.conf.text import edited

SSL = (
    "LoadModule ssl_module modules/mod_ssl.so\n"
    "LoadModule socache_shmcb_module modules/mod_socache_shmcb.so\n"
)


class Memory:
    """Implements `Lookup`."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def matching(self, pattern: str) -> list[str]:
        return sorted(name for name in self.files if fnmatch.fnmatchcase(name, pattern))

    def text(self, name: str) -> str | None:
        return self.files.get(name)

    def exists(self, path: str) -> bool:
        return path in self.files


def reading(*texts: str, **more: Any) -> Reading:
    """Of /a/0.conf, /a/1.conf ..., the first of which is the main file; `files`: others."""
    files = {f"/a/{number}.conf": text for number, text in enumerate(texts)}
    files |= more.pop("files", {})
    return read("/a/0.conf", Memory(files), server_root="/a", **more)


def hosts(said: Reading) -> tuple[TlsHost, ...]:
    return tls_hosts(said)


def faults_of(said: Reading) -> tuple[Fault, ...]:
    return faults(said, tls_hosts(said))


def after(said: Reading, edits: tuple[FileEdit, ...]) -> Reading:
    """Read again with `edits` made; all files must have been read."""
    texts = dict(said.texts)
    for name in {edit.file for edit in edits}:
        texts[name] = edited(texts[name], sorted(e.edit for e in set(edits) if e.file == name))
    return read(said.main, Memory(texts), server_root="/a", version=said.version)
