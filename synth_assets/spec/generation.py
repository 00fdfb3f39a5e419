"""How candidates are made.

Here: section `generation` with `vllm`, `server` and `watermark`. Not here: the engines (generation/).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synth_assets.spec.model import Model


class VllmSpec(Model):
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


class ServerSpec(Model):
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


class WatermarkSpec(Model):
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


class GenerationSpec(Model):
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
    min_support: int | None = Field(
        default=None,
        ge=1,
        description="Embedded text engine: write only first words and pairs of words that so many training rows share, "
        "as what few say tells who was in training. Left out: the greatest up to 3 that leaves a field 2,000 pairs, "
        "else 1, as with fewer pairs texts go in circles.",
    )
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
