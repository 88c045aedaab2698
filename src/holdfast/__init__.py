"""OCSP stapling that never lapses; as a library, the core that the commands are made of.

Nothing is loaded before it is asked for: `holdfast.verify` imports the verifier when it is first
named. Everything here is pure: bytes in, values out, the instant a parameter named `at`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.version import __version__

if TYPE_CHECKING:
    from holdfast.errors import HoldfastError as HoldfastError
    from holdfast.errors import Malformed as Malformed
    from holdfast.errors import OperatorError as OperatorError
    from holdfast.errors import Rejected as Rejected
    from holdfast.ocsp.certid import CertID as CertID
    from holdfast.ocsp.certid import Subject as Subject
    from holdfast.ocsp.findings import Finding as Finding
    from holdfast.ocsp.findings import Profile as Profile
    from holdfast.ocsp.findings import Severity as Severity
    from holdfast.ocsp.freshness import Freshness as Freshness
    from holdfast.ocsp.freshness import refresh_at as refresh_at
    from holdfast.ocsp.freshness import withdraw_at as withdraw_at
    from holdfast.ocsp.http import get_url as get_url
    from holdfast.ocsp.policy import Policy as Policy
    from holdfast.ocsp.request import Request as Request
    from holdfast.ocsp.response import Response as Response
    from holdfast.ocsp.staple import Staple as Staple
    from holdfast.ocsp.statuses import Good as Good
    from holdfast.ocsp.statuses import Revoked as Revoked
    from holdfast.ocsp.statuses import Unknown as Unknown
    from holdfast.ocsp.verdict import Verdict as Verdict
    from holdfast.ocsp.verify import examine as examine
    from holdfast.ocsp.verify import examine_bytes as examine_bytes
    from holdfast.ocsp.verify import verify as verify
    from holdfast.pki.certificate import Certificate as Certificate
    from holdfast.pki.chain import Chain as Chain
    from holdfast.pki.chain import load_chain as load_chain
    from holdfast.plan.entry import Entry as Entry
    from holdfast.plan.entry import Plan as Plan
    from holdfast.plan.keeping import plan as plan_keeping  # noqa: F401

_HOMES = {
    "holdfast.errors": ("HoldfastError", "Malformed", "OperatorError", "Rejected"),
    "holdfast.ocsp.certid": ("CertID", "Subject"),
    "holdfast.ocsp.findings": ("Finding", "Profile", "Severity"),
    "holdfast.ocsp.freshness": ("Freshness", "refresh_at", "withdraw_at"),
    "holdfast.ocsp.http": ("get_url",),
    "holdfast.ocsp.policy": ("Policy",),
    "holdfast.ocsp.request": ("Request",),
    "holdfast.ocsp.response": ("Response",),
    "holdfast.ocsp.staple": ("Staple",),
    "holdfast.ocsp.statuses": ("Good", "Revoked", "Unknown"),
    "holdfast.ocsp.verdict": ("Verdict",),
    "holdfast.ocsp.verify": ("examine", "examine_bytes", "verify"),
    "holdfast.pki.certificate": ("Certificate",),
    "holdfast.pki.chain": ("Chain", "load_chain"),
    "holdfast.plan.entry": ("Entry", "Plan"),
}
_HOME_OF = {name: (home, name) for home, names in _HOMES.items() for name in names}
_HOME_OF["plan_keeping"] = ("holdfast.plan.keeping", "plan")  # `holdfast.plan` is the package

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'holdfast' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = home
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
