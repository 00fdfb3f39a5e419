"""Review: which examples people look at, their decisions, and what the decisions certify.

Here: sampling plans, the decision store, acceptance statistics. Not here: automatic filters (discriminators/).
"""
