"""Labels of Prometheus's text exposition format 0.0.4, as every page of metrics here has them."""

from __future__ import annotations

from collections.abc import Iterable

_QUOTED = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def labelled(labels: Iterable[tuple[str, str]]) -> str:
    """`name="value",...` with each value quoted; "" for no labels."""
    return ",".join(f'{name}="{value.translate(_QUOTED)}"' for name, value in labels)


def braced(labels: Iterable[tuple[str, str]]) -> str:
    """The same in braces, none for no labels."""
    told = labelled(labels)
    return f"{{{told}}}" if told else ""
