"""The embedded engine for text: spans of training rows recombined where their contexts agree. No GPU, no download.

Here: the engine (engine.py), the index of the training texts (corpus.py) and the walks over it (walks.py). Not here:
tables without free text (tabular/).
"""
