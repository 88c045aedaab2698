"""V3: the window, the skew to the second, ages, producedAt; and V7: every finding at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast.ocsp.certid import CertID
from holdfast.ocsp.extension import Extension
from holdfast.ocsp.response import Revoked
from support.builders import by_key, signature, signed_response
from vectors.cast import (
    AT,
    BEGIN,
    CA,
    DAY,
    ENDLESS_LEAF,
    IMPOSTOR,
    LEAF_ID,
    MINUTE,
    NEXT,
    SECOND,
    SIGNER,
    SKEW,
    THIS,
    answer,
    case,
    data,
    says,
)  # fmt: skip

HOUR = timedelta(hours=1)

# -- the edges, to the second -----------------------------------------------------------------

case(
    "begins-at-the-skew",
    "V3",
    "thisUpdate is exactly the skew ahead.",
    answer(says(this=AT + SKEW), produced=AT + SKEW),
    "good",
    twin="begins-past-the-skew",
)
case(
    "begins-past-the-skew",
    "V3",
    "One second further ahead.",
    answer(says(this=AT + SKEW + SECOND), produced=AT + SKEW + SECOND),
    "not good",
    "not-yet-valid",
    twin="begins-at-the-skew",
)
case(
    "ends-within-the-skew",
    "V3",
    "nextUpdate passed one second less than the skew ago.",
    answer(),
    "good",
    at=NEXT + SKEW - SECOND,
    twin="ends-at-the-skew",
)
case(
    "ends-at-the-skew",
    "V3",
    "nextUpdate passed exactly the skew ago.",
    answer(),
    "not good",
    "expired",
    at=NEXT + SKEW,
    twin="ends-within-the-skew",
)
case(
    "begins-now-without-skew",
    "V3",
    "Skew 0: thisUpdate is now.",
    answer(says(this=AT), produced=AT),
    "good",
    twin="begins-a-second-hence-without-skew",
    skew=0,
)
case(
    "begins-a-second-hence-without-skew",
    "V3",
    "Skew 0: thisUpdate is a second away.",
    answer(says(this=AT + SECOND), produced=AT + SECOND),
    "not good",
    "not-yet-valid",
    skew=0,
    twin="begins-now-without-skew",
)
case(
    "ends-a-second-hence-without-skew",
    "V3",
    "Skew 0: one second is left.",
    answer(),
    "good",
    at=NEXT - SECOND,
    skew=0,
    twin="ends-now-without-skew",
)
case(
    "ends-now-without-skew",
    "V3",
    "Skew 0: nextUpdate is now.",
    answer(),
    "not good",
    "expired",
    at=NEXT,
    skew=0,
    twin="ends-a-second-hence-without-skew",
)
case(
    "skew-of-an-hour",
    "V3",
    "A skew of an hour, 59 minutes needed.",
    answer(),
    "good",
    at=NEXT + 59 * MINUTE,
    skew=3600,
    twin="skew-of-an-hour-passed",
)
case(
    "skew-of-an-hour-passed",
    "V3",
    "A skew of an hour, an hour needed.",
    answer(),
    "not good",
    "expired",
    at=NEXT + HOUR,
    skew=3600,
    twin="skew-of-an-hour",
)
case("expired", "V3", "Ended a week ago.", answer(), "not good", "expired", at=NEXT + 7 * DAY)
case(
    "not-yet-valid",
    "V3",
    "Begins in two days.",
    answer(says(this=AT + 2 * DAY, until=AT + 9 * DAY), produced=AT + 2 * DAY),
    "not good",
    "not-yet-valid",
)
case(
    "ends-before-it-begins",
    "V3",
    "nextUpdate is before thisUpdate: no window at all.",
    answer(says(until=THIS - SECOND)),
    "not good",
    "malformed",
    "expired",
)
case(
    "expired-revoked",
    "V3",
    "A revocation told in a window that ended: no valid response.",
    answer(says(Revoked(THIS))),
    "not revoked",
    "revoked",
    "expired",
    at=NEXT + 7 * DAY,
    twin="answers-the-certificate",
)

# -- no nextUpdate ----------------------------------------------------------------------------

OPEN = answer(says(until=None))
case(
    "no-next-update",
    "V3",
    "nextUpdate is absent: valid, and a warning.",
    OPEN,
    "good",
    "no-next-update",
    twin="no-next-update-browser-late",
)
case(
    "no-next-update-months-later",
    "V3",
    "The same judged months later: the RFC knows no end.",
    OPEN,
    "good",
    "no-next-update",
    at=AT + 90 * DAY,
    twin="no-next-update-too-old",
)
case(
    "no-next-update-too-old",
    "V3",
    "Unless an age is set.",
    OPEN,
    "not good",
    "no-next-update",
    "too-old",
    at=AT + 90 * DAY,
    max_age=10 * 86400,
    twin="no-next-update-months-later",
)
case(
    "no-next-update-rfc6960",
    "V3",
    "A note in the RFC's profile.",
    OPEN,
    "good",
    "no-next-update",
    profile="rfc6960",
    severities={"no-next-update": "note"},
    twin="no-next-update-browser-late",
)
case(
    "no-next-update-browser",
    "V3",
    "In the browser's profile it counts as one day.",
    OPEN,
    "good",
    "no-next-update",
    at=THIS + DAY + SKEW - SECOND,
    profile="browser",
    severities={"no-next-update": "note"},
    twin="no-next-update-browser-late",
)
case(
    "no-next-update-browser-late",
    "V3",
    "And the day and the skew are over.",
    OPEN,
    "not good",
    "no-next-update",
    "expired",
    at=THIS + DAY + SKEW,
    profile="browser",
    severities={"no-next-update": "note"},
    twin="no-next-update-browser",
)

# -- the window's length ----------------------------------------------------------------------

TEN = answer(says(until=THIS + 10 * DAY))
LONG = answer(says(until=THIS + 30 * DAY))
case("window-of-ten-days", "V3", "Ten days to the second.", TEN, "good", twin="expired")
case(
    "window-a-second-longer",
    "V3",
    "Ten days and a second: a warning.",
    answer(says(until=THIS + 10 * DAY + SECOND)),
    "good",
    "window-too-long",
    twin="expired",
)
case(
    "window-of-thirty-days",
    "V3",
    "Judged on the eleventh day: valid, with a warning.",
    LONG,
    "good",
    "window-too-long",
    at=THIS + 11 * DAY,
    twin="window-of-thirty-days-browser",
)
case(
    "window-of-thirty-days-rfc6960",
    "V3",
    "A note in the RFC's profile.",
    LONG,
    "good",
    "window-too-long",
    at=THIS + 11 * DAY,
    profile="rfc6960",
    severities={"window-too-long": "note"},
    twin="window-of-thirty-days-browser",
)
case(
    "window-of-thirty-days-browser",
    "V3",
    "A browser counts ten days and no more.",
    LONG,
    "not good",
    "window-too-long",
    "expired",
    at=THIS + 11 * DAY,
    profile="browser",
    severities={"window-too-long": "note"},
    twin="window-of-thirty-days-browser-early",
)
case(
    "window-of-thirty-days-browser-early",
    "V3",
    "On the tenth day the browser accepts it.",
    LONG,
    "good",
    "window-too-long",
    at=THIS + 9 * DAY,
    profile="browser",
    severities={"window-too-long": "note"},
    twin="window-of-thirty-days-browser",
)

# -- its age ----------------------------------------------------------------------------------

case(
    "max-age-reached",
    "V3",
    "Exactly as old as --max-age allows.",
    answer(),
    "good",
    max_age=12 * 3600,
    twin="max-age-passed",
)
case(
    "max-age-passed",
    "V3",
    "A second older.",
    answer(),
    "not good",
    "too-old",
    max_age=12 * 3600,
    at=AT + SECOND,
    twin="max-age-reached",
)

# -- producedAt -------------------------------------------------------------------------------

case(
    "produced-before-this-update",
    "V3",
    "producedAt an hour before thisUpdate, as in RFC 9919's example and OpenBao: a note.",
    answer(produced=THIS - HOUR),
    "good",
    "produced-before-this-update",
    twin="produced-before-the-leaf",
)
case(
    "produced-before-this-update-rfc6960",
    "V3",
    "A note in every profile.",
    answer(produced=THIS - HOUR),
    "good",
    "produced-before-this-update",
    twin="produced-before-the-leaf",
    profile="rfc6960",
)
case(
    "produced-later",
    "V3",
    "producedAt after thisUpdate: usual where a database is older.",
    answer(produced=THIS + HOUR),
    "good",
    twin="produced-before-the-leaf",
)
case(
    "produced-before-the-leaf",
    "V3",
    "producedAt before the leaf's life and the skew.",
    answer(produced=BEGIN - SKEW - SECOND),
    "not good",
    "produced-outside-certificate",
    "produced-before-this-update",
    twin="produced-a-skew-before-the-leaf",
)
case(
    "produced-a-skew-before-the-leaf",
    "V3",
    "Before the leaf's life by the skew exactly.",
    answer(produced=BEGIN - SKEW),
    "good",
    "produced-before-this-update",
    twin="produced-before-the-leaf",
)
END = BEGIN + 365 * DAY  # the leaf's
LATE = says(this=END, until=END + 7 * DAY)
case(
    "produced-a-skew-after-the-leaf",
    "V3",
    "After the leaf's life by the skew exactly.",
    answer(LATE, produced=END + SKEW),
    "good",
    at=END + HOUR,
    twin="produced-after-the-leaf",
)
case(
    "produced-after-the-leaf",
    "V3",
    "A second later.",
    answer(LATE, produced=END + SKEW + SECOND),
    "not good",
    "produced-outside-certificate",
    at=END + HOUR,
    twin="produced-a-skew-after-the-leaf",
)
case(
    "produced-long-ago-without-leaf",
    "V3",
    "Without the leaf at hand its life is not known.",
    answer(produced=BEGIN - 30 * DAY),
    "good",
    "produced-before-this-update",
    serial=LEAF_ID.serial,
    twin="produced-before-the-leaf",
)
case(
    "leaf-without-end",
    "V3",
    "A leaf whose notAfter is 99991231235959Z (RFC 5280 4.1.2.5).",
    answer(says(of=CertID.of(ENDLESS_LEAF.certificate.serial, CA.certificate))),
    "good",
    leaf="endless-leaf",
    twin="window-at-the-end-of-time",
)
NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
ENDLESS_ID = CertID.of(ENDLESS_LEAF.certificate.serial, CA.certificate)
case(
    "window-at-the-end-of-time",
    "V3",
    "Times at the end of what can be written, in the browser's profile, which adds to them.",
    answer(says(of=ENDLESS_ID, this=NEVER, until=None), produced=NEVER),
    "not good",
    "not-yet-valid",
    "no-next-update",
    leaf="endless-leaf",
    profile="browser",
    severities={"no-next-update": "note"},
    twin="leaf-without-end",
)

# -- longer than its signer -------------------------------------------------------------------

SIGNER_END = SIGNER.certificate.not_after
LAST_WEEK = SIGNER_END - 7 * DAY
case(
    "ends-with-its-signer",
    "V3, R30",
    "nextUpdate is the signer's notAfter.",
    answer(says(this=LAST_WEEK, until=SIGNER_END), by=SIGNER, produced=LAST_WEEK),
    "good",
    at=LAST_WEEK + HOUR,
    twin="expired",
)
case(
    "outlives-its-signer",
    "V3, R30",
    "nextUpdate is a second after the signer's notAfter.",
    answer(says(this=LAST_WEEK, until=SIGNER_END + SECOND), by=SIGNER, produced=LAST_WEEK),
    "good",
    "outlives-signer",
    at=LAST_WEEK + HOUR,
    twin="expired",
)

# -- V7: everything at once --------------------------------------------------------------------

CRITICAL = Extension("1.3.6.1.4.1.99999.1", True, b"\x05\x00")
case(
    "everything-wrong",
    "V7",
    "Forged, in a window that ended and was too long, produced before "
    "the leaf, with an unknown critical extension and no such nonce: each is told.",
    signed_response(
        IMPOSTOR.key,
        data(
            says(
                of=CertID.of(LEAF_ID.serial, CA.certificate, "sha256"),
                this=THIS,
                until=THIS + 20 * DAY,
                extensions=(CRITICAL,),
            ),
            named=by_key(CA.certificate),
            produced=BEGIN - DAY,
        ),
    ),
    "not good",
    "bad-signature",
    "expired",
    "window-too-long",
    "too-old",
    "critical-extension",
    "produced-outside-certificate",
    "produced-before-this-update",
    "certid-sha256",
    "nonce-absent",
    at=THIS + 21 * DAY,
    max_age=86400,
    nonce="00" * 16,
)
case(
    "wrong-certificate-and-forged",
    "V7",
    "About another certificate, forged, and produced before the leaf.",
    signed_response(
        IMPOSTOR.key,
        data(
            says(of=LEAF_ID._replace(serial=1)), named=by_key(CA.certificate), produced=BEGIN - DAY
        ),
    ),
    "nothing",
    "wrong-certificate",
    "bad-signature",
    "produced-outside-certificate",
)
case(
    "revoked-expired-weak",
    "V7",
    "Revoked, expired and signed with SHA-1.",
    signed_response(
        CA.key,
        data(says(Revoked(THIS))),
        made=signature(CA.key, data(says(Revoked(THIS))), digest="sha1"),
    ),
    "not revoked",
    "revoked",
    "expired",
    "weak-signature",
    at=NEXT + DAY,
)
