"""Shards: a wave's requests in fixed slices, each finished slice on disk before the next is reported.

Here: restartable completion of a request frame. Not here: which requests there are (waves.py), any engine.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from synth_assets.errors import EngineError, StoreError
from synth_assets.generation.requests import Engine
from synth_assets.records import digest_text
from synth_assets.store import write_parquet


@dataclass(frozen=True)
class ShardFolder:
    """Where the finished shards of one round lie until its candidates are committed.

    The folder's name holds the fingerprint of plan and generator, so shards of other inputs are never taken over.
    """

    root: Path
    fingerprint: str

    @property
    def path(self) -> Path:
        return self.root / self.fingerprint

    def complete(
        self,
        engine: Engine,
        requests: pl.DataFrame,
        *,
        wave: int,
        size: int,
        report: Callable[[int], None] = lambda _: None,
    ) -> pl.DataFrame:
        """Return the completions of all requests, in request order; shards found on disk are not made again.

        `report` is called with the number of completed requests after each shard. EngineError if the engine leaves
        a request out or answers one twice; StoreError if a shard cannot be written.
        """
        parts: list[pl.DataFrame] = []
        done = 0
        for number, shard in enumerate(requests.iter_slices(size)):
            file = self.path / f"wave{wave:03d}-shard{number:06d}-{_digest(shard)}.parquet"
            if not file.exists():
                self._write(file, _complete_shard(engine, shard))
            parts.append(pl.read_parquet(file))
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
            temporary.unlink(missing_ok=True)


def _digest(shard: pl.DataFrame) -> str:
    return digest_text(*shard["request_id"].to_list(), *shard["attempt"].to_list(), size=8)


def _complete_shard(engine: Engine, shard: pl.DataFrame) -> pl.DataFrame:
    completions = pl.concat(list(engine.generate(shard)))
    if completions["request_id"].to_list() != shard["request_id"].to_list():
        raise EngineError(
            f"{engine.info.generator_id}: asked for {shard.height:,} completions in order, got {completions.height:,} "
            "that do not match; nothing of this shard was kept"
        )
    return completions
