"""Provenance: where every example came from, what may be released, and how a bad one is called back.

Here: lineage, licenses, trace, quarantine, the method card and the release itself. Not here: how rows were chosen.
"""
