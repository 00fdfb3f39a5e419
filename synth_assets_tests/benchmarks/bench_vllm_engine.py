"""What the candidates step costs beyond vLLM itself; run as a script, on a machine with nothing else to do.

    python -m synth_assets_tests.benchmarks.bench_vllm_engine FILE.csv TEXT LABEL --model FOLDER [--sequences 64]

Bare `LLM.generate` and the whole step (prompts, shards on disk, reading, candidate rows, cascade) take turns on the
same requests, in the order A B B A …; the figure is the median ratio of their tokens/s. Each turn loads the model
anew. As in the asset, the step fits its cascade while the model loads: by how much that load takes longer than the
bare turn's is booked to the step, the load itself to neither.
A shard holds 16 times the requests in flight; its drain is the time from the moment when fewer than that are left.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from synth_assets.discriminators.cascade import Cascade, Known
from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.vllm.engine import open_vllm
from synth_assets.generation.waves import as_candidates
from synth_assets.records import RELEASABLE, TRAIN, add_real_ids
from synth_assets.spec import DatasetSpec, parse_spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("text")
    parser.add_argument("label")
    parser.add_argument("--model", required=True)
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--shards", type=int, default=1, help="shards of 16 times the requests in flight")
    parser.add_argument("--turns", type=int, default=2, help="pairs of turns")
    arguments = parser.parse_args()
    spec = make_spec(arguments)
    seeds = read_seeds(arguments, spec)
    requests = take_requests(spec, seeds, 16 * arguments.sequences * arguments.shards)
    for _ in range(2):  # imports, files and grammars, once loaded, are quick for every turn
        bare_calls(spec, seeds, requests.head(arguments.sequences))
    ratios = []
    for turn in range(arguments.turns):
        order = (bare_calls, whole_step) if turn % 2 == 0 else (whole_step, bare_calls)
        arms = {arm.__name__: arm(spec, seeds, requests) for arm in order}
        bare, step = arms["bare_calls"], arms["whole_step"]
        fit = max(0.0, step.load_seconds - bare.load_seconds)
        for name, arm, seconds in (("bare", bare, bare.seconds), ("step", step, step.seconds + fit)):
            rate = f"{arm.tokens:>8,} tokens {seconds:8.1f} s {arm.tokens / seconds:8.1f} tokens/s"
            print(f"{name:<5} {rate}, load {arm.load_seconds:5.1f} s  {arm.note}", flush=True)
        ratios.append(step.tokens / (step.seconds + fit) / (bare.tokens / bare.seconds))
        print(f"      ratio {ratios[-1]:.3f}, of which fitting while the model loads {fit:.1f} s", flush=True)
    print(f"requests {requests.height}, in flight {arguments.sequences}")
    told = [round(ratio, 3) for ratio in ratios]
    print(f"whole step over bare LLM.generate: median {statistics.median(ratios):.3f} of {told}")


def make_spec(arguments: argparse.Namespace) -> DatasetSpec:
    """Return a spec of two fields whose engine is the model."""
    content: dict[str, Any] = {
        "name": "bench",
        "description": "Messages of customers to their bank",
        "fields": [
            {"name": arguments.text, "type": "text", "max_length": 1000},
            {"name": arguments.label, "type": "category", "role": "target"},
        ],
        "strata": {"by": [arguments.label]},
        "source": {"license": "CC-BY-4.0", "consent": {"basis": "not_personal"}},
        "generation": {
            "engine": "vllm",
            "model": str(Path(arguments.model).resolve()),
            "max_tokens": 96,
            "vllm": {"max_num_seqs": arguments.sequences},
        },
    }
    return parse_spec(content, where="bench")


def read_seeds(arguments: argparse.Namespace, spec: DatasetSpec) -> pl.DataFrame:
    """Return the file's rows as training seeds."""
    rows = pl.read_csv(arguments.file).select(arguments.text, arguments.label)
    return add_real_ids(rows, spec).with_columns(split=pl.lit(TRAIN), disposition=pl.lit(RELEASABLE))


def take_requests(spec: DatasetSpec, seeds: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return `count` requests over all strata."""
    strata = sorted(seeds["stratum"].unique())
    each = -(-count // len(strata))
    return build_requests(spec, "r000", seeds, dict.fromkeys(strata, each), {}).head(count)


@dataclass(frozen=True)
class Arm:
    """One turn: tokens made, seconds of work after the load, seconds until the model was ready."""

    tokens: int
    seconds: float
    load_seconds: float
    note: str = ""


def bare_calls(spec: DatasetSpec, seeds: pl.DataFrame, requests: pl.DataFrame) -> Arm:
    """Time LLM.generate on the requests' own prompts, from token ids made beforehand."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    began = time.perf_counter()
    model = open_vllm(spec, Path.cwd())
    loaded = time.perf_counter()
    engine = RecordEngine(spec, model, seeds, Allowance())
    prompts, parameters = [], []
    for row in requests.iter_rows(named=True):
        lines = [engine._lines[name] for name in row["prompted_by"]]
        text = engine.prompts.render(row["stratum"], lines, chat=False)
        tokenizer = model.llm.get_tokenizer()
        prompts.append({"prompt_token_ids": [tokenizer.bos_token_id, *tokenizer(text).input_ids]})
        parameters.append(
            SamplingParams(
                temperature=engine.sampling.temperature,
                top_k=engine.sampling.top_k,
                seed=row["seed"],
                max_tokens=spec.generation.max_tokens,
                structured_outputs=StructuredOutputsParams(json=engine.schema.json_schema),
            )
        )
    started = time.perf_counter()
    outputs = model.llm.generate(prompts, parameters, use_tqdm=False)
    seconds = time.perf_counter() - started
    model.close()
    return Arm(sum(len(output.outputs[0].token_ids) for output in outputs), seconds, loaded - began)


def whole_step(spec: DatasetSpec, seeds: pl.DataFrame, requests: pl.DataFrame) -> Arm:
    """Time the candidates step: engine, shards on disk, rows, cascade; note the parts and the drain's share."""
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    times: list[float] = []
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as beside:
        building = beside.submit(Cascade.build, spec, Known(seeds, Path.cwd()))
        model = open_vllm(spec, Path.cwd())
        cascade = building.result()
    loaded = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        allowance = Allowance()
        engine = RecordEngine(spec, model, seeds, allowance)
        completions = ShardFolder(Path(folder), "bench").complete(
            engine,
            requests,
            wave=0,
            size=engine.shard_size,
            allowance=allowance,
            report=lambda _: times.append(time.perf_counter()),
        )
        candidates = as_candidates(spec, plan, requests, completions, engine.info)
        generated = time.perf_counter()
        cascade.judge(candidates, candidates.clear())
        seconds = time.perf_counter() - loaded
    note = {
        "drain": round((times[-1] - times[-min(model.info.batch, len(times))]) / seconds, 3),
        "engine_seconds": round(generated - loaded, 2),
        "judge_seconds": round(loaded + seconds - generated, 2),
        "attempts": candidates.height,
        "valid_after_repair": int((completions["finish_reason"] == "stop").sum()),
    }
    model.close()
    return Arm(int(candidates["output_tokens"].sum()), seconds, loaded - began, json.dumps(note))


if __name__ == "__main__":
    main()
