"""Shards: a wave's requests in fixed slices, each finished slice on disk before the next is reported.

Here: restartable completion of a request frame. Not here: which requests there are (waves.py), any engine.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import polars as pl

from synth_assets.errors import EngineError, StoreError
from synth_assets.generation.allowance import Allowance, ignore
from synth_assets.generation.requests import Engine, MeteredEngine
from synth_assets.records import digest_text
from synth_assets.store import write_parquet


@dataclass(frozen=True)
class ShardFolder:
    """Where the finished shards of one round lie until its candidates are committed.

    The folder's name holds the fingerprint of plan, generator and code, and a file's name the shard's members, so that
    shards of other inputs are never taken over.
    """

    root: Path
    fingerprint: str

    @property
    def path(self) -> Path:
        return self.root / digest_text(self.fingerprint, digest_code(), size=12)

    def complete(
        self,
        engine: Engine,
        requests: pl.DataFrame,
        *,
        wave: int,
        size: int,
        allowance: Allowance,
        report: Callable[[int], None] = lambda _: None,
    ) -> pl.DataFrame:
        """Return the completions of the requests, in request order; shards found on disk are not made again.

        Where the allowance ends, what was completed until then is returned; the shard that it cut short is not kept on
        disk, so that a later run with a larger budget makes it whole. `report` is called with the number of completed
        requests of the wave, after each shard and after each answer that a metered engine books. EngineError
        if the engine leaves a request out or answers one twice; StoreError if a shard cannot be written.
        """
        parts: list[pl.DataFrame] = []
        done = 0
        for number, shard in enumerate(requests.iter_slices(size)):
            if parts and allowance.ended:
                break
            file = self.path / f"wave{wave:03d}-shard{number:06d}-{_digest(shard)}.parquet"
            if file.exists():
                parts.append(pl.read_parquet(file))
                allowance.book(int(parts[-1]["output_tokens"].sum()))
            else:
                completions = _complete_shard(engine, shard, allowance, partial(_report_from, report, done))
                parts.append(completions)
                if isinstance(engine, MeteredEngine) and allowance.ended:  # repairs may be missing, or whole requests
                    report(done + completions["request_id"].n_unique())
                    break
                self._write(file, completions)
            done += shard.height
            report(done)
        return pl.concat(parts)

    def remove(self) -> None:
        """Delete every shard of the round, of this fingerprint and of abandoned ones."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _write(self, file: Path, completions: pl.DataFrame) -> None:
        temporary = file.with_name(f".{uuid.uuid4().hex}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_parquet(temporary, completions)
            temporary.replace(file)
        except OSError as error:
            raise StoreError(
                f"{file}: cannot write a finished shard: {error.strerror or error}; free the disk or mend its "
                "permissions and run again, finished shards are kept"
            ) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def digest_code() -> str:
    """Return a digest of the code that makes completions: this folder's modules and the recipes' templates."""
    package = Path(__file__).resolve().parent
    files = sorted([*package.rglob("*.py"), *(package.parent / "recipes").rglob("*.*")])
    return digest_text(
        *(f"{path.relative_to(package.parent)}\n{path.read_text(encoding='utf-8')}" for path in files if path.is_file())
    )


def _digest(shard: pl.DataFrame) -> str:
    return digest_text(*shard["request_id"].to_list(), *shard["attempt"].to_list(), size=8)


def _complete_shard(
    engine: Engine, shard: pl.DataFrame, allowance: Allowance, report: Callable[[int], None]
) -> pl.DataFrame:
    metered = engine if isinstance(engine, MeteredEngine) else None
    if metered is not None:
        allowance.watch = lambda: report(metered.done)
    try:
        completions = pl.concat(list(engine.generate(shard)))
    finally:
        allowance.watch = ignore
    if metered is None:
        allowance.book(int(completions["output_tokens"].sum()))
    answered = list(dict.fromkeys(completions["request_id"].to_list()))
    wanted = shard["request_id"].to_list()
    if metered is not None and allowance.ended:
        wanted = [name for name in wanted if name in set(answered)]
    if answered != wanted or completions.select("request_id", "attempt").is_duplicated().any():
        raise EngineError(
            f"{engine.info.generator_id}: asked for {shard.height:,} completions in order, got {len(answered):,} "
            "that do not match; nothing of this shard was kept"
        )
    return completions


def _report_from(report: Callable[[int], None], earlier: int, done: int) -> None:
    report(earlier + done)
