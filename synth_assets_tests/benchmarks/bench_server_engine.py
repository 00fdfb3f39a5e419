"""Benchmark: calls/s of the server engine on a server that answers at once, beside bare aiohttp, and peak memory.

    python -m synth_assets_tests.benchmarks.bench_server_engine [--calls 10000] [--repeats 3]

Prompts of 400 characters, answers of about 70 in JSON, a schema on every call; the server is a process of its own, and
the loops take turns, so that other work on the machine hits all alike. "a CPU" divides by the processor time of the
client alone: what it could do on a core that it has to itself. Memory is measured in a process for each count.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import aiohttp
import uvloop

from synth_assets.generation.allowance import Allowance
from synth_assets.generation.language_model import Call, Sampling
from synth_assets.generation.server_engine import ServerModel, open_server
from synth_assets_tests.builders import text_spec
from synth_assets_tests.generation.fake_server import MODEL, start_fake

PROMPT_CHARACTERS = 400
CONCURRENCY = 256
SCHEMA = '{"type":"object","properties":{"row":{"type":"string"},"text":{"type":"string"}},"required":["row","text"]}'


def make_prompt(number: int) -> str:
    filler = "An example that stands for many more of its kind. " * 8
    return (f"Row {number}. " + filler)[:PROMPT_CHARACTERS]


def make_calls(count: int) -> Iterator[Call]:
    return (Call(make_prompt(number), number, 64, SCHEMA) for number in range(count))


def open_model(url: str) -> ServerModel:
    server = {"urls": [url], "max_concurrency": CONCURRENCY}
    return open_server(
        text_spec(generation={"engine": "server", "model": MODEL, "prompt": "completion", "server": server})
    )


def run_ours(model: ServerModel, count: int) -> None:
    received = 0

    def receive(*_: object) -> None:
        nonlocal received
        received += 1

    model.answer(make_calls(count), receive, sampling=Sampling(1.0, 50, 0.0), allowance=Allowance())
    assert received == count


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
    run_ours(open_model(url), count)
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
        ours, *others = (max(rate for rate, _ in results) for results in found.values())
        print(f"ratio to bare aiohttp: {ours / others[0]:.2f} (uvloop), {ours / others[1]:.2f} (asyncio)")
        for count in (1_000, 100_000):
            command = [sys.executable, "-m", __spec__.name, "--memory-of", fake.url, str(count)]
            peak = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            print(f"peak memory at {count:>7,} calls: {peak:,} MB")


if __name__ == "__main__":
    main()
