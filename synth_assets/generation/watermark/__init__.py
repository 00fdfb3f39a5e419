"""Keyed, opt-in marks in what is generated, and the tests that find them again.

Here: the key, the mark of language models (green list) and of embedded engines (rows), detection. Not here: which
data sets are marked (spec.WatermarkSpec), starting vLLM (vllm/settings.py), what a release tells of it (provenance/).
"""
