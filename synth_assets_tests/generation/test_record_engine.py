"""The record engine: answers become rows, what fails is asked again, and every attempt tells how it was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.errors import SpecError
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.language.protocol import FAILED, OVERFLOW, REFUSED, Answer, Call
from synth_assets.generation.requests import INVALID, LENGTH, STOP, build_requests
from synth_assets.generation.watermark.keys import Key
from synth_assets.records import RELEASABLE, SYNTHESIS_ONLY, derive_seed, polars_schema
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.generation.scripted_model import INFO, Clock, ScriptedModel, write

ROWS = [{"text": f"open message number {i}", "intent": "ab"[i % 2]} for i in range(12)]
SECRET = [
    {"text": f"secret message number {i}", "intent": "ab"[i % 2], "disposition": SYNTHESIS_ONLY} for i in range(4)
]
COLUMNS = {
    "request_id": pl.String(),
    "attempt": pl.Int32(),
    "seed": pl.Int64(),
    "prompted_by": pl.List(pl.String()),
    "finish_reason": pl.String(),
    "prompt_tokens": pl.Int32(),
    "output_tokens": pl.Int32(),
    "output_token_ids": pl.List(pl.Int32()),
    "answer": pl.String(),
    "fault": pl.String(),
    "text": pl.String(),
    "intent": pl.String(),
}


def good(call: Call) -> Answer:
    return write(json.dumps({"text": f"new message {call.seed}"}))


def make_spec(**generation: Any) -> DatasetSpec:
    return text_spec(generation={"max_tokens": 50, "exemplars": 6, **generation})


def make_engine(
    script: Callable[[Call], Answer] = good,
    spec: DatasetSpec | None = None,
    *,
    rows: list[dict[str, Any]] = ROWS,
    allowance: Allowance | None = None,
    private_exemplars: bool = True,
    watermark: Key | None = None,
    **model: Any,
) -> RecordEngine:
    spec = spec or make_spec()
    return RecordEngine(
        spec,
        ScriptedModel(script, **model),
        seed_rows(spec, rows),
        allowance or Allowance(),
        private_exemplars=private_exemplars,
        watermark=watermark,
    )


def make_requests(
    count: int = 8, spec: DatasetSpec | None = None, rows: list[dict[str, Any]] = ROWS, stratum: str = "a"
) -> pl.DataFrame:
    spec = spec or make_spec()
    return build_requests(spec, "r000", seed_rows(spec, rows), {stratum: count}, {})


def full_requests() -> pl.DataFrame:
    """Return one request with six exemplars, all different."""
    return make_requests(40).filter(pl.col("prompted_by").list.len() == 6).head(1)


def generate(engine: RecordEngine, requests: pl.DataFrame | None = None) -> pl.DataFrame:
    return pl.concat(list(engine.generate(make_requests() if requests is None else requests)))


def attempts_of(*script: Answer) -> Callable[[Call], Answer]:
    """Return a script that gives every request these answers, the last one for ever."""
    counts: dict[str, int] = {}

    def answer(call: Call) -> Answer:
        request = (
            str(call.prompt).partition("One JSON")[2].split("\n")[1]
        )  # its first exemplar, which each has of its own
        counts[request] = counts.get(request, -1) + 1
        return script[min(counts[request], len(script) - 1)]

    return answer


GOOD = write('{"text":"a new message"}', 7)
BAD = write('{"text":5}', 3)
CUT = Answer('{"text":"a new mess', LENGTH, prompt_tokens=100, output_tokens=50)
SORRY = write('{"text":"I am sorry, but I cannot help with that."}', 12)
TOO_LONG = Answer("", OVERFLOW, prompt_tokens=5000, error="5,050 tokens exceed 4,096")
BROKEN = Answer("", FAILED, error="500 three times")
NO = Answer("", REFUSED, error="content filter")


# ---- answers that are good


def test_a_good_answer_is_a_row_with_the_values_of_its_stratum() -> None:
    requests = make_requests(8)
    made = generate(make_engine(), requests)
    assert dict(made.schema) == COLUMNS
    assert made["request_id"].to_list() == requests["request_id"].to_list()
    assert made["text"].to_list() == [f"new message {seed}" for seed in requests["seed"]]
    assert set(made["intent"]) == {"a"}
    assert made.select("attempt", "finish_reason", "answer", "fault").unique().rows() == [(0, STOP, None, None)]
    assert made.select("seed", "prompted_by").equals(requests.select("seed", "prompted_by"))


def test_a_request_is_asked_with_its_exemplars_its_seed_and_the_schema() -> None:
    engine = make_engine()
    generate(engine)
    lines = dict(zip(seed_rows(make_spec(), ROWS)["example_id"], (row["text"] for row in ROWS), strict=True))
    for request, (_, call) in zip(make_requests().iter_rows(named=True), engine.model.asked, strict=True):
        shown = "".join(f'{{"text":"{lines[name]}"}}\n' for name in request["prompted_by"])
        assert str(call.prompt).endswith(f"intent: a\nOne JSON object a line:\n{shown}")
        assert (call.seed, call.max_tokens, call.schema) == (request["seed"], 50, engine.schema.json_schema)


def test_a_chat_model_is_asked_with_messages() -> None:
    engine = make_engine(info=replace(INFO, chat=True))
    generate(engine)
    assert {tuple(turn.role for turn in call.prompt) for _, call in engine.model.asked} == {("system", "user")}


def test_rows_come_in_the_order_of_requests_whatever_is_answered_first() -> None:
    requests = make_requests(20)
    engine = make_engine(last_first=True, window=7)
    made = generate(engine, requests)
    assert [position for position, _ in engine.model.asked] != sorted(position for position, _ in engine.model.asked)
    assert made["request_id"].to_list() == requests["request_id"].to_list()
    assert made.equals(generate(make_engine(), requests))


def test_calls_are_drawn_as_room_comes_free() -> None:
    engine = make_engine(window=3)
    drawn_when_asked = []

    def script(call: Call) -> Answer:
        drawn_when_asked.append(engine.model.drawn)
        return good(call)

    engine.model.script = script
    generate(engine, make_requests(10))
    assert drawn_when_asked == [3, 4, 5, 6, 7, 8, 9, 10, 10, 10]


def test_tokens_and_their_ids_are_kept() -> None:
    ids = iter([(1, 2, 3), None, (), (70_000, 262_143)] * 2)
    made = generate(make_engine(lambda _: replace(GOOD, token_ids=next(ids))), make_requests(4))
    assert made["output_token_ids"].to_list() == [[1, 2, 3], None, [], [70_000, 262_143]]
    assert made.select("prompt_tokens", "output_tokens").unique().rows() == [(100, 7)]


def test_every_type_of_field_becomes_a_column() -> None:
    fields = [
        {"name": "ticket", "type": "text", "role": "id"},
        {"name": "talk", "type": "messages"},
        {"name": "visits", "type": "integer"},
        {"name": "price", "type": "number", "decimals": 2},
        {"name": "member", "type": "boolean", "nullable": True},
        {"name": "since", "type": "date"},
        {"name": "intent", "type": "category", "role": "target"},
    ]
    spec = text_spec(fields=fields)
    talk = [{"role": "user", "content": "hi"}]
    values = {"talk": talk, "visits": 3, "price": 1.5, "member": None, "since": "2024-02-29"}
    row = {**values, "ticket": "T", "intent": "a"}
    train = seed_rows(spec, [row]).with_columns(pl.col("since").str.to_date(), pl.col("member").cast(pl.Boolean))
    engine = RecordEngine(spec, ScriptedModel(lambda _: write(json.dumps(values))), train, Allowance())
    made = generate(engine, build_requests(spec, "r000", train, {"a": 1}, {}))
    names = [field.name for field in spec.content_fields]
    assert dict(made.select(names).schema) == polars_schema(spec.content_fields)
    assert made.select(names).equals(train.select(names))
    assert "ticket" not in made.columns


# ---- answers that are not


@pytest.mark.parametrize(
    ("first", "reason", "fault"),
    [
        (BAD, INVALID, "text: Input should be a valid string"),
        (write("Sure! Here it is"), INVALID, "Invalid JSON"),
        (CUT, LENGTH, "finish_reason length"),
        (SORRY, REFUSED, "I am sorry, but I can"),
        (write('{"text":"Dear [your name], hello"}'), REFUSED, "[your name]"),
        (TOO_LONG, OVERFLOW, "5,050 tokens exceed 4,096"),
        (BROKEN, FAILED, "500 three times"),
        (NO, REFUSED, "content filter"),
    ],
)
def test_what_cannot_be_used_is_asked_again_and_stays_as_a_row(first: Answer, reason: str, fault: str) -> None:
    made = generate(make_engine(attempts_of(first, GOOD)), make_requests(3))
    assert made["attempt"].to_list() == [0, 1] * 3
    assert made["finish_reason"].to_list() == [reason, STOP] * 3
    failed, used = made.filter(pl.col("attempt") == 0), made.filter(pl.col("attempt") == 1)
    assert failed["answer"].to_list() == [first.text] * 3
    assert failed["fault"].str.starts_with(fault).all()
    assert used["text"].to_list() == ["a new message"] * 3
    assert used.select("answer", "fault").null_count().row(0) == (3, 3)


def test_an_answer_that_cannot_be_read_leaves_no_record() -> None:
    made = generate(make_engine(attempts_of(BAD, CUT, GOOD)), make_requests(1))
    assert made.select("text", "intent").rows() == [(None, None), (None, None), ("a new message", "a")]


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_a_request_is_asked_again_as_often_as_the_spec_says_and_the_last_failure_stays(repairs: int) -> None:
    engine = make_engine(lambda _: BAD, make_spec(repair_attempts=repairs))
    made = generate(engine, make_requests(2))
    assert made["attempt"].to_list() == [*range(repairs + 1)] * 2
    assert set(made["finish_reason"]) == {INVALID}
    assert len(engine.model.asked) == 2 * (repairs + 1)


def test_each_attempt_has_another_seed_and_the_same_one_in_every_run() -> None:
    requests = make_requests(6)
    made = [generate(make_engine(lambda _: BAD, window=window), requests) for window in (1, 5)]
    assert made[0].equals(made[1])
    assert made[0]["seed"].n_unique() == 18
    for request, seeds in zip(
        requests["seed"], made[0].group_by("request_id", maintain_order=True).agg("seed")["seed"], strict=True
    ):
        assert seeds.to_list() == [request, derive_seed(request, "repair", 1), derive_seed(request, "repair", 2)]


def test_a_call_is_made_with_the_seed_and_the_exemplars_that_its_row_tells() -> None:
    engine = make_engine(attempts_of(TOO_LONG, BAD, GOOD))
    made = generate(engine, make_requests(5))
    told = {row["seed"]: len(row["prompted_by"]) for row in made.iter_rows(named=True)}
    shown = {call.seed: str(call.prompt).count('{"text":') for _, call in engine.model.asked}
    assert told == shown
    assert len(told) == 15


def test_what_does_not_fit_is_asked_again_with_half_the_exemplars() -> None:
    spec = make_spec(repair_attempts=5)
    requests = full_requests()
    made = generate(make_engine(lambda _: TOO_LONG, spec), requests)
    first = requests["prompted_by"][0].to_list()
    assert made["prompted_by"].to_list() == [first, first[:3], first[:1]]  # then there is nothing left to leave out
    assert set(made["finish_reason"]) == {OVERFLOW}


def test_a_request_that_never_fit_with_one_exemplar_is_not_asked_again() -> None:
    spec = make_spec(exemplars=1)
    assert generate(make_engine(lambda _: TOO_LONG, spec), make_requests(2, spec))["attempt"].to_list() == [0, 0]


def test_fewer_exemplars_stay_fewer() -> None:
    made = generate(make_engine(attempts_of(TOO_LONG, BAD, GOOD)), full_requests())
    assert made["prompted_by"].list.len().to_list() == [6, 3, 3]


def test_the_text_that_a_refusal_hides_in_a_valid_record_is_kept_with_its_reason() -> None:
    row = generate(make_engine(lambda _: SORRY, make_spec(repair_attempts=0)), make_requests(1)).row(0, named=True)
    assert (row["finish_reason"], row["answer"]) == (REFUSED, SORRY.text)
    assert row["text"] == "I am sorry, but I cannot help with that."


@pytest.mark.parametrize("text", ['{"text":"\\ud800"}', '{"text":"a\x00b"}', "\x00\ufffd", ""])
def test_an_answer_with_damaged_characters_is_a_reject_and_no_crash(text: str) -> None:
    made = generate(make_engine(lambda _: write(text)), make_requests(1))
    assert made["finish_reason"].to_list() == [INVALID] * 3


outcomes = st.sampled_from([GOOD, BAD, CUT, SORRY, TOO_LONG, BROKEN, NO])


@given(st.data(), st.integers(0, 3), st.integers(1, 6), st.booleans())
def test_every_attempt_is_one_row_in_order_and_the_last_is_the_answer(
    data: st.DataObject, repairs: int, window: int, last_first: bool
) -> None:
    spec = make_spec(repair_attempts=repairs)
    requests = make_requests(6, spec)
    given_answers: list[Answer] = []

    def script(call: Call) -> Answer:
        given_answers.append(data.draw(outcomes))
        return given_answers[-1]

    engine = make_engine(script, spec, window=window, last_first=last_first)
    made = generate(engine, requests)
    assert made.height == len(given_answers)
    assert made["output_tokens"].sum() == sum(answer.output_tokens for answer in given_answers)
    assert made["request_id"].unique(maintain_order=True).to_list() == requests["request_id"].to_list()
    for _, rows in made.group_by("request_id", maintain_order=True):
        assert rows["attempt"].to_list() == list(range(rows.height))
        assert rows.height <= repairs + 1
        assert (rows["finish_reason"].head(rows.height - 1) != STOP).all()
    assert not made.select("request_id", "attempt").is_duplicated().any()


# ---- the allowance


def test_tokens_end_a_shard_and_only_what_was_answered_has_rows() -> None:
    allowance = Allowance(tokens=100)
    requests = make_requests(20)
    made = generate(make_engine(allowance=allowance, window=1), requests)
    assert made["request_id"].to_list() == requests["request_id"].to_list()[:6]  # 10 tokens each, 50 are reserved
    assert (allowance.spent_tokens, allowance.ended) == (60, "tokens")


def test_a_repair_that_is_not_begun_has_no_row() -> None:
    allowance = Allowance(tokens=60)
    made = generate(make_engine(lambda _: CUT, allowance=allowance, window=1), make_requests(5))
    assert made.select("attempt", "finish_reason").rows() == [(0, LENGTH)]


def test_an_allowance_without_room_gives_an_empty_frame_of_the_right_columns() -> None:
    made = generate(make_engine(allowance=Allowance(tokens=10)))
    assert made.height == 0
    assert dict(made.schema) == COLUMNS


def test_time_gives_up_what_is_in_flight() -> None:
    clock = Clock()
    allowance = Allowance(seconds=10, clock=clock)

    def slow(call: Call) -> Answer:
        clock.now += 4
        return good(call)

    made = generate(make_engine(slow, allowance=allowance, window=4), make_requests(20))
    assert (made.height, allowance.spent_tokens, allowance.ended) == (3, 30, "seconds")


# ---- private rows


def test_private_rows_are_shown_where_they_may_be() -> None:
    engine = make_engine(rows=[*ROWS, *SECRET])
    generate(engine, make_requests(30, rows=[*ROWS, *SECRET]))
    assert any("secret" in str(call.prompt) for _, call in engine.model.asked)


def test_private_rows_are_withheld_and_not_told_as_shown_where_they_may_not_be() -> None:
    rows = [*ROWS, *SECRET]
    requests = make_requests(30, rows=rows)
    engine = make_engine(attempts_of(TOO_LONG, BAD, GOOD), rows=rows, private_exemplars=False)
    made = generate(engine, requests)
    assert not any("secret" in str(call.prompt) for _, call in engine.model.asked)
    seeds = seed_rows(make_spec(), rows)
    private = set(seeds.filter(pl.col("disposition") != RELEASABLE)["example_id"])
    assert private & set(requests["prompted_by"].explode())
    assert not private & set(made["prompted_by"].explode())


def test_a_stratum_of_private_rows_alone_is_asked_for_without_exemplars() -> None:
    rows = [*ROWS, {"text": "secret", "intent": "c", "disposition": SYNTHESIS_ONLY}]
    engine = make_engine(rows=rows, private_exemplars=False)
    made = generate(engine, make_requests(2, rows=rows, stratum="c"))
    assert made.select("prompted_by", "intent", "finish_reason").rows() == [([], "c", STOP)] * 2


# ---- what the generator is


def id_of(spec: DatasetSpec | None = None, *, key: Key | None = None, **info: Any) -> str:
    return make_engine(spec=spec, watermark=key, info=replace(INFO, **info)).info.generator_id


def test_the_generator_is_told_by_its_model_and_is_fitted_on_nothing() -> None:
    info = make_engine(info=replace(INFO, settings={"dtype": "float32", "lora": None})).info
    assert (info.engine, info.model, info.version) == ("vllm", "scripted", "1")
    assert (info.trained_on, info.members, info.watermark_key_id) == ("", (), None)
    assert info.generator_id.startswith("vllm-scripted-")
    told = json.loads(info.parameters)
    assert told["weights"] == "weights-1"
    assert (told["temperature"], told["top_k"], told["min_p"], told["exemplars"]) == (1.0, 50, 0.0, 6)
    assert (told["dtype"], told["lora"], told["max_tokens"], told["repair_attempts"]) == ("float32", None, 50, 2)


@pytest.mark.parametrize(
    "info",
    [
        {"digest": "weights-2"},
        {"version": "2"},
        {"model": "another"},
        {"engine": "server"},
        {"chat": True},
        {"settings": {"dtype": "bfloat16"}},
    ],
    ids=str,
)
def test_another_model_is_another_generator(info: dict[str, Any]) -> None:
    assert id_of(**info) != id_of()


@pytest.mark.parametrize(
    "generation",
    [
        {"temperature": 0.7},
        {"top_k": 0},
        {"top_k": 40},
        {"min_p": 0.1},
        {"max_tokens": 51},
        {"exemplars": 5},
        {"repair_attempts": 0},
    ],
    ids=str,
)
def test_other_sampling_is_another_generator(generation: dict[str, Any]) -> None:
    assert id_of(make_spec(**generation)) != id_of(make_spec())


def test_other_bounds_of_the_record_are_another_generator() -> None:
    assert make_engine(rows=[*ROWS, {"text": "x" * 200, "intent": "a"}]).info.generator_id != id_of()


def test_a_watermark_and_its_key_make_another_generator() -> None:
    keys = [Key(bytes(32), "one"), Key(bytes(32), "two")]
    spec = make_spec(watermark={})
    stronger = make_spec(watermark={"delta": 3.0})
    ids = [id_of(spec), id_of(spec, key=keys[0]), id_of(spec, key=keys[1]), id_of(stronger, key=keys[0])]
    assert len(set(ids)) == 4
    assert make_engine(spec=spec, watermark=keys[0]).info.watermark_key_id == "one"


def test_urls_and_prices_make_no_other_generator() -> None:
    server = {"engine": "server", "model": "m", "server": {"urls": ["http://127.0.0.1:1/v1"]}}
    other = {**server, "server": {"urls": ["http://127.0.0.1:2/v1"], "max_concurrency": 8}}
    assert id_of(make_spec(**server)) == id_of(make_spec(**other))
    assert id_of(make_spec().model_copy(update={"cost": text_spec(cost={"currency": "EUR"}).cost})) == id_of()


def test_a_generator_that_is_shown_private_rows_is_another_than_one_that_is_not() -> None:
    rows = [*ROWS, *SECRET]
    shown, withheld = (make_engine(rows=rows, private_exemplars=shown).info for shown in (True, False))
    assert shown.generator_id != withheld.generator_id


def test_the_model_is_told_how_to_sample_and_what_to_mark() -> None:
    spec = make_spec(temperature=0.7, top_k=0, min_p=0.05, watermark={"gamma": 0.5, "delta": 1.5})
    engine = make_engine(spec=spec, watermark=Key(bytes(32), "one"))
    generate(engine)
    sampling = engine.model.sampling
    assert (sampling.temperature, sampling.top_k, sampling.min_p) == (0.7, 0, 0.05)
    assert set(sampling.mark.values()) == {1, 0.5, 1.5, "one"}
    generate(unmarked := make_engine())
    assert (unmarked.model.sampling.top_k, unmarked.model.sampling.mark) == (50, None)


def test_a_shard_is_many_batches_but_never_too_large() -> None:
    assert [make_engine(info=replace(INFO, batch=batch)).shard_size for batch in (1, 64, 4096)] == [16, 1024, 4096]


def test_what_is_kept_of_the_generator_is_the_schema_of_its_answers() -> None:
    engine = make_engine()
    assert engine.artifact()["schema"]["json_schema"].item() == engine.schema.json_schema


def test_a_recipe_without_a_template_for_the_model_stops_the_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("synth_assets.generation.recipes.RECIPES", tmp_path)
    (tmp_path / "few_shot").mkdir()
    (tmp_path / "few_shot" / "recipe.yaml").write_text("name: few_shot\ndescription: chat alone\n")
    with pytest.raises(SpecError, match=r"no completion\.jinja"):
        generate(make_engine())
