"""R36: the text that Prometheus reads, as Prometheus' own parser reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from holdfast.services.responder_metrics import METRICS, Facts, Stored, metrics_text
from support.pki import AT


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_r36_every_number_is_there_with_0_for_what_has_not_happened() -> None:
    facts = [
        Facts(name='a "CA"', healthy=True, ends=[("1f", AT)], stored=None),
        Facts(
            name="two",
            healthy=False,
            stored=Stored(answers=7, compared=None),
        ),
    ]
    total = {"good": 3, "post": 2, "signatures": 1, "connections": 5, "disagreements": 2}
    read = samples(metrics_text(total, facts, workers=2, started_at=AT))
    assert read["holdfast_responder_answers_total", (("answer", "good"),)] == 3
    assert read["holdfast_responder_answers_total", (("answer", "tryLater"),)] == 0
    assert read["holdfast_responder_requests_total", (("method", "post"),)] == 2
    assert read["holdfast_responder_requests_total", (("method", "get"),)] == 0
    assert read["holdfast_responder_signatures_total", ()] == 1
    assert read["holdfast_responder_connections", ()] == 5
    assert read["holdfast_responder_healthy", (("ca", 'a "CA"'),)] == 1
    assert read["holdfast_responder_healthy", (("ca", "two"),)] == 0
    ends = (
        "holdfast_responder_signer_expiry_timestamp_seconds",
        (("ca", 'a "CA"'), ("signer", "1f")),
    )
    assert read[ends] == AT.timestamp()
    assert read["holdfast_responder_store_answers", (("ca", "two"),)] == 7
    assert read["holdfast_responder_store_compared_timestamp_seconds", (("ca", "two"),)] == 0
    assert read["holdfast_responder_disagreements", ()] == 2
    assert {name for name, _ in read} == set(METRICS)
