"""Reviewer accounts from the command line: adding, listing and revoking them.

Here: what `synth reviewers …` does. Not here: the accounts themselves (review/accounts.py), the arguments (app.py).
"""

from __future__ import annotations

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.review.accounts import REVIEWER, Accounts
from synth_assets.review.database import Database


def add_reviewer(console: Console, project: Project, name: str, role: str = REVIEWER, days: float = 90.0) -> None:
    """Open an account and print its token, this once."""
    token = Accounts(Database(project.ops_url)).add(name, role, days=days)
    console.print(
        f"{name} may sign in as {role} for {days:g} days with this token; it is not shown again:", markup=False
    )
    console.print(token, highlight=False, markup=False, soft_wrap=True)


def list_reviewers(console: Console, project: Project) -> None:
    """Print all accounts with their role, state and last day."""
    accounts = Accounts(Database(project.ops_url)).list()
    if accounts.is_empty():
        console.print("no reviewer accounts; the review can be opened on this machine alone", highlight=False)
        return
    shown = Table("name", "role", "state", "until", box=None)
    for row in accounts.with_columns(pl.col("expires").dt.strftime("%Y-%m-%d")).to_dicts():
        shown.add_row(escape(row["name"]), row["role"], row["state"], row["expires"])
    console.print(shown)


def revoke_reviewer(console: Console, project: Project, name: str) -> None:
    """End an account and sign it out everywhere; what the reviewer decided stays."""
    if not Accounts(Database(project.ops_url)).revoke(name):
        raise SynthError(f"there is no valid account '{name}'; `synth reviewers list` shows them")
    console.print(f"{name} can no longer sign in; the decisions stay (`synth recall` takes them back)", markup=False)
