"""The green-list mark on a real language model under vLLM on the CPU: found in text, in JSON, by its key alone.

Needs SYNTH_TEST_MODEL, a model's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from synth_assets.generation.watermark.detection import detect_answers, detect_texts, detect_tokens
from synth_assets.generation.watermark.keys import Key
from synth_assets.generation.watermark.tokens import pair_tokens
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, OTHER_KEY
from synth_assets_tests.generation.watermark.language import Writer, message_spec, open_writer
from synth_assets_tests.models import MODEL, needs_model

pytestmark = pytest.mark.slow
TEXTS, TOKENS = 24, 60


@pytest.fixture(scope="module")
def model() -> Path:
    assert MODEL is not None
    return MODEL


@pytest.fixture(scope="module")
def writer(model: Path) -> Iterator[Writer]:
    with open_writer(model, cuda=False) as writer:
        yield writer


@pytest.fixture(scope="module")
def marked(writer: Writer) -> pl.DataFrame:
    return writer.write(TEXTS, marked=True, json_=False, tokens=TOKENS)


@pytest.fixture(scope="module")
def plain(writer: Writer) -> pl.DataFrame:
    return writer.write(TEXTS, marked=False, json_=False, tokens=TOKENS)


@pytest.fixture(scope="module")
def records(writer: Writer) -> pl.DataFrame:
    return writer.write(2 * TEXTS, marked=True, json_=True)


def find(frame: pl.DataFrame, key: Key = KEY) -> tuple[pl.Series, float]:
    """Return the z of each text and of all together, from the tokens; the first one follows the prompt."""
    ids = frame.select(pl.concat_list(pl.col("prompt_end").cast(pl.Int32), "output_token_ids")).to_series()
    found = detect_tokens(pl.int_range(frame.height, eager=True), pair_tokens(ids), key, 0.25)
    assert found.pooled.z is not None
    return found.records["z"], found.pooled.z


@needs_model
def test_marked_text_is_found_text_by_text(marked: pl.DataFrame) -> None:
    z, pooled = find(marked)
    assert (z > 4).mean() > 0.8  # type: ignore[operator] - a mean of booleans
    assert pooled > 15


@needs_model
def test_unmarked_text_and_another_key_show_nothing(marked: pl.DataFrame, plain: pl.DataFrame) -> None:
    for frame, key in ((plain, KEY), (plain, OTHER_KEY), (marked, OTHER_KEY)):
        z, pooled = find(frame, key)
        assert abs(pooled) < 3
        assert z.max() < 4  # type: ignore[operator] - a number


@needs_model
def test_every_drawn_token_counts_from_the_first_on(writer: Writer) -> None:
    """With a delta of 20 nearly every token is green, the first after the prompt as well as the last."""
    strong = Writer(writer.llm, writer.key, writer.watermark.model_copy(update={"delta": 20.0}))
    frame = strong.write(TEXTS, marked=True, json_=False, tokens=8)
    for place in range(8):
        cut = frame.with_columns(
            prompt_end=frame["output_token_ids"].list.get(place - 1) if place else frame["prompt_end"],
            output_token_ids=pl.col("output_token_ids").list.slice(place, 1),
        )
        z, _ = find(cut)
        assert (z > 0).mean() > 0.9  # type: ignore[operator] - a mean of booleans


@needs_model
def test_unmarked_requests_beside_marked_ones_are_what_they_were(writer: Writer) -> None:
    """Half of the batch is marked: the other half shows nothing."""
    from vllm import SamplingParams

    from synth_assets.generation.watermark.requested import request_arguments

    arguments = request_arguments(writer.watermark, writer.key)
    prompts = writer._prompts(TEXTS, 7)
    asked = [
        SamplingParams(top_k=50, max_tokens=40, seed=i, ignore_eos=True, extra_args=arguments if i % 2 else None)
        for i in range(TEXTS)
    ]
    answers = writer.llm.generate([{"prompt_token_ids": ids} for ids in prompts], asked, use_tqdm=False)
    frame = pl.DataFrame(
        {
            "prompt_end": [ids[-1] for ids in prompts],
            "output_token_ids": [list(answer.outputs[0].token_ids) for answer in answers],
        }
    )
    assert find(frame.gather_every(2, 1))[1] > 8
    assert abs(find(frame.gather_every(2))[1]) < 3


@needs_model
def test_records_in_json_are_found_together_by_tokens_and_by_text(model: Path, records: pl.DataFrame) -> None:
    assert records.height > 1.5 * TEXTS
    answers = detect_answers(records, message_spec(), KEY, model)
    texts = detect_texts(records, message_spec(), KEY, model)
    assert answers.pooled.z is not None and answers.pooled.z > 8
    assert texts.pooled.z is not None and texts.pooled.z > 0.8 * answers.pooled.z
    assert abs(answers.pooled.scored - texts.pooled.scored) < 0.1 * answers.pooled.scored
    assert abs(detect_texts(records, message_spec(), OTHER_KEY, model).pooled.z or 0) < 3


@needs_model
def test_another_key_id_is_refused_on_arrival(writer: Writer) -> None:
    from vllm.exceptions import VLLMValidationError

    other = Writer(writer.llm, OTHER_KEY, writer.watermark)
    with pytest.raises(VLLMValidationError, match="synth_watermark_key_id"):
        other.write(1, marked=True, json_=False, tokens=2)
