"""Benchmark: rows/s of the server engine on a server that answers at once, beside bare aiohttp, and peak memory.

    python -m synth_assets_tests.benchmarks.bench_server_engine [--calls 10000] [--repeats 3]

Prompts of 400 characters, answers of about 70 in JSON, a schema on every call; the server is a process of its own, and
the loops take turns, so that other work on the machine hits all alike. "a CPU" divides by the processor time of the
client alone: what it could do on a core that it has to itself. "whole engine" goes from requests to candidate rows:
prompts with six exemplars, answers read and checked, shards of 4,096 on disk. Memory is measured in a process a count.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import polars as pl
import uvloop

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language.engine import RecordEngine
from synth_assets.generation.language.protocol import Call, Sampling
from synth_assets.generation.planner import Pins, plan_round
from synth_assets.generation.requests import build_requests
from synth_assets.generation.server.engine import ServerModel, open_server
from synth_assets.generation.shards import ShardFolder
from synth_assets.generation.waves import as_candidates
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec
from synth_assets_tests.generation.fake_server import MODEL, start_fake

PROMPT_CHARACTERS = 400
CONCURRENCY = 256
SCHEMA = '{"type":"object","properties":{"row":{"type":"string"},"text":{"type":"string"}},"required":["row","text"]}'


def make_prompt(number: int) -> str:
    filler = "An example that stands for many more of its kind. " * 8
    return (f"Row {number}. " + filler)[:PROMPT_CHARACTERS]


def make_calls(count: int) -> Iterator[Call]:
    return (Call(make_prompt(number), number, 64, SCHEMA) for number in range(count))


def make_spec(url: str) -> DatasetSpec:
    """Return a spec whose record is what the server answers: row and text."""
    server = {"urls": [url], "max_concurrency": CONCURRENCY}
    generation = {"engine": "server", "model": MODEL, "prompt": "completion", "server": server, "max_tokens": 64}
    fields = [
        {"name": "row", "type": "text", "max_length": 100},
        {"name": "text", "type": "text", "max_length": 100},
        {"name": "intent", "type": "category", "role": "target"},
    ]
    return text_spec(
        description="An example that stands for many more of its kind.", fields=fields, generation=generation
    )


def open_model(url: str) -> ServerModel:
    return open_server(make_spec(url))


def run_ours(model: ServerModel, count: int) -> None:
    received = 0

    def receive(*_: object) -> None:
        nonlocal received
        received += 1

    model.answer(make_calls(count), receive, sampling=Sampling(1.0, 50, 0.0), allowance=Allowance())
    assert received == count


def run_whole(url: str, model: ServerModel, count: int) -> None:
    """Take requests to candidate rows, shard by shard, as a run does; candidates are dropped shard by shard."""
    spec = make_spec(url)
    seeds = seed_rows(
        spec,
        [{"row": f"{i:08x}", "text": f"example {i} of its kind, {i % 7}", "intent": f"i{i % 10}"} for i in range(400)],
    )
    plan = plan_round(spec, "r000", seeds, Pins("", "", ""), accepted_before={})
    allowance = Allowance()
    engine = RecordEngine(spec, model, seeds, allowance)
    each = {f"i{number}": count // 10 for number in range(10)}
    requests = build_requests(spec, "r000", seeds, each, {})
    with tempfile.TemporaryDirectory() as folder:
        shards = ShardFolder(Path(folder), "bench")
        for part in requests.iter_slices(4096):
            completions = shards.complete(engine, part, wave=0, size=4096, allowance=allowance)
            rows = as_candidates(spec, plan, part, completions, engine.info)
            assert rows.filter(pl.col("finish_reason") == "stop").height == part.height


async def ask_bare(url: str, count: int) -> None:
    """The shortest loop that gets the same answers: no retries, no limits, no second server."""
    calls = make_calls(count)
    constants = {"model": MODEL, "temperature": 1.0, "top_k": 50, "response_format": {"type": "text"}}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def work() -> None:
            for call in calls:
                body = {**constants, "prompt": call.prompt, "seed": call.seed, "max_tokens": call.max_tokens}
                async with session.post(f"{url}/completions", json=body) as response:
                    assert (await response.json())["choices"][0]["text"]

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


def measure(run: Callable[[], object], count: int) -> tuple[float, float]:
    """Return calls a second, and calls a second of processor time."""
    began, processor = time.perf_counter(), time.process_time()
    run()
    return count / (time.perf_counter() - began), count / (time.process_time() - processor)


def measure_memory(url: str, count: int) -> int:
    """Return the peak of this process's resident memory in MB after so many calls."""
    run_whole(url, open_model(url), count)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", nargs=2, metavar=("URL", "CALLS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(measure_memory(options.memory_of[0], int(options.memory_of[1])))
        return
    with start_fake() as fake:
        model = open_model(fake.url)
        runs: dict[str, Callable[[], object]] = {
            "whole engine": lambda: run_whole(fake.url, model, options.calls),
            "ServerModel.answer": lambda: run_ours(model, options.calls),
            "bare aiohttp, uvloop": lambda: uvloop.run(ask_bare(fake.url, options.calls)),
            "bare aiohttp, asyncio": lambda: asyncio.run(ask_bare(fake.url, options.calls)),
        }
        run_ours(model, 1000)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, run in runs.items():
                found[name].append(measure(run, options.calls))
        print(f"{'calls a second':<24} {'best':>8} {'median':>8} {'a CPU':>8}")
        for name, results in found.items():
            rates = [rate for rate, _ in results]
            processor = max(rate for _, rate in results)
            print(f"{name:<24} {max(rates):>8,.0f} {statistics.median(rates):>8,.0f} {processor:>8,.0f}")
        whole, ours, *bare = (statistics.median(rate for rate, _ in results) for results in found.values())
        print(f"answer over bare aiohttp: {ours / bare[0]:.2f} (uvloop), {ours / bare[1]:.2f} (asyncio)")
        print(f"whole engine over bare aiohttp: {whole / bare[0]:.2f} (uvloop), {whole / bare[1]:.2f} (asyncio)")
        for count in (1_000, 100_000):
            command = [sys.executable, "-m", __spec__.name, "--memory-of", fake.url, str(count)]
            peak = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"peak memory at {count:>7,} calls: {peak:,} MB")


if __name__ == "__main__":
    main()
