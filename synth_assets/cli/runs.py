"""Running Dagster jobs from the command line on the project's own instance, with live progress.

Here: instance, job execution, progress. Not here: which job follows which (rounds.py).
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from synth_assets.errors import SynthError
from synth_assets.generation.waves import read_progress
from synth_assets.project import ROOT_VARIABLE, Project

if TYPE_CHECKING:
    import dagster as dg

_POLL_SECONDS = 0.2
_OURS = {kind.__name__ for kind in SynthError.__subclasses__()}  # written to be read: their causes are not shown


def enter_project(project: Project) -> None:
    """Make the project root the working directory and the Dagster home, for this process and its children."""
    os.chdir(project.root)
    os.environ[ROOT_VARIABLE] = str(project.root)
    os.environ["DAGSTER_HOME"] = str(project.root)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")


def open_instance(project: Project) -> dg.DagsterInstance:
    """Return the project's instance: the one `synth ui` shows."""
    enter_project(project)
    import dagster

    return dagster.DagsterInstance.get()


@dataclass
class JobRunner:
    """Executes jobs of the definitions and shows a bar: one tick an asset."""

    project: Project
    instance: dg.DagsterInstance
    console: Console

    def run(self, job: str, partition: str, config: dict[str, Any] | None = None) -> str:
        """Run `<job>_job` for a partition; return the run id. SynthError with the failed step's message if it fails."""
        from synth_assets.definitions import defs

        definition = defs.resolve_job_def(f"{job}_job")
        run_id = str(uuid.uuid4())
        outcome: dict[str, Any] = {}

        # a review that waits for people leaves checks without a result, of which Dagster warns line by line
        logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.ERROR)

        def work() -> None:
            try:
                outcome["result"] = definition.execute_in_process(
                    instance=self.instance,
                    partition_key=partition,
                    run_id=run_id,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
                )
            except BaseException as error:  # handed to the caller's thread
                outcome["error"] = error

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._follow(thread, run_id, f"{job} {partition}", len(definition.graph.node_dict))
        if "error" in outcome:
            raise outcome["error"]
        if not outcome["result"].success:
            raise SynthError(self._explain(run_id, job, partition))
        return run_id

    def _follow(self, thread: threading.Thread, run_id: str, title: str, steps: int) -> None:
        import dagster as dg

        columns = (
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        cursor = None
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=steps, note="")
            wave = progress.add_task("  generating", total=None, note="", visible=False)
            while True:
                alive = thread.is_alive()
                page = (
                    self.instance.get_records_for_run(run_id, cursor=cursor) if self.instance.has_run(run_id) else None
                )
                for record in page.records if page else []:
                    entry = record.event_log_entry
                    kind = entry.dagster_event.event_type if entry.dagster_event else None
                    if kind == dg.DagsterEventType.STEP_START:
                        progress.update(task, note=entry.step_key or "")
                        progress.update(wave, visible=False)
                    elif kind in (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_SKIPPED):
                        progress.advance(task)
                    elif kind is None and entry.user_message and (counts := read_progress(entry.user_message)):
                        note = entry.user_message.partition(" requests, ")[2]
                        progress.update(wave, completed=counts[0], total=counts[1], note=note, visible=True)
                    elif kind is None and entry.user_message:
                        progress.update(task, note=entry.user_message[:70])
                        if int(entry.level) >= logging.WARNING and not entry.user_message.startswith(
                            "Dependencies for step"
                        ):
                            progress.console.print(f"  [yellow]{entry.user_message}[/yellow]", highlight=False)
                cursor = page.cursor if page else cursor
                if not alive:
                    progress.update(task, note="")
                    progress.update(wave, visible=False)
                    return
                time.sleep(_POLL_SECONDS)

    def _explain(self, run_id: str, job: str, partition: str) -> str:
        import dagster as dg

        messages = []
        failures = self.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        for record in failures:
            event = record.event_log_entry.dagster_event
            error = event.step_failure_data.error if event else None
            while error is not None and error.cause is not None and error.cls_name not in _OURS:
                error = error.cause
            if error is not None:
                text = error.message.strip().removeprefix("synth_assets.errors.")
                messages.append(f"{record.event_log_entry.step_key}: {text}")
        listed = "\n".join(messages) or "see the run in `synth ui`"
        return f"{job} of {partition} failed (run {run_id})\n{listed}"
