"""The transformer student: a pretrained encoder fine-tuned to tell the classes of texts.

Here: loading, fine-tuning and asking it, on a GPU where there is one. Not here: generation, sentence embeddings
(embeddings.py). Needs torch and transformers, which are imported when it learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from synth_assets.errors import EngineError
from synth_assets.monitoring.features import read_text, split_fields
from synth_assets.monitoring.student.protocol import CLASS, Answers, Task, TaskKind

BATCH = 32
MAX_TOKENS = 128
WARMUP = 0.1


@dataclass(frozen=True)
class TransformerStudent:
    """Fine-tunes all of a model with a fresh linear head by weighted cross-entropy; reads the text fields alone.

    model: a folder or a hub name (HF_HUB_OFFLINE=1 keeps to this disk). AdamW, warm-up over a tenth of the steps and
    linear decay (Devlin et al., arXiv:1810.04805), texts cut at 128 tokens.
    """

    model: str
    epochs: int
    learning_rate: float = 5e-5
    name: str = "transformer"
    kinds: tuple[TaskKind, ...] = (CLASS,)
    is_random: bool = True

    def answer(self, task: Task, train: pl.DataFrame, weights: np.ndarray, test: pl.DataFrame, seed: int) -> Answers:
        import torch  # pyright: ignore[reportMissingImports]

        classes, codes = np.unique(task.read_target(train), return_inverse=True)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            tokenizer, network = _load(self.model, len(classes))
            network.to(device)
            learn, check = (_tokenize(tokenizer, frame, task) for frame in (train, test))
            self._tune(network, learn, codes, weights, device)
            return Answers(_ask(network, check, device), classes)

    def _tune(self, network: Any, tokens: dict[str, Any], codes: np.ndarray, weights: np.ndarray, device: Any) -> None:
        import torch  # pyright: ignore[reportMissingImports]
        from torch.nn.functional import cross_entropy  # pyright: ignore[reportMissingImports]

        labels, masses = torch.as_tensor(codes), torch.as_tensor(weights / weights.mean(), dtype=torch.float32)
        steps = -(-len(codes) // BATCH) * self.epochs
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate)
        warmup = max(round(WARMUP * steps), 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(steps - warmup, 1))
        )
        network.train()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(codes)).split(BATCH):
                scores = network(**_take(tokens, rows, device)).logits
                losses = cross_entropy(scores, labels[rows].to(device), reduction="none")
                (losses * masses[rows].to(device)).mean().backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()


def find_model(model: str, root: Path) -> str:
    """Return the model's folder against `root`, or the hub name where there is no such folder.

    EngineError if torch or transformers is missing, so that a report fails before it has trained anything.
    """
    try:
        import torch  # noqa: F401 # pyright: ignore[reportMissingImports]
        import transformers  # noqa: F401 # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EngineError(
            f"student.kind: transformer needs torch and transformers ({error}): install both with "
            "pip install sentence-transformers, or leave student.kind out"
        ) from error
    folder = root / Path(model).expanduser()
    return str(folder) if folder.is_dir() else model


def _load(model: str, classes: int) -> tuple[Any, Any]:
    from transformers import (  # pyright: ignore[reportMissingImports]
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        network = AutoModelForSequenceClassification.from_pretrained(
            model, num_labels=classes, problem_type="single_label_classification", ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise EngineError(f"student.model: {model} cannot be loaded: {error}") from error
    return tokenizer, network


def _tokenize(tokenizer: Any, frame: pl.DataFrame, task: Task) -> dict[str, Any]:
    texts = read_text(frame, split_fields(task.inputs)[0]).fill_null("").to_list()
    return dict(tokenizer(texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"))


def _take(tokens: dict[str, Any], rows: Any, device: Any) -> dict[str, Any]:
    """Return a batch, its padding cut to the longest of its rows."""
    longest = int(tokens["attention_mask"][rows].sum(dim=1).max().clamp(min=1))
    return {name: values[rows, :longest].to(device) for name, values in tokens.items()}


def _ask(network: Any, tokens: dict[str, Any], device: Any) -> np.ndarray:
    import torch  # pyright: ignore[reportMissingImports]

    network.eval()
    rows = torch.arange(len(tokens["input_ids"]))
    with torch.inference_mode():
        parts = [network(**_take(tokens, part, device)).logits.float().cpu() for part in rows.split(4 * BATCH)]
    return torch.cat(parts).numpy()
