"""Learned quality: perplexity under real text, realism, importance weights.

Here: discriminators and weights that are fitted on the train split, on earlier candidates and on review decisions. Not
here: fixed rules (discriminators/rules.py), the label model (discriminators/labels.py), what filtering did to a corpus
(monitoring/filtering.py).
"""
