"""DatasetSpec: the pydantic model of data/seeds/<dataset>/dataset.yaml, the one file a user must write.

Here: every field a user may write, its bounds and its description (the JSON Schema for editors comes from it), and
reading the file into the model with one readable error. Not here: what the stages do with it.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from synth_assets.errors import SpecError
from synth_assets.records import RESERVED_NAMES, digest_text

FieldType = Literal["text", "category", "integer", "number", "boolean", "date", "messages", "code"]
Role = Literal["input", "target", "context", "id", "sensitive"]
ConsentBasis = Literal[
    "consent",
    "contract",
    "legal_obligation",
    "vital_interests",
    "public_task",
    "legitimate_interests",
    "public_domain",
    "not_personal",
    "research_exemption",
    "unknown",
]
Level = Literal["warn", "block"]

FREE_TEXT_TYPES = frozenset({"text", "code", "messages"})
NUMERIC_TYPES = frozenset({"integer", "number"})
MAX_SPEC_BYTES = 1_000_000
DATASET_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")
MIN_SHARE, MAX_SHARE = 0.60, 0.80
UNKNOWN_LICENSE = "LicenseRef-unknown"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FieldSpec(_Model):
    """One field of the record."""

    name: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$",
        description="Column name in every frame and in the release; letters, digits and _.",
    )
    type: FieldType = Field(description="What the values are; category is a closed set of short strings.")
    role: Role = Field(
        default="input",
        description="input: what a model will read. target: what it must predict. context: describes the example. "
        "id: your own key, kept for tracing inside the lake, never generated, never exported. sensitive: a protected "
        "attribute; it may condition a generator and is tested in the privacy report, and is never exported.",
    )
    source: str | None = Field(
        default=None,
        description="Where the value lies in your files when it is not the name: a column, or a path into nested "
        "data such as instances.0.output.",
    )
    description: str = Field(default="", description="For the method card and for prompts.")
    values: tuple[str, ...] | None = Field(
        default=None, description="category: the allowed values. Left out, they are learned from the training rows."
    )
    nullable: bool = Field(default=False, description="Whether a row may lack this value.")
    minimum: float | None = Field(
        default=None, allow_inf_nan=False, description="integer, number: smallest allowed value."
    )
    maximum: float | None = Field(
        default=None, allow_inf_nan=False, description="integer, number: largest allowed value."
    )
    decimals: int | None = Field(default=None, ge=0, le=12, description="number: digits kept after the point.")
    unit: str = Field(default="", description="integer, number: unit of measurement, for people.")
    min_length: int = Field(default=1, ge=0, description="text, code: fewest characters.")
    max_length: int = Field(default=4000, ge=1, le=1_000_000, description="text, code, messages: most characters.")
    language: str = Field(default="en", description="text: BCP 47 tag of the language written here.")

    @property
    def is_free_text(self) -> bool:
        return self.type in FREE_TEXT_TYPES

    @model_validator(mode="after")
    def _consistent(self) -> FieldSpec:
        if self.name.casefold() in RESERVED_NAMES:
            raise ValueError(
                f"'{self.name}' is a column of the platform; choose another name and set source: {self.name}"
            )
        if self.values is not None and self.type != "category":
            raise ValueError("values is for type category only")
        if self.values is not None and (not self.values or len(set(self.values)) != len(self.values)):
            raise ValueError("values must be a non-empty list without repeats")
        if (self.minimum is not None or self.maximum is not None) and self.type not in NUMERIC_TYPES:
            raise ValueError("minimum and maximum are for type integer or number only")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        low, high = self.minimum, self.maximum
        if self.type == "integer" and low is not None and high is not None and math.ceil(low) > math.floor(high):
            raise ValueError(f"no integer lies between minimum {low} and maximum {high}")
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class StrataSpec(_Model):
    """Which groups of examples are planned, mixed and reported one by one."""

    by: tuple[str, ...] = Field(
        default=(), description="Category or boolean fields whose joined values make a stratum; none means one stratum."
    )
    synthetic_only: tuple[str, ...] = Field(
        default=(),
        description="Strata (values joined by |) that may be released without a real row; printed on the method card.",
    )


_VERBATIM = StringConstraints(strip_whitespace=False)


class CsvSpec(_Model):
    """How CSV files are written."""

    header: bool = Field(default=True, description="Whether the first line names the columns.")
    columns: tuple[str, ...] = Field(default=(), description="Column names where there is no header line.")
    delimiter: Annotated[str, _VERBATIM] = Field(
        default=",", min_length=1, max_length=1, description="One character between values."
    )
    null_values: tuple[Annotated[str, _VERBATIM], ...] = Field(
        default=("",), description="What stands for a missing value."
    )
    strip: bool = Field(default=True, description="Whether spaces around values are dropped.")


class ConsentSpec(_Model):
    """On what legal basis the real rows may be used."""

    basis: ConsentBasis = Field(
        description="Legal basis of the whole set (GDPR Art. 6 names, public_domain, not_personal for data about no "
        "person, research_exemption); unknown is never released."
    )
    field: str | None = Field(default=None, description="Column of your files that holds the basis row by row.")
    withdrawn_values: tuple[str, ...] = Field(
        default=("withdrawn", "refused", "none"),
        description="Values of that column that exclude a row from everything, synthesis included.",
    )


class SourceSpec(_Model):
    """Where the seeds come from and what they may be used for."""

    title: str = Field(default="", description="Name of the collection.")
    url: str = Field(default="", description="Where it was obtained.")
    files: tuple[str, ...] = Field(
        default=(),
        description="File names or glob patterns inside the data set's folder; none means every .jsonl, .csv and "
        ".parquet there (also .gz, .zst).",
    )
    uri: str | None = Field(
        default=None,
        pattern=r"^(sklearn|python):[a-z_]+$",
        description="A bundled set: sklearn:breast_cancer, sklearn:digits, sklearn:iris, sklearn:wine, "
        "sklearn:diabetes, or python:doctests (functions of Python's own library). Files that are named are read too.",
    )
    csv: CsvSpec = Field(default_factory=CsvSpec, description="CSV dialect.")
    license: str = Field(
        description="SPDX expression of the whole set, e.g. CC-BY-4.0, or LicenseRef-… for your own terms. "
        "LicenseRef-unknown makes every row synthesis_only."
    )
    license_field: str | None = Field(default=None, description="Column of your files with the license row by row.")
    private_field: str | None = Field(
        default=None,
        description="Boolean column of your files; true makes a row synthesis_only: it may condition generators and "
        "is never exported.",
    )
    consent: ConsentSpec = Field(description="Legal basis.")
    jurisdiction: tuple[str, ...] = Field(default=(), description="Where the law applies, e.g. EU, US-CA.")
    contact: str = Field(default="", description="Who answers questions about this data.")
    collected_from: dt.date | None = Field(default=None, description="First day of collection.")
    collected_to: dt.date | None = Field(default=None, description="Last day of collection.")

    @field_validator("license")
    @classmethod
    def _known_license(cls, value: str) -> str:
        check_license(value)
        return value


class LiabilitySpec(_Model):
    """What the audit does with personal data it finds in rows that are otherwise clear."""

    pii: Literal["synthesis_only", "exclude", "allow"] = Field(
        default="synthesis_only", description="Disposition of a row in which personal data is found."
    )
    allow_entities: tuple[str, ...] = Field(
        default=("DATE_TIME",), description="Entity types that are no reason to hold a row back, e.g. DATE_TIME, URL."
    )
    quasi_identifiers: tuple[str, ...] = Field(
        default=(),
        description="Fields that together may point to a person, e.g. birth year, sex, postcode; no free text, no ids.",
    )
    k_anonymity: int = Field(
        default=5,
        ge=2,
        le=10_000,
        description="Rows that must share each combination of the quasi-identifiers; rarer ones are reported.",
    )


class VllmSpec(_Model):
    """How vLLM runs the model, in process and under `synth serve`."""

    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="auto", description="Number format of weights and activations; auto takes the model's own."
    )
    quantization: str | None = Field(default=None, description="vLLM quantization method, e.g. fp8, awq, gptq.")
    lora: str | None = Field(default=None, description="Folder of a LoRA adapter, from the project's root.")
    tensor_parallel: int = Field(default=1, ge=1, le=64, description="GPUs that share one copy of the model.")
    data_parallel: int = Field(
        default=1, ge=1, le=64, description="Copies of the model side by side; above 1 needs `synth serve`."
    )
    max_model_len: int | None = Field(
        default=None, ge=64, description="Most tokens of prompt and completion together; left out, the model's own."
    )
    max_num_seqs: int | None = Field(
        default=None, ge=1, le=4096, description="Requests in flight at once; left out, 64 on a CPU and 256 on a GPU."
    )
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="Share of the GPU's memory to take.")
    cpu_kv_cache_gib: int = Field(default=2, ge=1, le=1024, description="Memory for the KV cache on a CPU, in GiB.")


class ServerSpec(_Model):
    """OpenAI-compatible servers that answer requests."""

    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(
        default=(), description="Base URLs such as http://127.0.0.1:8000/v1; several share the work."
    )
    api_key_env: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the bearer token; the token itself is never written anywhere.",
    )
    max_concurrency: int = Field(default=256, ge=1, le=8192, description="Most requests in flight at one server.")
    patience_seconds: float = Field(
        default=120.0, gt=0, description="How long no server may answer before the run ends with an error."
    )
    send_private: bool = Field(
        default=False, description="Whether synthesis_only rows may be shown to servers that are not on this machine."
    )


class WatermarkSpec(_Model):
    """A keyed mark by which generated text or rows can be told later; nothing is marked without a key."""

    key_env: str | None = Field(
        default="SYNTH_WATERMARK_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the secret key (at least 16 characters).",
    )
    key_file: str | None = Field(
        default=None, description="File that holds the secret key, against the project's root; wins over key_env."
    )
    gamma: float = Field(
        default=0.25, gt=0, lt=1, description="Language models: share of the vocabulary that is green."
    )
    delta: float = Field(
        default=2.0, gt=0, le=20, description="Language models: what is added to a green token's logit."
    )
    draws: int = Field(
        default=4, ge=2, le=16, description="Embedded engines: drafts of a row of which the greenest is taken."
    )


class GenerationSpec(_Model):
    """How candidates are made."""

    recipe: str = Field(default="few_shot", pattern=r"^[a-z][a-z0-9_]*$", description="Folder name under recipes/.")
    engine: Literal["auto", "embedded", "vllm", "server"] = Field(
        default="auto",
        description="embedded needs no GPU and no download; vllm loads `model` in process; server asks `server.urls`. "
        "auto: server where URLs are given, vllm where a model is named and a GPU is there, else embedded.",
    )
    generator: Literal["auto", "text", "tabular"] = Field(
        default="auto", description="Embedded engine: the text or the tabular model; auto looks at the fields."
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="Language model: a folder (against the project's root) or a hub name such as Qwen/Qwen3-0.6B.",
    )
    revision: str | None = Field(default=None, description="Language model: commit, tag or branch on the hub.")
    prompt: Literal["auto", "chat", "completion"] = Field(
        default="auto", description="Language model: auto takes chat where the model has a chat template."
    )
    vllm: VllmSpec = Field(default_factory=VllmSpec, description="How vLLM runs the model.")
    server: ServerSpec = Field(default_factory=ServerSpec, description="OpenAI-compatible servers.")
    temperature: float = Field(default=1.0, gt=0, le=2, description="Sampling temperature; below 1 narrows diversity.")
    top_k: int | None = Field(
        default=None,
        ge=0,
        description="Sample from the k likeliest tokens; 0 means all. Left out: all on the embedded engines, 50 on a "
        "language model.",
    )
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="Language model: drop tokens below this share of the likeliest one's odds."
    )
    max_tokens: int = Field(default=512, ge=1, le=131_072, description="Longest completion in tokens.")
    exemplars: int = Field(default=6, ge=1, le=64, description="Training rows that condition one request.")
    repair_attempts: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Language model: how often an invalid, truncated or refused completion is tried again, with "
        "another seed.",
    )
    shard_size: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Requests in one restartable shard. Left out: 4,096, or 16 times the requests in flight on vLLM.",
    )
    allocation: Literal["targeted", "uniform"] = Field(
        default="targeted",
        description="From the second round on. targeted: strata get up to twice, and never less than half of, what the "
        "real mix gives them, by the student's steering errors, the review's defects and drift. uniform: the real mix.",
    )
    max_waves: int = Field(default=8, ge=1, le=100, description="Most generate-and-filter waves in a round.")
    min_yield: float = Field(default=0.01, ge=0, le=1, description="Stop when a wave's accepted share is below this.")
    watermark: WatermarkSpec | None = Field(
        default=None, description="Opt-in mark in what is generated; `watermark: {}` takes the defaults."
    )

    @model_validator(mode="after")
    def _runnable(self) -> GenerationSpec:
        if self.engine == "vllm" and self.model is None:
            raise ValueError("engine: vllm needs model: a folder, or a hub name such as Qwen/Qwen3-0.6B")
        if self.engine == "server" and not self.server.urls:
            raise ValueError("engine: server needs server.urls, e.g. [http://127.0.0.1:8000/v1]")
        if self.engine == "server" and self.model is None:
            raise ValueError("engine: server needs model: the name that the server answers to")
        return self


class QualitySpec(_Model):
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


class VerificationSpec(_Model):
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


class JudgeSpec(_Model):
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


class MixSpec(_Model):
    """How real and synthetic rows make the corpus."""

    share: float = Field(
        default=0.70, ge=MIN_SHARE, le=MAX_SHARE, description="Synthetic share of the corpus, by rows and weight."
    )
    real_floor: int = Field(
        default=1,
        ge=0,
        description="Real rows a stratum must have, as far as there are any; strata with none must be synthetic_only.",
    )
    upsampling_cap: float = Field(default=1.0, ge=1, le=4, description="Most that a real row may weigh in the corpus.")

    def capacity(self, real_rows: int) -> int:
        """Return how many synthetic rows a corpus with so many real rows can hold: R·cap·σ/(1−σ), at most 4·R."""
        by_weight = self.upsampling_cap * self.share / (1 - self.share)
        return math.floor(real_rows * min(by_weight, MAX_SHARE / (1 - MAX_SHARE)) + 1e-9)


class ReviewSpec(_Model):
    """How much people look at, and what that must certify."""

    rate: float = Field(default=0.02, ge=0.01, le=0.05, description="Share of the filtered rows that is reviewed.")
    minutes_per_item: float = Field(default=3.0, gt=0, le=240, description="Minutes a review takes, for the budget.")
    tolerated_defect_rate: float = Field(
        default=0.05, gt=0, lt=0.5, description="Defect rate that an accepted batch must be certified below (LTPD)."
    )
    acceptable_defect_rate: float | None = Field(
        default=None,
        ge=0,
        lt=0.5,
        description="Defect rate at which 90 % of the batches are accepted (AQL); left out, a fifth of the tolerated.",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Confidence of that statement.")
    plan: Literal["fixed", "sequential"] = Field(
        default="fixed", description="One look at the whole sample, or a sequential test after every decision (SPRT)."
    )
    double_review_share: float = Field(
        default=0.10, ge=0, le=1, description="Share of the sample that two people decide, to measure agreement."
    )
    gold_share: float = Field(
        default=0.05, ge=0, le=0.5, description="Real rows with planted faults mixed in, as a share of the sample."
    )
    blind_share: float = Field(
        default=0.05, ge=0, le=0.5, description="Untouched real rows mixed in, as a share of the sample."
    )
    mode: Literal["human", "auto"] = Field(
        default="human", description="auto lets a model decide; marked everywhere, and it certifies nothing."
    )
    budget_minutes: float | None = Field(default=None, gt=0, description="Most reviewer minutes for a round.")
    overdue_days: float = Field(
        default=3.0, gt=0, le=365, description="Days after which an open review is told as overdue, once a day."
    )

    @model_validator(mode="after")
    def _ordered(self) -> ReviewSpec:
        acceptable = self.acceptable_defect_rate
        if acceptable is not None and acceptable >= self.tolerated_defect_rate:
            raise ValueError(
                f"acceptable_defect_rate {acceptable} is not below tolerated_defect_rate {self.tolerated_defect_rate}"
            )
        return self


class StudentSpec(_Model):
    """The small model that is trained on every corpus and tested on real rows."""

    kind: str = Field(
        default="auto",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="auto: support_vectors for text with labels, logistic or forest for columns with labels, ridge for "
        "numbers, trigrams for free text without a target. One of these, transformer, or a student of your own by its "
        "entry point in synth_assets.students.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="kind: transformer: the model that is fine-tuned, a folder (against the project's root) or a hub "
        "name such as sentence-transformers/all-MiniLM-L6-v2.",
    )
    epochs: int = Field(default=4, ge=1, le=100, description="kind: transformer: passes over the training rows.")
    runs: int = Field(
        default=10, ge=1, le=100, description="Runs of an arm, each on its own draw of rows and its own start."
    )
    synthetic_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = Field(
        default="auto",
        description="What a synthetic row weighs when the student is also trained on a weighted mix; auto: tuned on "
        "steering rows, times the row's agreement with a student of the real ones. The corpus keeps its own weights.",
    )

    @model_validator(mode="after")
    def _complete(self) -> StudentSpec:
        if (self.kind == "transformer") != (self.model is not None):
            raise ValueError("model names the transformer that is fine-tuned, for kind: transformer and only there")
        return self


class BudgetSpec(_Model):
    """What a round may spend; engines that cost money wait until one of these is set."""

    tokens: int | None = Field(default=None, gt=0, description="Most generated tokens a round.")
    seconds: float | None = Field(default=None, gt=0, description="Most seconds of generation a round.")
    money: float | None = Field(default=None, gt=0, description="Most money a round, in cost.currency.")

    @property
    def is_set(self) -> bool:
        """Whether any limit is named."""
        return (self.tokens, self.seconds, self.money) != (None, None, None)


class CostSpec(_Model):
    """Prices for the cost ledger, and the human baseline it compares with."""

    currency: str = Field(default="USD", min_length=3, max_length=3, description="ISO 4217 code.")
    per_million_tokens: float = Field(default=0.0, ge=0, description="Price of a million generated tokens.")
    per_engine_hour: float = Field(default=0.0, ge=0, description="Price of an hour of the engine (GPU rent).")
    per_reviewer_hour: float = Field(default=40.0, ge=0, description="Price of a reviewer's hour.")
    baseline_minutes_per_example: float = Field(
        default=3.6, ge=0, description="Minutes a person needs to write one example (12,000 h for 200,000 = 3.6)."
    )


class DatasetSpec(_Model):
    """One data set: its record, its rights, how it is synthesized, reviewed and mixed."""

    name: str = Field(pattern=DATASET_NAME.pattern, description="Same as the folder: a-z, 0-9 and _, at most 63.")
    description: str = Field(default="", description="What the examples are.")
    seed: int = Field(default=0, ge=0, description="Start of every random choice.")
    fields: tuple[FieldSpec, ...] = Field(min_length=1, max_length=1000, description="The record, field by field.")
    constraints: tuple[str, ...] = Field(
        default=(),
        description="Row conditions in SQL over the fields that every record must meet, e.g. low <= high.",
    )
    strata: StrataSpec = Field(default_factory=StrataSpec, description="Groups planned and reported one by one.")
    source: SourceSpec = Field(description="Where the seeds come from and what they may be used for.")
    liabilities: LiabilitySpec = Field(
        default_factory=LiabilitySpec, description="What the audit does with personal data."
    )
    generation: GenerationSpec = Field(default_factory=GenerationSpec, description="How candidates are made.")
    quality: QualitySpec = Field(default_factory=QualitySpec, description="The quality contract.")
    verification: VerificationSpec | None = Field(
        default=None,
        description="How the truth of a candidate is checked by running or computing; left out, it is not.",
    )
    judge: JudgeSpec | None = Field(
        default=None,
        description="A language model that grades what the other discriminators let pass; left out, none.",
    )
    mix: MixSpec = Field(default_factory=MixSpec, description="How real and synthetic rows make the corpus.")
    review: ReviewSpec = Field(default_factory=ReviewSpec, description="How much people look at.")
    student: StudentSpec = Field(
        default_factory=StudentSpec, description="The small model that every corpus is tried on."
    )
    rounds: int = Field(default=1, ge=1, le=1000, description="Rounds the platform runs by itself.")
    target_accepted: int | None = Field(
        default=None,
        gt=0,
        description="Accepted synthetic examples wanted over all rounds; left out, as many as the mix can hold.",
    )
    budget: BudgetSpec = Field(default_factory=BudgetSpec, description="What a round may spend.")
    cost: CostSpec = Field(default_factory=CostSpec, description="Prices for the cost ledger.")
    webhook: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        default=None, description="Optional address that receives alerts (drift, overdue reviews) as JSON."
    )

    @property
    def digest(self) -> str:
        """32 hex digits over every setting that can change a row; prices, budgets and addresses cannot, nor shard size
        with the embedded engines (a language model's rows also depend on how its requests are batched).
        """
        generation = {"shard_size", "server"}
        content = self.model_dump(
            mode="json",
            exclude={
                "cost": True,
                "budget": True,
                "webhook": True,
                "rounds": True,
                "generation": generation,
                "review": {"overdue_days"},
            },
        )
        return digest_text(json.dumps(content, sort_keys=True))

    @property
    def text_fields(self) -> tuple[FieldSpec, ...]:
        """The free-text fields (text, code, messages) that are generated."""
        return tuple(field for field in self.fields if field.is_free_text and field.role != "id")

    @property
    def content_fields(self) -> tuple[FieldSpec, ...]:
        """Every field that is generated and counts as content: all but ids."""
        return tuple(field for field in self.fields if field.role != "id")

    @property
    def released_fields(self) -> tuple[FieldSpec, ...]:
        """The fields that may leave: no ids, nothing sensitive."""
        return tuple(field for field in self.fields if field.role not in ("id", "sensitive"))

    @property
    def target_field(self) -> FieldSpec | None:
        """The field a student predicts: the first target that is a category, boolean or number; else None."""
        for field in self.fields:
            if field.role == "target" and not field.is_free_text and field.type != "date":
                return field
        return None

    def field(self, name: str) -> FieldSpec:
        """Return the field of that name; KeyError if there is none."""
        return {field.name: field for field in self.fields}[name]

    @model_validator(mode="after")
    def _consistent(self) -> DatasetSpec:
        names = [field.name for field in self.fields]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"fields: names must be unique, repeated: {', '.join(repeated)}")
        if not self.content_fields:
            raise ValueError("fields: at least one field must have a role other than id")
        for name in self.strata.by:
            if name not in names:
                raise ValueError(f"strata.by: '{name}' is no field; fields are {', '.join(names)}")
            if self.field(name).type not in ("category", "boolean"):
                raise ValueError(
                    f"strata.by: '{name}' is of type {self.field(name).type}; category or boolean is needed"
                )
        for name in self.liabilities.quasi_identifiers:
            if name not in names or self.field(name).is_free_text or self.field(name) not in self.released_fields:
                raise ValueError(
                    f"liabilities.quasi_identifiers: '{name}' is no field that can be released and counted; "
                    "choose fields that are neither free text nor ids nor sensitive"
                )
        for condition in self.constraints:
            _check_constraint(condition, names)
        self._check_verification()
        return self

    def _check_verification(self) -> None:
        if self.judge is not None and self.generation.model is None:
            raise ValueError("judge: needs generation.model, the language model that grades")
        if self.verification is None:
            return
        used = {"solution": self.verification.solution, "tests": self.verification.tests}
        for setting, name in used.items():
            field = next((field for field in self.content_fields if field.name == name), None)
            if name is not None and (field is None or field.type not in ("text", "code")):
                raise ValueError(f"verification.{setting}: '{name}' is no text or code field of the record")


def _check_constraint(condition: str, names: list[str]) -> None:
    try:
        used = pl.sql_expr(condition).meta.root_names()
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"constraints: '{condition}' is no SQL condition: {error}") from None
    unknown = sorted(set(used) - set(names))
    if unknown or not used:
        raise ValueError(
            f"constraints: '{condition}' must use fields of the record; unknown: {', '.join(unknown) or 'none used'}"
        )


@lru_cache(maxsize=1)
def _spdx() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def check_license(expression: str) -> None:
    """Raise ValueError unless the text is a valid SPDX expression; LicenseRef-… is allowed."""
    plain = re.sub(r"LicenseRef-[A-Za-z0-9.\-]+", "MIT", expression)
    try:
        problems = _spdx().validate(plain).errors
    except Exception as error:  # the parser fails in many ways on half an expression, AttributeError among them
        problems = [str(error)]
    if problems or not expression:
        raise ValueError(
            f"'{expression}' is no SPDX license expression; write one such as CC-BY-4.0, MIT, CC0-1.0, "
            "or LicenseRef-<your-terms>"
        )


class StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (no expansion bombs) and without repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not allowed here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Return the content of a small YAML file; SpecError names file, line and what is wrong."""
    try:
        size = path.stat().st_size
        if size > MAX_SPEC_BYTES:
            raise SpecError(f"{path}: {size:,} bytes; a file of at most {MAX_SPEC_BYTES:,} is expected")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no such file; `synth init NAME FILE…` writes one") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error


def load_spec(path: Path) -> DatasetSpec:
    """Read a dataset.yaml; SpecError lists every fault with file, field, value and what is allowed."""
    path = Path(path)
    if path.is_dir():
        path = path / "dataset.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise SpecError(f"{path}: a mapping of settings is expected, found {type(content).__name__}")
    spec = parse_spec(content, where=str(path))
    if path.name == "dataset.yaml" and path.parent.name != spec.name:
        raise SpecError(f"{path}: name: '{spec.name}' must be the folder's name, '{path.parent.name}'")
    return spec


def parse_spec(content: dict[str, Any], *, where: str) -> DatasetSpec:
    """Validate settings; SpecError lists every fault, each starting with `where`."""
    try:
        return DatasetSpec.model_validate(content)
    except ValidationError as error:
        problems = error.errors()
        faulty = [problem["loc"] for problem in problems]
        # pydantic also counts the valid items of a list whose items are wrong; that echo helps nobody
        told = [
            p
            for p in problems
            if not any(len(loc) > len(p["loc"]) and loc[: len(p["loc"])] == p["loc"] for loc in faulty)
        ]
        raise SpecError("\n".join(_explain(problem, where) for problem in told)) from error


def _explain(problem: Any, where: str) -> str:
    field = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
    value = json.dumps(problem["input"], default=str)
    value = value if len(value) <= 80 else value[:77] + "…"
    if problem["type"] == "missing":
        return f"{where}: {field}: is missing; {_describe(problem['loc'])}"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {field}: unknown setting (value {value}); allowed here: {_allowed(problem['loc'])}"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], dict):
        return f"{where}: {field}: {message}"
    return f"{where}: {field}: {value}: {message}"


def _model_at(location: tuple[Any, ...]) -> type[BaseModel]:
    model: type[BaseModel] = DatasetSpec
    for part in location:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        candidates = [model.model_fields[part].annotation]
        while candidates:
            kind = candidates.pop()
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                model = kind
                break
            candidates.extend(getattr(kind, "__args__", ()))
    return model


def _allowed(location: tuple[Any, ...]) -> str:
    return ", ".join(_model_at(location[:-1]).model_fields)


def _describe(location: tuple[Any, ...]) -> str:
    info = _model_at(location[:-1]).model_fields.get(str(location[-1]))
    return (info.description or "required") if info else "required"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of dataset.yaml, for editors."""
    schema = DatasetSpec.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
