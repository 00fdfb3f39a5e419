"""Detectors of personal data: one file a kind, each with its patterns, its triggers and the entity types it finds.

Here: what is searched in one text. Not here: columns of texts, overlaps between kinds, what is covered (../pii.py).
"""
