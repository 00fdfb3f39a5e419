"""Experiments on the user's own data: what a policy does to it over generations (collapse), what a share costs (mix).

Here: one module an experiment and what they run on. Not here: judging a corpus that exists (collapse, student).
"""
