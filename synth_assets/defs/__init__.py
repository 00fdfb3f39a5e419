"""The Dagster shell: assets, checks, jobs, sensors, schedules and resources, in files by pipeline stage.

Here: bodies that read inputs, call one function of a stage, attach metadata and return. Not here: any logic of a stage.
"""
