"""Characters that drive what shows them, made harmless: text of certificates and peers is theirs.

Law: what comes out has no character that ends a line, moves a cursor or reorders text; each such
one is shown as its escape. ECMA-48 (C0, C1), Unicode UAX 9 (bidirectional controls).
"""

from __future__ import annotations

import re

# C0 with tab and newline, DEL, C1, line separators, and what reorders text.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What XML 1.0 2.2 and UTF-8 have no way to write: surrogates and the two noncharacters.
_UNWRITABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")


def escape_of(found: re.Match[str]) -> str:
    """The escape that stands for a match: `\\x1b`, `\\u202e`."""
    return found.group().encode("unicode_escape").decode("ascii")


def harmless(text: object, most: int = 0) -> str:
    """`text` on one line, without controls; no longer than `most` characters, if that is given."""
    shown = _UNWRITABLE.sub(escape_of, CONTROL.sub(escape_of, str(text)))
    return shown if not most or len(shown) <= most else shown[: most - 1] + "…"
