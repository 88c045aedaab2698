"""The real servers by name, and the protocol rows that they answer for."""

from __future__ import annotations

from support.starttls.daemon import Make
from support.starttls.dovecot import dovecot
from support.starttls.exim import exim
from support.starttls.inspircd import inspircd
from support.starttls.mariadb import mariadb
from support.starttls.proftpd import proftpd
from support.starttls.prosody import prosody
from support.starttls.slapd import slapd
from support.starttls.xrdp import xrdp

SERVERS: dict[str, Make] = {
    "exim": exim,
    "dovecot": dovecot,
    "mariadb": mariadb,
    "slapd": slapd,
    "proftpd": proftpd,
    "prosody": prosody,
    "inspircd": inspircd,
    "xrdp": xrdp,
}
