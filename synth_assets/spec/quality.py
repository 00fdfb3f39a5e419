"""What "good" means: the quality contract, how truth is checked, what a judge is asked.

Here: sections `quality`, `verification` and `judge`. Not here: the discriminators and reports that hold them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth_assets.spec.model import Model

Level = Literal["warn", "block"]


class QualitySpec(Model):
    """The quality contract: what "good" means, frozen and hashed before the first candidate exists."""

    min_chars: int = Field(default=3, ge=0, description="Fewest characters of free text in a candidate.")
    max_repeated_line_share: float = Field(default=0.3, ge=0, le=1, description="Most of the text in repeated lines.")
    max_top_bigram_share: float = Field(
        default=0.2, ge=0, le=1, description="Most of the words taken by the commonest word pair (texts of 10+ words)."
    )
    near_duplicate_jaccard: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Jaccard similarity of character 5-gram sets from which two texts are near-duplicates.",
    )
    leak_ngram: int = Field(default=8, ge=3, le=50, description="Words in a row shared with a seed that make a leak.")
    leak_ngram_private: int = Field(default=5, ge=2, le=50, description="The same for synthesis_only seeds.")
    leak_surprise: float = Field(
        default=28.0,
        ge=0,
        description="Nats from which such a span is no common phrase of its stratum; 0 makes every span a leak.",
    )
    label_false_reject: float = Field(
        default=0.0045,
        gt=0,
        lt=0.5,
        description="Share of real rows that the label model may wrongly reject; sets its threshold.",
    )
    semantic_duplicate_cosine: float = Field(
        default=0.97,
        gt=0,
        le=1,
        description="Cosine of two texts' embeddings from which they say the same; 1 leaves the comparison out.",
    )
    embedding_model: str | None = Field(
        default=None,
        description="Sentence-embedding model (folder or name) for that; left out, TF-IDF reduced by SVD.",
    )
    benchmarks: tuple[str, ...] = Field(
        default=(),
        description="Folders or files (JSONL, CSV, Parquet, text) of test sets that no candidate may overlap.",
    )
    benchmark_ngram: int = Field(
        default=8, ge=4, le=50, description="Words in a row shared with a benchmark that make a contamination."
    )
    language_certainty: float = Field(
        default=0.9,
        ge=0.5,
        le=1,
        description="Certainty that a text is in another language than its field's from which it is rejected.",
    )
    perplexity_false_reject: float = Field(
        default=0.0015,
        ge=0,
        lt=0.5,
        description="Share of real rows that the perplexity limit may wrongly reject; 0 leaves it out.",
    )
    realism_false_reject: float = Field(
        default=0.002,
        ge=0,
        lt=0.5,
        description="Share of real rows that the quality model (real or synthetic, accepted or rejected) may reject.",
    )
    discriminators: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        default=(), description="Discriminators of your own, by their entry points in synth_assets.discriminators."
    )
    false_alarm_rate: float = Field(
        default=0.05,
        ge=0.01,
        le=0.5,
        description="Share of shift reports on rows that did not shift in which any number may be watched or act.",
    )
    effect_watch: float = Field(
        default=0.1,
        gt=0,
        description="Effect size (Cramér's V, KS, Jensen-Shannon, Wasserstein in standard deviations) that is watched.",
    )
    effect_act: float = Field(default=0.2, gt=0, description="The same from which a field has shifted.")
    mix_act: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Share of rows in another stratum than planned from which the mix has shifted; watched from half.",
    )
    psi_watch: float = Field(default=0.1, gt=0, description="Population stability index from which a field is watched.")
    psi_act: float = Field(default=0.25, gt=0, description="Population stability index from which a field has shifted.")
    c2st_margin: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        description="How far classifier two-sample accuracy may exceed its real-vs-real null.",
    )
    distinct_2_drop: float = Field(
        default=0.4,
        gt=0,
        le=1,
        description="Relative fall of corpus distinct-2 against the real anchor that means collapse.",
    )
    tail_coverage: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Least share of the anchor's rare n-grams (or rare values) that the corpus must keep.",
    )
    perplexity_rise: float = Field(
        default=0.3,
        gt=0,
        description="Rise of real text's perplexity under a model of the corpus that means collapse.",
    )
    near_copy_margin: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="How far the share of near copies of seeds may exceed its real-vs-real level.",
    )
    membership_auc: float = Field(default=0.60, gt=0.5, le=1, description="Largest membership-inference AUC.")
    attack_risk: float = Field(
        default=0.10,
        gt=0,
        le=1,
        description="Largest excess risk of singling out, linking or inferring real rows from synthetic columns.",
    )
    student_drop: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="How far a student trained on the mix may fall below one trained on the real rows.",
    )
    shift_level: Level = Field(default="warn", description="Whether a shift blocks the release.")
    collapse_level: Level = Field(default="warn", description="Whether a collapse blocks the release.")
    privacy_level: Level = Field(default="block", description="Whether a privacy finding blocks the release.")
    student_level: Level = Field(default="warn", description="Whether a student below its bar blocks the release.")

    @model_validator(mode="after")
    def _ordered(self) -> QualitySpec:
        if self.psi_watch > self.psi_act:
            raise ValueError(f"psi_watch {self.psi_watch} is above psi_act {self.psi_act}")
        if self.effect_watch > self.effect_act:
            raise ValueError(f"effect_watch {self.effect_watch} is above effect_act {self.effect_act}")
        return self


class VerificationSpec(Model):
    """Ground truth that is checked by running code or working out a sum."""

    kind: Literal["python", "arithmetic"] = Field(
        description="python: run the solution against its tests in a sandbox; arithmetic: work out the steps again."
    )
    solution: str = Field(description="Field with the solution: code, or worked steps that end in `#### answer`.")
    tests: str | None = Field(default=None, description="python: field with the tests, plain assert statements.")
    seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="python: most seconds of processor of a run of the tests; twice as many by the clock.",
    )
    memory_mib: int = Field(
        default=512,
        ge=32,
        le=65_536,
        description="python: most memory of a candidate; as many run at once as there are processors.",
    )
    mutants: int = Field(
        default=16, ge=0, le=200, description="python: wrong variants of the solution that the tests must tell apart."
    )
    least_mutants_caught: float = Field(
        default=0.5, ge=0, le=1, description="python: least share of the wrong variants that the tests must fail."
    )

    @model_validator(mode="after")
    def _complete(self) -> VerificationSpec:
        if (self.kind == "python") != (self.tests is not None):
            raise ValueError("verification: tests names the tests' field for kind: python, and only there")
        return self


class JudgeSpec(Model):
    """A language model that grades candidates by a rubric."""

    recipe: str = Field(default="judge", pattern=r"^[a-z][a-z0-9_]*$", description="Folder name under recipes/.")
    criteria: tuple[str, ...] = Field(
        default=("It fits its description.", "It is written as a real one would be.", "It is complete and correct."),
        min_length=1,
        max_length=20,
        description="What a good example is, one sentence a criterion; the recipe shows them to the model.",
    )
    least_grade: int = Field(default=3, ge=1, le=5, description="Lowest grade (1 poor … 5 excellent) that passes.")
    max_tokens: int = Field(
        default=160, ge=16, le=4096, description="Longest answer: one sentence of reason, the grade."
    )
