"""The `synth` command; also `python -m synth_assets.cli`.

Here: parsing arguments, running jobs on the project's Dagster instance, printing. Not here: any logic of a stage.
"""

from synth_assets.cli.app import main

__all__ = ["main"]
