from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from synth_assets.cli.app import app
from synth_assets.errors import SeedError, SpecError
from synth_assets.monitoring.diversity import tokenize
from synth_assets.monitoring.experiment_plots import plot_experiment, plot_sweep
from synth_assets.monitoring.experiments.collapse import (
    compare_policies,
    explain_claim,
    run_collapse,
    summarize_runs,
)
from synth_assets.monitoring.experiments.intervals import find_mean_interval
from synth_assets.monitoring.experiments.material import Material, read_material
from synth_assets.monitoring.experiments.mix import Sweep, explain_sweep, run_mix, summarize_sweep
from synth_assets.monitoring.experiments.policies import Policy, count_written, list_policies
from synth_assets.monitoring.experiments.sampler import TrigramSampler
from synth_assets.monitoring.language import fit_trigrams
from synth_assets.project import Project
from synth_assets.spec import MixSpec
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, make_customers, make_messages
from synth_assets_tests.projects import make_project

MIX = MixSpec()


def split(frame: pl.DataFrame, sealed: int = 0) -> pl.DataFrame:
    """Return the frame as seeds: a fifth steering, the last `sealed` rows sealed."""
    place = pl.int_range(pl.len())
    name = pl.when(place >= pl.len() - sealed).then(pl.lit("sealed")).when(place % 5 == 0).then(pl.lit("steering"))
    ids = pl.col("example_id").alias("content_id")
    return frame.with_columns(ids, split=name.otherwise(pl.lit("train")), disposition=pl.lit("releasable"))


# ---- the sampler


def text_shares(texts: list[str], temperature: float, count: int = 40_000) -> dict[str, float]:
    sampler = TrigramSampler.fit(tokenize(pl.Series(texts)), temperature)
    made = sampler.write(count, np.random.default_rng(1))
    told = pl.DataFrame({"doc": made.docs, "word": made.vocabulary.gather(made.ids)})
    joined = told.group_by("doc").agg(pl.col("word").str.join(" "))
    return {text: n / count for text, n in joined["word"].value_counts().iter_rows()}


@pytest.mark.parametrize("temperature", [0.5, 0.8, 1.0, 2.0])
def test_a_word_is_drawn_by_its_tempered_probability(temperature: float):
    # the first word is a in three of four texts; after (a, b) the trigram says c 1/3, d 2/3, the bigram after b
    # c 1/4, d 1/2, end 1/4
    shares = text_shares(["a b c", "a b d", "a b d", "b"], temperature)
    power = 1 / temperature
    first = np.array([0.75, 0.25]) ** power
    after = np.array([2 / 3 / 3 + 1 / 4 / 3, 2 / 3 * 2 / 3 + 1 / 2 / 3, 1 / 4 / 3]) ** power
    own = first / first.sum(), after / after.sum()
    assert sum(n for text, n in shares.items() if text.startswith("a")) == pytest.approx(own[0][0], abs=0.01)
    for text, chance in zip(("a b c", "a b d", "a b"), own[1], strict=True):
        assert shares[text] == pytest.approx(own[0][0] * chance, abs=0.01)


def test_no_text_is_longer_than_the_longest():
    tokens = tokenize(pl.Series(["a a a a", "a a"]))
    assert TrigramSampler.fit(tokens).write(500, np.random.default_rng(0)).lengths.max() <= 4


# ---- policies


