"""Edits taken back from texts of any kind: the original where nobody wrote, others' lines kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.conf.merge import taken_back

LINE = st.text("ab{}; \t", max_size=4).map(lambda text: text + "\n")
TEXT = st.lists(LINE, max_size=12).map("".join)
PLAIN = st.integers(0, 10**9).map(lambda number: f"line {number};\n")


@given(TEXT, TEXT)
def test_nobody_wrote_since(before: str, after: str) -> None:
    assert taken_back(before, after, after) == before


@given(st.lists(PLAIN, min_size=6, max_size=14, unique=True), st.data())
def test_what_others_wrote_elsewhere_stays(lines: list[str], data: st.DataObject) -> None:
    """Ours go in at one place; theirs at another, at least two lines off."""
    ours = data.draw(st.integers(0, len(lines)))
    far = [place for place in range(len(lines) + 1) if abs(place - ours) > 1]
    theirs = data.draw(st.sampled_from(far))

    def put(*what: tuple[int, str]) -> str:
        made = list(lines)
        for place, line in sorted(what, reverse=True):
            made.insert(place, line)
        return "".join(made)

    mine, other = (ours, "ssl_stapling on;\n"), (theirs, "theirs on;\n")
    assert taken_back("".join(lines), put(mine), put(mine, other)) == put(other)


@given(st.lists(PLAIN, min_size=2, max_size=8, unique=True), st.data())
def test_our_line_changed_since_is_no_guess(lines: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(lines)))
    after = [*lines[:place], "ssl_stapling on;\n", *lines[place:]]
    now = ["ssl_stapling off;\n" if line == "ssl_stapling on;\n" else line for line in after]
    assert taken_back("".join(lines), "".join(after), "".join(now)) is None
