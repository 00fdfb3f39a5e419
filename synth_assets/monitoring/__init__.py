"""Monitoring: what a corpus is worth and what it endangers: shift, diversity, collapse, privacy, the student.

Here: measures against the real rows, each calibrated by real against real, and their plots. Not here: filtering.
"""
