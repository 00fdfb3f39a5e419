"""The engine of OpenAI-compatible servers: one or many, checked, kept busy, retried and failed over.

Here: everything that speaks HTTP to a model. Not here: starting a server (vllm/serving.py).
"""
