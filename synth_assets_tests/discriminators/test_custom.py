"""Discriminators of other packages come by entry point, really installed here; what cannot be used is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from synth_assets.discriminators.cascade import Cascade, Known, run_cascade
from synth_assets.discriminators.custom import build_custom
from synth_assets.errors import SpecError
from synth_assets_tests.builders import seed_rows, text_spec

MODULE = '''
from dataclasses import dataclass

import polars as pl

from synth_assets.discriminators.protocol import verdicts_of


@dataclass(frozen=True)
class Politeness:
    """Rejects messages without a word of courtesy."""

    courtesies: tuple
    name: str = "politeness"
    version: str = "1"

    @classmethod
    def fit(cls, spec, train):
        return cls(("please", "thank"))

    def judge(self, candidates):
        is_polite = pl.col("text").str.to_lowercase().str.contains("|".join(self.courtesies))
        return verdicts_of(
            candidates, passed=is_polite, score=is_polite.cast(pl.Float64), threshold=1.0,
            reason=pl.lit("impolite"), evidence=pl.lit(""),
        )


class Careless(Politeness):
    def judge(self, candidates):
        return super().judge(candidates).head(1)


def broken(spec, train):
    raise KeyError("no settings")


def nothing(spec, train):
    return object()
'''
POINTS = """[synth_assets.discriminators]
politeness = manners:Politeness.fit
careless = manners:Careless.fit
broken = manners:broken
nothing = manners:nothing
absent = manners:not_there
"""


@pytest.fixture
def manners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a small package: its module and the metadata that pip would write."""
    (tmp_path / "manners.py").write_text(MODULE)
    info = tmp_path / "manners-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: manners\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("manners", None)


def rows(*texts: str) -> pl.DataFrame:
    frame = pl.DataFrame({"example_id": [f"c{i}" for i in range(len(texts))], "text": texts, "intent": "pay"})
    return frame.with_columns(finish_reason=pl.lit("stop"), stratum=pl.lit("pay"), content_id=pl.col("example_id"))


@pytest.mark.usefixtures("manners")
def test_an_installed_discriminator_judges_in_the_cascade(tmp_path: Path) -> None:
    spec = text_spec(quality={"discriminators": ["politeness"]})
    seeds = seed_rows(spec, [{"text": f"please block my card {i}", "intent": "pay"} for i in range(3)])
    candidates = rows("Please unblock the account of my firm", "Unblock the account of my firm, now and here")
    filtering = Cascade.build(spec, Known(seeds, tmp_path)).judge(candidates, candidates.clear())
    assert filtering.survivors["example_id"].to_list() == ["c0"]
    verdict = filtering.verdicts.filter(discriminator="politeness", passed=False).row(0, named=True)
    assert (verdict["example_id"], verdict["version"], verdict["reason"]) == ("c1", "1", "impolite")


@pytest.mark.usefixtures("manners")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unknown", "no installed package brings 'unknown'.*there are: absent, broken, careless, nothing, politeness"),
        ("broken", "'broken' could not be built: KeyError"),
        ("absent", "'absent' could not be built: AttributeError"),
        ("nothing", "what 'nothing' built is no discriminator: name, version, judge is missing"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, told: str) -> None:
    spec = text_spec(quality={"discriminators": [name]})
    with pytest.raises(SpecError, match=told):
        build_custom(spec, seed_rows(spec, [{"text": "a", "intent": "pay"}]))


@pytest.mark.usefixtures("manners")
def test_a_discriminator_that_loses_a_candidate_is_stopped() -> None:
    spec = text_spec(quality={"discriminators": ["careless"]})
    made = build_custom(spec, seed_rows(spec, [{"text": "a", "intent": "pay"}]))
    with pytest.raises(SpecError, match=r"discriminator politeness: judge\(\) must return one row a candidate"):
        run_cascade(rows("please", "thanks"), made)
