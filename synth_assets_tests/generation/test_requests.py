"""Requests of a wave: which training rows lead them."""

from __future__ import annotations

from collections import Counter

import polars as pl

from synth_assets.generation.requests import build_requests
from synth_assets.records import SYNTHESIS_ONLY
from synth_assets_tests.builders import seed_rows, text_spec

SPEC = text_spec(generation={"exemplars": 3})
ROWS = [{"text": f"message {i}", "intent": "a"} for i in range(5)]
SEEDS = seed_rows(SPEC, [*ROWS, {"text": "a private message", "intent": "a", "disposition": SYNTHESIS_ONLY}])
IDS = dict(zip(SEEDS["text"], SEEDS["example_id"], strict=True))
PRIVATE = IDS["a private message"]


def leads(requests: pl.DataFrame) -> Counter[str]:
    return Counter(requests["prompted_by"].list.first().to_list())


def test_every_releasable_row_leads_equally_often() -> None:
    requests = build_requests(SPEC, "r000", SEEDS, {"a": 20}, {})
    assert leads(requests) == {name: 4 for name in IDS.values() if name != PRIVATE}


def test_rows_in_focus_lead_every_second_request_and_the_others_still_have_their_turn() -> None:
    focus = [IDS["message 1"], IDS["message 3"]]
    requests = build_requests(SPEC, "r000", SEEDS, {"a": 20}, {}, focus={"a": focus})
    assert leads(requests) == {name: 2 + 5 * (name in focus) for name in IDS.values() if name != PRIVATE}
    assert requests["prompted_by"].list.n_unique().to_list() == requests["prompted_by"].list.len().to_list()
    assert (requests["prompted_by"].list.len() > 1).all()


def test_private_and_missing_rows_in_focus_are_passed_over() -> None:
    unfocused = build_requests(SPEC, "r000", SEEDS, {"a": 20}, {})
    assert build_requests(SPEC, "r000", SEEDS, {"a": 20}, {}, focus={"a": [PRIVATE, "gone"]}).equals(unfocused)


def test_a_later_wave_goes_on_where_the_one_before_ended() -> None:
    focus = {"a": [IDS["message 2"]]}
    whole = build_requests(SPEC, "r000", SEEDS, {"a": 20}, {}, focus=focus)
    parts = [build_requests(SPEC, "r000", SEEDS, {"a": n}, {"a": start}, focus=focus) for n, start in ((7, 0), (13, 7))]
    assert pl.concat(parts).equals(whole)
