"""Mixing: choosing the real and synthetic rows of a corpus within the share the spec promises.

Here: selection, weights and the mix gate. Not here: what a release adds to a corpus (provenance/).
"""
