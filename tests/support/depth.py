"""How far a test goes through what chance makes: quickly in `make test`, far in `make test-slow`.

@examples(300, slow=5000)
def test_any_bytes(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(st.binary())
    def law(data: bytes) -> None: ...

    law()
"""

from __future__ import annotations

import pytest


def examples(quick: int, *, slow: int) -> pytest.MarkDecorator:
    """Two cases of a test, by `examples`, the number of them."""
    cases = [quick, pytest.param(slow, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("examples", cases)
