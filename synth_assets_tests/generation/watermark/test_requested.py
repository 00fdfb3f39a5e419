"""What a request may say about its mark, and what is refused when it arrives."""

from __future__ import annotations

from typing import Any

import pytest

from synth_assets.generation.watermark.keys import ExportedMark
from synth_assets.generation.watermark.requested import Mark, read_mark, request_arguments
from synth_assets.spec import WatermarkSpec
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY

EXPORT = ExportedMark(KEY, 0.3, 1.5)


@pytest.mark.parametrize(
    "arguments", [None, {}, {"other": "thing"}, {"synth_watermark": 0}, {"synth_watermark": False}]
)
def test_nothing_is_marked_unasked(arguments: dict[str, Any] | None) -> None:
    assert read_mark(arguments, EXPORT) is None


def test_a_request_without_numbers_takes_those_of_the_process() -> None:
    assert read_mark({"synth_watermark": 1}, EXPORT) == Mark(0.3, 1.5)


def test_what_a_spec_sends_is_what_is_read() -> None:
    arguments = request_arguments(WatermarkSpec(gamma=0.5, delta=4.0), KEY)
    assert all(isinstance(value, int | float | str) for value in arguments.values())
    assert read_mark({**arguments, "other": "thing"}, EXPORT) == Mark(0.5, 4.0)


def test_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match=f"marks with key {KEY.key_id}"):
        read_mark(request_arguments(WatermarkSpec(), OTHER_KEY), EXPORT)


@pytest.mark.parametrize(
    "arguments",
    [
        {"synth_watermark": 2},
        {"synth_watermark": -1},
        {"synth_watermark": "yes"},
        {"synth_watermark": [1]},
        {"synth_watermark_gamma": 0.5},
        {"synth_watermark": 1, "synth_watermark_gamma": 0},
        {"synth_watermark": 1, "synth_watermark_gamma": 1},
        {"synth_watermark": 1, "synth_watermark_gamma": float("nan")},
        {"synth_watermark": 1, "synth_watermark_gamma": "0.5"},
        {"synth_watermark": 1, "synth_watermark_delta": 0},
        {"synth_watermark": 1, "synth_watermark_delta": 20.5},
        {"synth_watermark": 1, "synth_watermark_delta": True},
        {"synth_watermark": 1, "synth_watermark_gama": 0.5},
        {"synth_watermarks": 1},
    ],
)
def test_a_faulty_argument_is_named(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="synth_watermark"):
        read_mark(arguments, EXPORT)
