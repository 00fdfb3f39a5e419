"""The two partition dimensions: data sets, and rounds as they come.

Here: their definitions and reading a run's partition. Not here: who adds keys (automation.py, cli).
"""

from __future__ import annotations

import warnings

import dagster as dg

# the one feature in preview that we use; Dagster's version is pinned for it
warnings.filterwarnings(
    "ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=dg.PreviewWarning
)

DATASETS = dg.DynamicPartitionsDefinition(name="dataset")
ROUNDS = dg.DynamicPartitionsDefinition(name="round")
DATASET_ROUNDS = dg.MultiPartitionsDefinition({"dataset": DATASETS, "round": ROUNDS})


def dataset_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str:
    """Return the data set of the run's partition, of one or two dimensions."""
    return split_key(context.partition_key)[0]


def round_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str:
    """Return the round of the run's partition; the partition must have both dimensions."""
    round_ = split_key(context.partition_key)[1]
    if round_ is None:
        raise dg.DagsterInvariantViolationError(f"partition {context.partition_key} has no round")
    return round_


def split_key(key: str) -> tuple[str, str | None]:
    """Return ("support", "r000") for "support|r000" and ("support", None) for "support"."""
    if isinstance(key, dg.MultiPartitionKey):
        return key.keys_by_dimension["dataset"], key.keys_by_dimension["round"]
    dataset, _, round_ = key.partition("|")
    return dataset, round_ or None


def round_key(dataset: str, round_: str) -> dg.MultiPartitionKey:
    """Return the partition key of a data set's round."""
    return dg.MultiPartitionKey({"dataset": dataset, "round": round_})
