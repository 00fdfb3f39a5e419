"""Taking a data set through its rounds: which job comes next, until there is a release or people must decide.

Here: the order of jobs for one data set. Not here: executing them (runs.py), what they do (defs/).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from rich.console import Console

from synth_assets.cli.recalling import rebuild
from synth_assets.cli.runs import JobRunner
from synth_assets.errors import SynthError
from synth_assets.project import Project
from synth_assets.provenance.recalled import read_recalled
from synth_assets.provenance.release import find_release, list_releases
from synth_assets.review.decisions import DecisionStore
from synth_assets.seeds.reading import fingerprint, were_read
from synth_assets.store import ROWS, Lake, digest_tables, round_index, round_name


@dataclass
class RoundRunner:
    """Runs what is due for one data set. `automated`: a model decides the reviews of this run."""

    project: Project
    dataset: str
    jobs: JobRunner
    automated: bool
    rounds: int

    @property
    def lake(self) -> Lake:
        return self.project.lake

    @property
    def console(self) -> Console:
        return self.jobs.console

    def run(self) -> bool:
        """Run until all rounds are closed (True) or a review waits for people (False).

        SynthError at the end where a closed round's release is still refused.
        """
        self.prepare_seeds()
        self.finish_recalls()
        refused = self.release_closed()
        while (round_ := self.due_round()) is not None:
            if not self.run_round(round_):
                return False
        self.tell_change()
        if refused:
            raise SynthError("; ".join(refused))
        return True

    def tell_change(self) -> None:
        """Say so where the last round was planned under another dataset.yaml than today's."""
        last = self.lake.rounds("round_close", self.dataset)[-1]
        planned = self.lake.read("plan", self.dataset, last, "settings")["spec_digest"].item()
        if planned != self.project.spec(self.dataset).digest:
            self.console.print(
                f"dataset.yaml has changed since {last} was planned, which stays as it was made. A new round takes the "
                f"change (synth run {self.dataset} --rounds {round_index(last) + 2}), with rows as far as earlier ones "
                "left room or were recalled",
                style="yellow",
            )

    def prepare_seeds(self) -> None:
        spec, folder = self.project.spec(self.dataset), self.project.seed_folder(self.dataset)
        self.jobs.instance.add_dynamic_partitions("dataset", [self.dataset])
        if were_read(self.lake, self.dataset, fingerprint(spec, folder)):
            self.console.print("seeds unchanged since they were read", style="dim")
            return
        self.jobs.run("seeds", self.dataset)

    def finish_recalls(self) -> None:
        """Bring new recalls into the lake, and replace the newest release if they touch it and anything is left."""
        snapshot, active = self.lake.current("quarantine", self.dataset), self.recalls_in_force()
        if snapshot is not None and snapshot.digest != digest_tables({ROWS: active}):
            self.jobs.run("recall", self.dataset)
        if self.latest_is_recalled():
            latest = find_release(self.project.releases, self.dataset)
            try:
                rebuild(self.jobs, self.dataset, latest.manifest["round"])
            except SynthError as error:
                self.console.print(f"{latest.version} is recalled and cannot be replaced yet: {error}", style="yellow")

    def recalls_in_force(self) -> pl.DataFrame:
        return DecisionStore(self.project.ops_url).quarantined(self.dataset)

    def latest_is_recalled(self) -> bool:
        releases = self.project.releases
        if not list_releases(releases, self.dataset):
            return False
        return find_release(releases, self.dataset).version in read_recalled(releases, self.dataset)

    def release_closed(self) -> list[str]:
        """Release the accepted rounds that a run was stopped before it released; return why others are refused."""
        refused = []
        for round_ in self.lake.rounds("round_close", self.dataset):
            accepted = self.lake.read("round_close", self.dataset, round_)["decision"].item() == "accept"
            if accepted and self.lake.current("release", self.dataset, round_) is None:
                try:
                    self.jobs.run("release", f"{self.dataset}|{round_}")
                except SynthError as error:
                    refused.append(str(error))
                self.jobs.run("trends", self.dataset)
        return refused

    def due_round(self) -> str | None:
        """Return the round that is open; else the next one, while rounds remain or where the seeds have changed or
        nothing is left of the newest release; else None.
        """
        closed = self.lake.rounds("round_close", self.dataset)
        begun = [name for name in self.lake.rounds("plan", self.dataset) if name not in closed]
        if begun:
            return begun[0]
        following = round_name(round_index(closed[-1]) + 1) if closed else round_name(0)
        if round_index(following) < self.rounds:
            return following
        planned = self.lake.read("plan", self.dataset, closed[-1], "settings")["seeds_digest"].item()
        changed = self.lake.require("seeds", self.dataset).digest != planned
        return following if changed or self.latest_is_recalled() else None

    def run_round(self, round_: str) -> bool:
        """Run one round to its release; False if its review waits for people."""
        partition = f"{self.dataset}|{round_}"
        self.jobs.instance.add_dynamic_partitions("round", [round_])
        if not self.is_generated(round_):
            self.jobs.run("round", partition, {"ops": {"plan": {"config": {"rounds": self.rounds}}}})
        return self.conclude(round_)

    def conclude(self, round_: str) -> bool:
        """Take a generated round through outcome, corpus, reports and release; False while its review is open."""
        partition = f"{self.dataset}|{round_}"
        automated = self.automated or self.project.spec(self.dataset).review.mode == "auto"
        self.jobs.run("review", partition, {"ops": {"review_outcome": {"config": {"automated": automated}}}})
        closed = self.lake.current("round_close", self.dataset, round_)
        if closed is None:
            return False
        if closed.read()["decision"].item() == "accept":
            self.jobs.run("release", partition)
        else:
            self.console.print(f"{round_} was rejected by its review: its rows join no corpus", style="yellow")
        self.jobs.run("trends", self.dataset)
        return True

    def is_generated(self, round_: str) -> bool:
        """Whether the round's sample was drawn from its present filtered rows, made under its present plan."""
        found = {name: self.lake.current(name, self.dataset, round_) for name in ("plan", "filtered", "review_sample")}
        candidates = self.lake.current("candidates", self.dataset, round_)
        if any(version is None for version in found.values()) or candidates is None:
            return False
        plan, filtered, sample = found["plan"], found["filtered"], found["review_sample"]
        assert plan and filtered and sample
        return (
            plan.read("settings")["spec_digest"].item() == self.project.spec(self.dataset).digest
            and candidates.meta["plan_digest"] == plan.digest
            and filtered.meta["candidates_digest"] == candidates.digest
            and sample.meta["filtered_digest"] == filtered.digest
        )
