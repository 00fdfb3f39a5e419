"""Discriminators: one file each, one protocol, one cascade; every verdict is kept with its evidence.

Here: what decides whether a candidate may join. Not here: human decisions (review/), corpus statistics (monitoring/).
"""
