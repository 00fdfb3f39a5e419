"""Sequences equal but for two places: all of them, exactly, in linear time.

Here: deletion neighborhoods (Mor & Fraenkel 1982; SymSpell) of sequences of hashes, whole arrays at a time. Two
sequences that become the same when at most two places of each are left out share a variant, so that equal hashes of
variants are all pairs; nothing is compared pair by pair. Not here: what the places are (copies.py: words; records.py:
columns).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

MOST_CHANGES = 2
MOST_PLACES = 24
"""A sequence of n places has n·(n − 1)/2 variants."""
_LEAST_KEPT = 2
_VARIANTS = pl.Schema({"code": pl.UInt64, "owner": pl.UInt32, "length": pl.UInt8})
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


def find_nearest_sequence(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each left sequence the right one most like it and their likeness, −1 and 0 where none is near.

    Sequences are uint64 hashes. Near: both are at most MOST_PLACES long and the same when at most two places of each
    are left out, two at least staying. Likeness = places that stay / places of the longer.
    """
    nearest, likeness = np.full(len(left), -1, np.int64), np.zeros(len(left))
    mine, others = _group_by_length(left), _group_by_length(right)
    for kept in range(_LEAST_KEPT, MOST_PLACES + 1):
        theirs, ours = _list_variants(others, kept), _list_variants(mine, kept)
        # of equal variants the shortest sequence is the most alike
        partner = theirs.sort("length", "owner").unique("code", keep="first", maintain_order=True)
        found = (
            ours.join(partner, on="code", suffix="_other")
            .with_columns(likeness=kept / pl.max_horizontal("length", "length_other"))
            .sort("owner", "likeness", "owner_other", descending=[False, True, False])
            .unique("owner", keep="first", maintain_order=True)
        )
        row, score = found["owner"].to_numpy(), found["likeness"].to_numpy()
        better = score > likeness[row]
        nearest[row[better]], likeness[row[better]] = found["owner_other"].to_numpy()[better], score[better]
    return nearest, likeness


def have_near_sequence(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Return which sequences have another near one among them (boolean); near as in find_nearest_sequence."""
    near = np.zeros(len(sequences), dtype=bool)
    groups = _group_by_length(sequences)
    for kept in range(_LEAST_KEPT, MOST_PLACES + 1):
        pairs = _list_variants(groups, kept).unique(["code", "owner"])
        shared = pairs.group_by("code").len().filter(pl.col("len") > 1)
        near[pairs.join(shared, on="code", how="semi")["owner"].to_numpy()] = True
    return near


def mask_places(values: np.ndarray) -> np.ndarray:
    """Return the hash of each row without each pair of its places, shape (rows, pairs); values uint64, (rows, places).

    Places do not move up: what is left must stand in the same places to be equal.
    """
    weighted = values * _powers(values.shape[1])
    one, two = np.triu_indices(values.shape[1], k=1)
    return weighted.sum(axis=1, dtype=np.uint64)[:, None] - weighted[:, one] - weighted[:, two]


def _group_by_length(sequences: Sequence[np.ndarray]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return length → (rows, values of shape (rows, length)) of the sequences that are neither too long nor short."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    groups = {}
    for length in range(_LEAST_KEPT, MOST_PLACES + 1):
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            groups[length] = (rows, np.stack([sequences[row] for row in rows]))
    return groups


def _list_variants(groups: dict[int, tuple[np.ndarray, np.ndarray]], kept: int) -> pl.DataFrame:
    """Return the variants of `kept` places: code:UInt64, owner:UInt32 (sequence), length:UInt8 (of the sequence)."""
    parts = [pl.DataFrame(schema=_VARIANTS)]
    for length in range(kept, kept + MOST_CHANGES + 1):
        if length in groups:
            rows, values = groups[length]
            codes = _leave_out(values, length - kept)
            owners = np.repeat(rows.astype(np.uint32), codes.shape[1])
            part = pl.DataFrame({"code": codes.ravel(), "owner": owners})
            parts.append(part.with_columns(length=pl.lit(length, dtype=pl.UInt8)))
    return pl.concat(parts)


def _leave_out(values: np.ndarray, count: int) -> np.ndarray:
    """Return the hash of each row without each choice of `count` places (0, 1, 2), shape (rows, choices).

    The hash is the sum of value · factor^place, places moved up over the gaps: parts of running sums, divided by the
    factor once a gap.
    """
    length = values.shape[1]
    sums = np.zeros((len(values), length + 1), dtype=np.uint64)
    np.cumsum(values * _powers(length), axis=1, out=sums[:, 1:])
    if count == 0:
        return sums[:, -1:]
    if count == 1:
        return sums[:, :-1] + (sums[:, -1:] - sums[:, 1:]) * _INVERSE
    one, two = np.triu_indices(length, k=1)
    middle, end = sums[:, two] - sums[:, one + 1], sums[:, -1:] - sums[:, two + 1]
    return sums[:, one] + (middle + end * _INVERSE) * _INVERSE


def _powers(count: int) -> np.ndarray:
    return np.cumprod(np.concatenate([[np.uint64(1)], np.full(count - 1, _FACTOR)]), dtype=np.uint64)
