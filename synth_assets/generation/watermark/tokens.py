"""Pairs of neighboring tokens inside free-text values: of texts, tokenized anew, and of answers whose ids were kept.

Here: the model's tokenizer, and which tokens of a JSON record lie within a value. Not here: which pairs are green
(green_list.py), what they prove (detection.py).

Only tokens inside free-text values count: field names, brackets and numbers follow from the grammar and the data, and a
model had little choice of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synth_assets.errors import EngineError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

PAIRS_SCHEMA = pl.Schema({"record": pl.UInt32, "previous": pl.UInt32, "token": pl.UInt32})

_BATCH = 4096  # texts tokenized at a time: bounds memory
_STRING = r'"((?:[^"\\]|\\.)*+)"'
_MEMBER = re.compile(rf"{_STRING}(?:\s*:\s*{_STRING})?", re.DOTALL)  # whole strings, so that no quote within one counts


def pair_tokens(token_ids: pl.Series) -> pl.DataFrame:
    """Return the pairs of a List column of token ids (PAIRS_SCHEMA): each token with the one before it.

    The first token of a list is context alone: begin with the one before the value, or with the prompt's last.

    [[5, 7, 9]] → (0, 5, 7), (0, 7, 9)
    """
    flat = pl.DataFrame({"token": token_ids}).with_row_index("record").explode("token")
    pairs = flat.with_columns(previous=pl.col("token").shift().over("record")).drop_nulls()
    return pairs.select(PAIRS_SCHEMA.names()).cast(PAIRS_SCHEMA)  # type: ignore[arg-type] - a mapping is invariant


def pair_answers(token_ids: pl.Series, fields: Collection[str], tokenizer: Path) -> pl.DataFrame:
    """Return the pairs inside the string values of `fields` (PAIRS_SCHEMA) of answers, JSON as the model wrote it.

    token_ids: a List column of all output tokens of an answer, null where they are not known. A field is found on any
    level, so that "content" finds the messages of a chat. tokenizer: the model's folder, or its tokenizer.json.
    EngineError as tokenize_values. A loop over tokens, since a tokenizer tells no offsets when it decodes.
    """
    reader = _load_tokenizer(_find_tokenizer(tokenizer))
    wanted = frozenset(fields)
    columns: dict[str, list[int]] = {name: [] for name in PAIRS_SCHEMA}
    for record, ids in enumerate(token_ids.to_list()):
        for place in _find_value_tokens(ids or [], wanted, reader):
            columns["record"].append(record)
            columns["previous"].append(ids[place - 1])
            columns["token"].append(ids[place])
    return pl.DataFrame(columns, schema=PAIRS_SCHEMA)


def tokenize_values(
    texts: pl.Series, tokenizer: Path, *, field: str | None = "text", last: bool = True
) -> pl.DataFrame:
    """Return the pairs of texts (PAIRS_SCHEMA), tokenized as they stand in the JSON that a model wrote.

    A text is escaped and put where the model put it, {"field":"…"}, or {"field":"…"," where it is not the `last` of the
    record, so that its first and last tokens are cut as the model cut them; tokens that reach over either end do not
    count. field None: the text stood alone. tokenizer: the model's folder, or its tokenizer.json. Null and empty texts
    have no pairs. EngineError where `tokenizers` is not installed or the file cannot be used.
    """
    reader = _load_tokenizer(_find_tokenizer(tokenizer))
    before, after = "", ""
    if field is not None:
        before, after = "{" + json.dumps(field, ensure_ascii=False) + ':"', '"}' if last else '","'
    rows = [row for row, text in enumerate(texts.to_list()) if text]
    parts = [PAIRS_SCHEMA.to_frame()]
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        values = texts.gather(some).to_list()
        if field is not None:  # as JSON writes it, letters beyond ASCII as they are
            values = [json.dumps(value, ensure_ascii=False)[1:-1] for value in values]
        encodings = reader.encode_batch([before + value + after for value in values], add_special_tokens=False)
        spans = [(len(before), len(before) + len(value)) for value in values]
        parts.append(_pair_encodings(some, encodings, spans))
    return pl.concat(parts)


def _pair_encodings(
    rows: Sequence[int], encodings: Sequence[Encoding], spans: Sequence[tuple[int, int]]
) -> pl.DataFrame:
    counts = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
    ids = np.concatenate([np.asarray(encoding.ids, dtype=np.uint32) for encoding in encodings])
    offsets = np.concatenate([np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2) for encoding in encodings])
    owner = np.repeat(np.arange(len(rows)), counts)
    span = np.asarray(spans, dtype=np.int64)[owner]
    inside = (offsets[:, 0] >= span[:, 0]) & (offsets[:, 1] <= span[:, 1])
    follows = np.append(False, owner[1:] == owner[:-1])
    place = np.flatnonzero(inside & follows)
    columns = {"record": np.asarray(rows)[owner[place]], "previous": ids[place - 1], "token": ids[place]}
    return pl.DataFrame(columns).cast(PAIRS_SCHEMA)  # type: ignore[arg-type] - a mapping is invariant


def _find_value_tokens(ids: Sequence[int], fields: Collection[str], reader: Tokenizer) -> Iterator[int]:
    """Yield the places of the tokens that lie wholly within a wanted value, the first token of all left out."""
    pieces = list(_decode_pieces(ids, reader))
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    starts = ends - [len(piece) for piece in pieces]
    for match in _MEMBER.finditer("".join(pieces)):
        if match[2] is None or match[1] not in fields:  # names of fields need no escapes
            continue
        low, high = match.span(2)
        inside = (starts >= low) & (ends <= high) & (starts < high)
        yield from (int(place) for place in np.flatnonzero(inside) if place > 0)


def _decode_pieces(ids: Sequence[int], reader: Tokenizer) -> Iterator[str]:
    """Yield the text that each token adds; of tokens that share a letter, the last one adds it."""
    from tokenizers.decoders import DecodeStream

    stream = DecodeStream(skip_special_tokens=True)
    for token in ids:
        yield stream.step(reader, token) or ""


def _find_tokenizer(path: Path) -> Path:
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise EngineError(
            f"{file}: there is no such file; name the folder of the model that wrote the text, with its tokenizer.json"
        )
    return file


@lru_cache(maxsize=2)
def _load_tokenizer(file: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise EngineError(
            "the watermark of a language model is read from tokens, and the package `tokenizers` is not installed; "
            "`pip install -c constraints.txt -e '.[watermark]'`"
        ) from None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises plain Exception for every fault of the file
        raise EngineError(f"{file}: no tokenizer can be read from it: {error}; copy it from the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # "</s>" within a text was written letter by letter
    return tokenizer
