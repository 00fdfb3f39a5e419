"""The two logits processors on a CPU: which rows they mark, by which token before, and that they agree.

Nothing here starts vLLM: test_watermark_model.py and test_gpu_watermark.py do.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synth_assets.generation.watermark.green_list import Rows, add_bias, language_key, sign_limit
from synth_assets.generation.watermark.keys import (
    DELTA_VARIABLE,
    GAMMA_VARIABLE,
    KEY_ENV_VARIABLE,
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
)
from synth_assets_tests.generation.watermark.keys_for_tests import KEY, SECRET

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

VOCABULARY = 1_000
MARK = {"synth_watermark": 1}


@pytest.fixture(autouse=True)
def exported_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY_ENV_VARIABLE, KEY_FILE_VARIABLE, GAMMA_VARIABLE, DELTA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(KEY_VARIABLE, SECRET)


def sampling(arguments: dict[str, Any] | None = MARK, top_k: int = 50) -> Any:
    from vllm import SamplingParams

    return SamplingParams(extra_args=arguments, top_k=top_k)


def first_runner() -> Any:
    from synth_assets.generation.watermark.vllm_v1 import WatermarkProcessor

    return WatermarkProcessor(None, torch.device("cpu"), False)  # type: ignore[arg-type] - no setting of vLLM's is read


def second_runner(slots: int = 8) -> Any:
    from synth_assets.generation.watermark.vllm_v2 import WatermarkProcessor

    states = SimpleNamespace(device=torch.device("cpu"), max_num_reqs=slots, vocab_size=VOCABULARY)
    return WatermarkProcessor(None, states)  # type: ignore[arg-type] - no setting of vLLM's is read


def update(processor: Any, **changes: Any) -> None:
    from vllm.v1.sample.logits_processor import BatchUpdate

    processor.update_state(BatchUpdate(**{"batch_size": 8, "removed": [], "added": [], "moved": [], **changes}))


def context(slots: list[int], input_ids: list[int], requests: list[int] | None = None) -> Any:
    """One step of Model Runner V2: the slot of each row of logits, and the token fed there."""
    return SimpleNamespace(
        expanded_idx_mapping=torch.tensor(slots, dtype=torch.int32),
        idx_mapping_np=np.array(slots if requests is None else requests, dtype=np.int32),
        input_ids=torch.tensor(input_ids, dtype=torch.int32),
    )


def logits_of(rows: int) -> Any:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(5))


def biased(logits: Any, previous: list[int], *, gamma: float = 0.25, delta: float = 2.0, width: int = 50) -> Any:
    """What each row should become; −1: the row is not marked."""
    count = len(previous)
    rows = Rows(
        torch.tensor(previous), torch.full((count,), sign_limit(gamma)), torch.full((count,), delta), None, width
    )
    return add_bias(logits.clone(), rows, language_key(KEY))


# ---- the V1 runner


def test_the_first_token_follows_the_prompt_and_the_others_the_output() -> None:
    processor, output = first_runner(), []
    update(processor, added=[(0, sampling(), [11, 12, 13], output)])
    logits = logits_of(1)
    assert torch.equal(processor.apply(logits.clone()), biased(logits, [13]))
    for token in (7, 8):
        output.append(token)
        processor.update_state(None)
        assert torch.equal(processor.apply(logits.clone()), biased(logits, [token]))


def test_only_requests_that_ask_for_it_are_marked() -> None:
    processor = first_runner()
    update(processor, added=[(0, sampling(None), [1], []), (1, sampling(), [2], []), (2, sampling({"x": 1}), [3], [])])
    logits = logits_of(3)
    assert torch.equal(processor.apply(logits.clone()), biased(logits, [-1, 2, -1]))


def test_a_batch_without_marked_requests_is_not_touched() -> None:
    processor, logits = first_runner(), logits_of(2)
    update(processor, added=[(0, sampling(None), [1], [])])
    assert processor.apply(logits) is logits
    assert torch.equal(logits, logits_of(2))


def test_a_placeholder_is_no_context() -> None:
    processor = first_runner()
    update(processor, added=[(0, sampling(), [1], [-1]), (1, sampling(), [2], [5]), (2, sampling(), None, [])])
    logits = logits_of(3)
    assert torch.equal(processor.apply(logits.clone()), biased(logits, [-1, 5, -1]))


def test_requests_are_followed_when_they_move_and_go() -> None:
    from vllm.v1.sample.logits_processor import MoveDirectionality

    processor = first_runner()
    update(processor, added=[(i, sampling(), [10 + i], []) for i in range(4)])
    update(processor, moved=[(0, 1, MoveDirectionality.SWAP)], removed=[2])
    logits = logits_of(4)
    assert torch.equal(processor.apply(logits.clone()), biased(logits, [11, 10, -1, 13]))
    update(processor, moved=[(3, 2, MoveDirectionality.UNIDIRECTIONAL)], added=[(0, sampling(None), [9], [])])
    assert torch.equal(processor.apply(logits[:3].clone()), biased(logits[:3], [-1, 10, 13]))


def test_each_request_has_its_own_gamma_delta_and_top_k() -> None:
    processor = first_runner()
    other = {**MARK, "synth_watermark_gamma": 0.5, "synth_watermark_delta": 5}
    update(processor, added=[(0, sampling(other, top_k=0), [1], []), (1, sampling(top_k=10), [2], [])])
    logits = logits_of(2)
    result = processor.apply(logits.clone())
    assert torch.equal(result[:1], biased(logits[:1], [1], gamma=0.5, delta=5.0, width=256))
    assert torch.equal(result[1:], biased(logits[1:], [2], width=10))


def test_the_likeliest_token_may_change() -> None:
    assert not first_runner().is_argmax_invariant()


# ---- Model Runner V2


def test_both_runners_put_on_the_same_bias() -> None:
    asked = [
        sampling(),
        sampling(None),
        sampling({**MARK, "synth_watermark_gamma": 0.5, "synth_watermark_delta": 1}, top_k=0),
        sampling(top_k=7),
    ]
    previous, slots = [21, 22, 23, 24], [5, 0, 7, 2]
    one, two = first_runner(), second_runner()
    update(one, added=[(i, params, [previous[i]], []) for i, params in enumerate(asked)])
    told = [two.add_request(slot, params) for slot, params in zip(slots, asked, strict=True)]
    two.apply_staged_writes()
    logits = logits_of(4)
    result = two.apply(logits.clone(), context(slots, previous))
    assert told == [True, False, True, True]
    assert torch.equal(result, one.apply(logits.clone()))
    assert not torch.equal(result, logits)


def test_a_slot_forgets_its_last_request() -> None:
    processor, logits = second_runner(), logits_of(1)
    assert processor.add_request(3, sampling())
    processor.apply_staged_writes()
    assert torch.equal(processor.apply(logits.clone(), context([3], [4])), biased(logits, [4]))
    assert not processor.add_request(3, sampling(None))
    processor.apply_staged_writes()
    assert torch.equal(processor.apply(logits.clone(), context([3], [4])), logits)


def test_drafts_of_speculative_decoding_are_marked_by_the_draft_before() -> None:
    """A request owns a row a draft; a slot for which no draft was made holds −1."""
    processor, logits = second_runner(), logits_of(4)
    processor.add_request(1, sampling())
    processor.add_request(6, sampling(None))
    processor.apply_staged_writes()
    step = context([1, 1, 1, 6], [30, 31, -1, 32], requests=[1, 6])
    assert torch.equal(processor.apply(logits.clone(), step), biased(logits, [30, 31, -1, -1]))


# ---- both


@pytest.mark.parametrize("make", [first_runner, second_runner])
def test_faulty_arguments_are_refused_when_they_arrive(make: Any) -> None:
    kind = type(make())
    kind.validate_params(sampling())
    kind.validate_params(sampling(None))
    for arguments in ({"synth_watermark": 7}, {**MARK, "synth_watermark_key_id": "0" * 16}):
        with pytest.raises(ValueError, match="synth_watermark"):
            kind.validate_params(sampling(arguments))


@pytest.mark.parametrize("make", [first_runner, second_runner])
def test_numbers_that_a_request_leaves_out_come_from_the_environment(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GAMMA_VARIABLE, "0.5")
    monkeypatch.setenv(DELTA_VARIABLE, "7")
    processor, logits = make(), logits_of(1)
    if make is first_runner:
        update(processor, added=[(0, sampling(), [3], [])])
        result = processor.apply(logits.clone())
    else:
        processor.add_request(0, sampling())
        processor.apply_staged_writes()
        result = processor.apply(logits.clone(), context([0], [3]))
    assert torch.equal(result, biased(logits, [3], gamma=0.5, delta=7.0))


@pytest.mark.parametrize("make", [first_runner, second_runner])
def test_an_engine_without_a_key_does_not_start(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from synth_assets.errors import EngineError

    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(EngineError, match="SYNTH_WATERMARK_KEY"):
        make()


def test_vllm_finds_both_classes_by_their_names() -> None:
    from vllm.v1.sample.logits_processor import _load_custom_logitsprocs
    from vllm.v1.worker.gpu.sample.logits_processor.loader import _load_v2_logitsprocs_by_fqcns

    from synth_assets.generation.watermark.keys import processor_for

    assert [kind.__name__ for kind in _load_custom_logitsprocs([processor_for(cuda=False)])] == ["WatermarkProcessor"]
    assert [kind.__name__ for kind in _load_v2_logitsprocs_by_fqcns([processor_for(cuda=True)])] == [
        "WatermarkProcessor"
    ]