@dataclass(frozen=True)
class Numbers:
    """Material that is a Gaussian: a generation is drawn from the mean and variance of the corpus before."""

    real: np.ndarray
    measures: dict[str, str]
    variety: str = "variance"

    def count(self, rows: np.ndarray) -> int:
        return len(rows)

    def take(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        return rows[places]

    def join(self, parts: Any) -> np.ndarray:
        return np.concatenate(list(parts))

    def write(
        self, corpus: np.ndarray, count: int, temperature: float, rng: np.random.Generator, kept: np.ndarray | None
    ) -> np.ndarray:
        return rng.normal(corpus.mean(), corpus.std(ddof=1), count)

    def measure(self, written: np.ndarray, corpus: np.ndarray, size: int, rng: np.random.Generator) -> dict[str, float]:
        return {"variance": float(corpus.var(ddof=1))}


def test_the_gaussian_keeps_the_known_order_of_policies():
    # refits of a normal distribution on ten values: replace dies out, a fixed share stays low, fresh rows and
    # accumulation keep the variance
    material = Numbers(np.random.default_rng(0).normal(0, 1, 10), {"variance": ""})
    policies = [policy for policy in list_policies(MIX) if policy.kind != "platform"]
    runs = run_collapse(material, MESSAGES, policies, generations=60, seeds=60, temperatures=[1.0], size=10)
    last = runs.filter(pl.col("generation") == 60).group_by("policy").agg(pl.col("change").median())
    left = {name: 1 + change for name, change in last.iter_rows()}
    assert left["replace"] < 0.05 < left["real_20"] < left["real_40"] < left["accumulate"]
    assert left["real_30"] < left["real_30_fresh"]
    assert left["accumulate"] > 0.6


def test_policies_keep_what_they_say():
    counts: dict[str, list[int]] = {}

    class Watched(Numbers):
        def measure(
            self, written: np.ndarray, corpus: np.ndarray, size: int, rng: np.random.Generator
        ) -> dict[str, float]:
            return {"real": float(np.isin(corpus, self.real).sum()), "rows": float(len(corpus))}

    material = Watched(np.random.default_rng(0).normal(0, 1, 1000), {})
    runs = run_collapse(material, MESSAGES, list_policies(MIX), generations=3, seeds=1, temperatures=[1.0], size=500)
    last = runs.filter(pl.col("generation") == 3).sort("policy", "measure")
    for name, _, value in last.select("policy", "measure", "value").iter_rows():
        counts.setdefault(name, []).append(int(value))
    assert counts["replace"] == [0, 500]
    assert counts["real_20"] == [100, 500]
    assert counts["accumulate"] == [1000, 2500]
    assert counts["subsample"][1] == 500
    # three generations of what a mix of 1,000 real rows at 70 % synthetic can hold, but no more than were written
    assert counts["platform"] == counts["accumulate_share"] == [643, 2143]


def test_the_platform_adds_its_part_of_what_the_mix_can_hold():
    platform = list_policies(MIX)[-1]
    assert platform.filtered
    assert count_written(platform, MIX, 3000, 6000, 7) == 1000
    assert count_written(platform, MIX, 3000, 500, 7) == 500


# ---- the experiment on texts and tables


def read_messages() -> Material[Any]:
    return read_material(MESSAGES, split(make_messages(600, 1)), Path())


COMPARED = [policy for policy in list_policies(MIX) if policy.name in ("replace", "real_30", "accumulate", "platform")]


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    return run_collapse(read_messages(), MESSAGES, COMPARED, generations=3, seeds=3, temperatures=[1.0, 0.5], size=400)


def test_replace_collapses_and_accumulation_does_not(runs: pl.DataFrame):
    falls = summarize_runs(runs).filter(pl.col("measure") == "written_distinct_2", pl.col("generation") == 3)
    told = {(policy, temperature): high for policy, temperature, high in
            falls.select("policy", "temperature", "change_high").iter_rows()}  # fmt: skip
    assert told["replace", 0.5] < told["accumulate", 0.5] < 0
    assert told["replace", 0.5] < told["replace", 1.0]
    against = compare_policies(runs, "accumulate", "replace").filter(
        pl.col("measure") == "perplexity", pl.col("generation") == 3, pl.col("temperature") == 0.5
    )
    assert against["high"].item() < 0


def test_runs_are_the_same_again(runs: pl.DataFrame):
    again = run_collapse(read_messages(), MESSAGES, COMPARED[:1], generations=2, seeds=1, temperatures=[1.0], size=400)
    first = runs.join(again, on=["policy", "temperature", "seed", "generation", "measure"], how="semi")
    assert first["value"].to_list() == again["value"].to_list()


def test_the_perplexity_is_that_of_a_model_of_the_corpus():
    seeds = split(make_messages(600, 1))
    material = read_material(MESSAGES, seeds, Path())
    found = material.measure(material.real, material.real, 480, np.random.default_rng(0))
    texts = pl.concat([seeds.filter(pl.col("split") == name)["text"] for name in ("train", "steering")])
    tokens = tokenize(texts)
    train = tokens.take(np.arange(480))
    expected = fit_trigrams(train, train).measure_perplexity(tokens.take(np.arange(480, 600)))
    assert found["perplexity"] == pytest.approx(expected)


def test_discriminators_let_no_copy_of_a_real_text_through():
    material = read_messages()
    nothing = material.take(material.real, np.arange(0))
    made = material.write(material.real, 100, 1.0, np.random.default_rng(0), nothing)
    assert 0 < material.count(made) <= 100
    again = material.write(material.real, 100, 1.0, np.random.default_rng(0), made)
    texts = [set(read_texts(rows)) for rows in (made, again, material.real)]
    assert texts[0].isdisjoint(texts[1]) and texts[0].isdisjoint(texts[2])


def read_texts(rows: Any) -> list[str]:
    told = pl.DataFrame({"doc": rows.docs, "piece": rows.vocabulary.gather(rows.ids)})
    return told.group_by("doc").agg(pl.col("piece").str.join(""))["piece"].str.strip_chars().to_list()


def test_sealed_rows_have_no_part():
    rows = make_messages(300, 1)
    poison = rows.with_row_index().with_columns(
        text=pl.when(pl.col("index") >= 250).then(pl.lit("sealedword") + pl.col("text")).otherwise("text")
    )
    material = read_material(MESSAGES, split(poison.drop("index"), sealed=50), Path())
    assert not material.real.vocabulary.str.contains("sealedword").any()


def test_a_table_goes_through_the_tabular_engine():
    seeds = split(make_customers(400, 1))
    material = read_material(CUSTOMERS, seeds, Path())
    chosen = [policy for policy in list_policies(MIX) if policy.name in ("replace", "accumulate", "platform")]
    summary = summarize_runs(
        run_collapse(material, CUSTOMERS, chosen, generations=3, seeds=2, temperatures=[1.0, 0.6], size=300)
    )
    spread = summary.filter(pl.col("measure") == "written_spread", pl.col("generation") == 3)
    told = {(row["policy"], row["temperature"]): row["value"] for row in spread.to_dicts()}
    assert told["replace", 0.6] < told["accumulate", 0.6] < 1
    assert told["replace", 0.6] < 0.8 * told["replace", 1.0]


def test_too_few_rows_are_told():
    with pytest.raises(SeedError, match="needs 50"):
        read_material(MESSAGES, split(make_messages(30, 1)), Path())
    with pytest.raises(SeedError, match="needs 50"):
        read_material(CUSTOMERS, split(make_customers(30, 1)), Path())


# ---- what is told


def make_runs(changes: dict[str, list[float]]) -> pl.DataFrame:
    rows = [
        {"policy": policy, "temperature": 1.0, "seed": seed, "generation": generation, "measure": "variety",
         "value": 1 + change + 0.01 * seed, "change": change + 0.01 * seed, "written_rows": 1, "corpus_rows": 1}
        for policy, told in changes.items()
        for generation, change in enumerate(told)
        for seed in range(3)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def test_a_mean_has_the_t_interval_of_its_runs():
    mean, low, high = find_mean_interval([1.0, 2.0, 3.0])
    assert (mean, (high - low) / 2) == pytest.approx((2, 4.302652729749462 / np.sqrt(3)))
    assert np.isnan(find_mean_interval([1.0])[1])


def test_the_sentence_names_what_reaches_the_claim_first():
    policies = [Policy("bad", "mix", "bad one"), Policy("good", "mix", "good one")]
    runs = make_runs({"bad": [0, -0.5, -0.8, -0.9], "good": [0, -0.1, -0.2, -0.3]})
    told = explain_claim(summarize_runs(runs), policies, "variety", "variety")
    assert "'bad one' at temperature 1 in generation 2 (-79%" in told
    assert "of all others the deepest is 'good one' at temperature 1 in generation 3 (-29%" in told
    mild = explain_claim(summarize_runs(make_runs({"good": [0, -0.1]})), policies, "variety", "variety")
    assert "is reached by no run here" in mild


def test_policies_are_compared_seed_by_seed():
    runs = make_runs({"bad": [0, -0.5], "good": [0, -0.1]})
    row = compare_policies(runs, "good", "bad").filter(pl.col("generation") == 1).row(0, named=True)
    # seeds move both alike, so that the difference has no spread
    assert (row["difference"], row["low"], row["high"]) == pytest.approx((0.4, 0.4, 0.4))


def test_pictures_are_small_pngs(runs: pl.DataFrame):
    measures = [("perplexity", "perplexity of real text"), ("written_distinct_2", "distinct-2 written")]
    picture = plot_experiment(summarize_runs(runs), COMPARED, measures, claimed="written_distinct_2")
    assert picture.png.startswith(b"\x89PNG") and len(picture.png) < 150_000


# ---- the mix


def sweep_messages(synthetic: pl.DataFrame, **options: Any) -> Sweep:
    seeds = split(make_messages(300, 1, words=6), sealed=20)
    train, steering = (seeds.filter(pl.col("split") == name) for name in ("train", "steering"))
    return run_mix(train, synthetic, steering, MESSAGES, **options)


def test_noise_costs_more_the_more_of_it_there_is():
    noise = make_messages(400, 2, words=6, prefix="n").with_columns(
        topic=pl.col("topic").shuffle(seed=3), stratum=pl.col("topic").shuffle(seed=3)
    )
    sweep = sweep_messages(noise, shares=[0.0, 0.5, 1.0], total=200)
    summary = summarize_sweep(sweep)
    assert summary["real"].to_list() == [200, 100, 0]
    assert summary["score"].is_sorted(descending=True)
    assert summary["gain_high"][2] < 0 == summary["gain"][0]
    told = explain_sweep(summary, sweep, 1.0)
    assert "a synthetic share of 100%" in told and "which is more than chance" in told
    assert plot_sweep(summary, sweep, 0.7).png.startswith(b"\x89PNG")


def test_rows_of_the_same_source_cost_nothing():
    summary = summarize_sweep(sweep_messages(make_messages(400, 2, words=6, prefix="n"), shares=[0.0, 0.7], seeds=6))
    assert summary["gain_low"][1] <= 0.02 and summary["gain_high"][1] >= -0.02


def test_chance_is_not_taken_for_certain():
    claims = 0
    for seed in range(12):
        pool = split(make_messages(260, 10 * seed, words=4), sealed=10)
        train, steering = (pool.filter(pl.col("split") == name) for name in ("train", "steering"))
        sweep = run_mix(
            train, make_messages(150, 10 * seed + 1, words=4, prefix="n"), steering, MESSAGES, shares=[0.0, 1.0]
        )
        claims += "more than chance" in explain_sweep(summarize_sweep(sweep), sweep, 1.0)
    assert claims <= 2


def test_a_larger_share_holds_the_rows_of_a_smaller_one_by_stratum():
    from synth_assets.monitoring.experiments.mix import _draw

    rows = make_messages(300, 1)
    few, many = (_draw(rows, count, MESSAGES, 0, "synthetic") for count in (60, 150))
    assert set(few["example_id"]) < set(many["example_id"])
    shares = rows["stratum"].value_counts(normalize=True).sort("stratum")["proportion"]
    drawn = few["stratum"].value_counts(normalize=True).sort("stratum")["proportion"]
    assert (shares - drawn).abs().max() < 0.02  # type: ignore[operator]


def test_a_sweep_looks_at_no_sealed_row_and_needs_something_to_learn():
    rows = split(make_messages(300, 1), sealed=100)
    with pytest.raises(SpecError, match="steering rows alone"):
        run_mix(rows, rows, rows.filter(pl.col("split") != "train"), MESSAGES)
    with pytest.raises(SeedError, match="needs 20"):
        sweep_messages(make_messages(10, 2))


# ---- the commands


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"))


def run_command(project: Project, *arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"SYNTH_PROJECT": str(project.root), "COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_the_collapse_command_tells_and_writes_its_table(project: Project, tmp_path: Path):
    told = run_command(
        project, "collapse", "mini", "--generations", "2", "--seeds", "2", "--temperature", "0.8", "--rows", "100",
        "--out", str(tmp_path),
    )  # fmt: skip
    assert "replace: newest generation only" in told
    assert "A fall of distinct-2 written by 68%" in told
    runs, summary = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("runs", "summary"))
    assert runs["policy"].n_unique() == len(list_policies(MIX))
    assert summary.filter(pl.col("policy") == "platform")["generation"].max() == 2
    assert pl.read_csv(tmp_path / "summary.csv").height == summary.height
    assert (tmp_path / "collapse.png").read_bytes().startswith(b"\x89PNG")


def test_the_mix_command_makes_rows_where_no_round_is_accepted(project: Project):
    told = run_command(project, "mix", "mini", "--share", "0.7", "--share", "1", "--seeds", "2")
    assert "no round is accepted yet" in told
    assert "sealed rows were not looked at" in told
    folder = project.reports / "mini" / "mix"
    summary = pl.read_parquet(folder / "summary.parquet")
    assert summary["share"].to_list() == [0, 0.7, 1]
    assert (summary["real"] + summary["synthetic"]).n_unique() == 1
    assert (folder / "mix.png").exists()


def test_bad_settings_are_told(project: Project):
    for arguments, why in (
        (("mix", "mini", "--share", "70"), "between 0 and 1"),
        (("collapse", "mini", "--temperature", "0"), "above 0"),
    ):
        done = CliRunner().invoke(app, arguments, env={"SYNTH_PROJECT": str(project.root)})
        assert isinstance(done.exception, SpecError) and why in str(done.exception)
