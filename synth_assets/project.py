"""The project folder: where seeds, lake, releases and the review database lie, found from anywhere inside it.

Here: paths and reading specs by data set name. Not here: what is in them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from synth_assets.errors import SpecError
from synth_assets.spec import DATASET_NAME, DatasetSpec, load_spec
from synth_assets.store import Lake

ROOT_VARIABLE = "SYNTH_PROJECT"
OPS_VARIABLE = "SYNTH_OPS_URL"


@dataclass(frozen=True)
class Project:
    """A project root and its places."""

    root: Path

    @property
    def seeds(self) -> Path:
        return self.root / "data" / "seeds"

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "data" / "lake")

    @property
    def work(self) -> Path:
        """Unfinished work: shards of rounds that have not committed yet."""
        return self.root / "data" / "lake" / "_work"

    @property
    def releases(self) -> Path:
        return self.root / "data" / "releases"

    @property
    def reports(self) -> Path:
        """HTML pages of the rounds, one folder a data set."""
        return self.root / "data" / "reports"

    @property
    def generators_file(self) -> Path:
        return self.root / "data" / "generators.yaml"

    @property
    def sql_models(self) -> Path:
        return self.root / "dbt_like_sql"

    @property
    def ops_url(self) -> str:
        """SQLAlchemy URL of the review and quarantine database; SYNTH_OPS_URL overrides the SQLite file."""
        return os.environ.get(OPS_VARIABLE) or f"sqlite:///{self.root / 'data' / 'ops.db'}"

    def seed_folder(self, dataset: str) -> Path:
        """Return data/seeds/<dataset>; SpecError for names that are none (path tricks included)."""
        if not DATASET_NAME.match(dataset):
            raise SpecError(
                f"'{dataset}' is no data set name; allowed are a–z, 0–9 and _, starting with a letter, at most 63"
            )
        return self.seeds / dataset

    def spec(self, dataset: str) -> DatasetSpec:
        """Read the data set's dataset.yaml; SpecError says what is wrong or which data sets there are."""
        folder = self.seed_folder(dataset)
        if not (folder / "dataset.yaml").exists():
            known = ", ".join(self.datasets()) or "none"
            raise SpecError(
                f"{folder / 'dataset.yaml'}: there is no data set '{dataset}' (known: {known}); "
                f"`synth init {dataset} FILE…` writes one"
            )
        return load_spec(folder / "dataset.yaml")

    def datasets(self) -> list[str]:
        """Return the names of all folders with a dataset.yaml, in order."""
        found = (path.parent.name for path in self.seeds.glob("*/dataset.yaml"))
        return sorted(name for name in found if DATASET_NAME.match(name))


def find_project(start: Path | None = None) -> Project:
    """Return the project around a folder: SYNTH_PROJECT, else the first parent with dagster.yaml and data/seeds, else
    the checkout this package lies in. SpecError if there is none.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Project(Path(named).resolve())
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "dagster.yaml").exists() and (folder / "data" / "seeds").is_dir():
            return Project(folder)
    raise SpecError(
        f"{here}: no project here or above (a folder with dagster.yaml and data/seeds); go to your checkout or set "
        f"{ROOT_VARIABLE} to it"
    )
