"""Proposing the quality contract: what each threshold would reject of real rows and of the newest candidates.

Here: what `synth contract` does and prints. Not here: the trade-off itself (discriminators/calibration.py).
"""

from __future__ import annotations

import polars as pl
import yaml
from rich.console import Console
from rich.table import Table

from synth_assets.cli.preview import read_split_seeds
from synth_assets.discriminators.calibration import Calibration, calibrate_contract
from synth_assets.project import Project
from synth_assets.store import Lake


def propose_contract(console: Console, project: Project, dataset: str, allowed: float) -> None:
    """Print the trade-off of each threshold on the steering rows, and what to write into dataset.yaml."""
    spec = project.spec(dataset)
    candidates, round_ = _newest_candidates(project.lake, dataset)
    with console.status("calibrating") as status:
        calibration = calibrate_contract(
            spec,
            read_split_seeds(project, dataset),
            project.root,
            allowed=allowed,
            candidates=candidates,
            report=lambda clause: status.update(f"calibrating: {clause}"),
        )
    console.print(f"judged: {calibration.real_rows:,} real rows of the steering split; fitted on the train split alone")
    _print_trade_off(console, calibration, round_)
    _print_reasons(console, calibration)
    _print_proposal(console, calibration, allowed)


def _newest_candidates(lake: Lake, dataset: str) -> tuple[pl.DataFrame | None, str]:
    rounds = lake.rounds("candidates", dataset)
    if not rounds:
        return None, ""
    return lake.read("candidates", dataset, rounds[-1]), rounds[-1]


def _print_trade_off(console: Console, calibration: Calibration, round_: str) -> None:
    table = Table("clause", "value", "", "real rows rejected", box=None)
    if round_:
        table.add_column(f"candidates of {round_} rejected")
    last = ""
    for row in calibration.trade_off.iter_rows(named=True):
        is_proposed = row["value"] == float(calibration.proposed[row["clause"]])
        marks = [mark for mark, holds in (("in force", row["in_force"]), ("proposed", is_proposed)) if holds]
        cells = [
            row["clause"] if row["clause"] != last else "",
            f"{row['value']:g}",
            ", ".join(marks),
            f"{row['real_rejected']:.2%}",
        ]
        last = row["clause"]
        table.add_row(*cells, *([f"{row['candidates_rejected']:.2%}"] if round_ else []))
    console.print(table)


def _print_reasons(console: Console, calibration: Calibration) -> None:
    for contract, reasons in calibration.by_reason.group_by("contract", maintain_order=True):
        told = ", ".join(
            f"{row['discriminator']} {row['reason']} {row['real_rejected']:.2%}"
            for row in reasons.iter_rows(named=True)
        )
        console.print(f"contract {contract[0]}: {reasons['real_rejected'].sum():.2%} of the real rows fall ({told})")


def _print_proposal(console: Console, calibration: Calibration, allowed: float) -> None:
    if calibration.real_rows * allowed < 1:
        console.print(
            f"{calibration.real_rows:,} real rows tell no share below {1 / max(calibration.real_rows, 1):.2%}: one "
            "rejected row is allowed for",
            style="yellow",
        )
    console.print(f"the strictest values that each reject at most {allowed:.2%} of them, for dataset.yaml:")
    console.print(yaml.safe_dump({"quality": calibration.proposed}, sort_keys=False), markup=False)
