"""Near-duplicate search by other libraries, for bench_similarity.py, in whatever environment has them.

    python near_duplicate_peers.py TOOL THRESHOLD TEXTS.jsonl FOUND.json

Writes {"pairs": [[left, right], …], "seconds": …, "cpu_seconds": …, "peak_mb": …}; the last two not for datatrove,
whose workers are processes of their own.

    datasketch        MinHash.generator (128 permutations, the fastest way to make them) and MinHashLSH with the bands
                      it chooses for the threshold; found pairs verified by exact Jaccard of character 5-grams
    datasketch-16x5   the same with the bands of synth_assets.similarity
    datatrove         its four stages on 2 workers with its defaults: 14 buckets of 8 hashes, 5-grams of words (it has
                      none of characters); clusters, unverified: a pair is every text with the first of its cluster
"""

from __future__ import annotations

import json
import re
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

Pairs = list[tuple[int, int]]

WORKERS = 2


def shingles(text: str) -> set[str]:
    return {text[i : i + 5] for i in range(max(1, len(text) - 4))}


def search_datasketch(texts: list[str], threshold: float, params: tuple[int, int] | None = None) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=128, params=params)
    signatures = MinHash.generator(([shingle.encode() for shingle in shingles(text)] for text in texts), num_perm=128)
    pairs = []
    for row, signature in enumerate(signatures):
        mine = None
        for found in index.query(signature):
            mine = shingles(texts[row]) if mine is None else mine
            other = shingles(texts[found])
            if len(mine & other) >= threshold * len(mine | other):
                pairs.append((found, row))
        index.insert(row, signature, check_duplication=False)
    return pairs


def search_datatrove(texts: list[str], threshold: float) -> Pairs:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "texts").mkdir()
        share = -(-len(texts) // WORKERS)
        for worker in range(WORKERS):
            lines = (json.dumps({"text": text}) for text in texts[worker * share : (worker + 1) * share])
            (folder / "texts" / f"{worker}.jsonl").write_text("\n".join(lines))
        reader, signatures, buckets, removed = (str(folder / part) for part in ("texts", "sigs", "buckets", "removed"))
        stages = [
            ([JsonlReader(reader), MinhashDedupSignature(signatures, config)], WORKERS),
            ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
            ([MinhashDedupCluster(buckets, removed, config=config, save_cluster_id=True)], 1),
            ([JsonlReader(reader), MinhashDedupFilter(removed), JsonlWriter(str(folder / "kept"))], WORKERS),
        ]
        for place, (pipeline, tasks) in enumerate(stages):
            logs = str(folder / "logs" / str(place))
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(tasks, WORKERS), logging_dir=logs).run()
        clusters: dict[int, list[int]] = {}
        for file in sorted(Path(removed).glob("*.clusters")):
            for text, cluster in struct.iter_unpack("<2I", file.read_bytes()):
                clusters.setdefault(cluster, []).append(int(file.stem) * share + text)
    return [(members[0], member) for members in map(sorted, clusters.values()) for member in members[1:]]


TOOLS: dict[str, Callable[[list[str], float], Pairs]] = {
    "datasketch": search_datasketch,
    "datasketch-16x5": lambda texts, threshold: search_datasketch(texts, threshold, (16, 5)),
    "datatrove": search_datatrove,
}


def main() -> None:
    tool, threshold, source, target = sys.argv[1:]
    with Path(source).open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    search = TOOLS[tool]
    if tool != "datatrove":  # whose workers import everything anew in any case
        search(texts[:200], float(threshold))  # imports and first-use costs are not the search
    start, cpu = time.perf_counter(), time.process_time()
    pairs = search(texts, float(threshold))
    found = {"pairs": pairs, "seconds": time.perf_counter() - start}
    if tool != "datatrove":
        found |= {"cpu_seconds": time.process_time() - cpu, "peak_mb": peak_megabytes()}
    Path(target).write_text(json.dumps(found))


def peak_megabytes() -> float:
    """Return the most memory this process has had; on Linux without what its parent had (getrusage counts that)."""
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
