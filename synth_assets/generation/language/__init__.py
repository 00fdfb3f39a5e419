"""Records from a language model, whatever runs it: prompts, the record's schema, reading and repair, model files.

Here: what the engines of vllm/ and server/ share. Not here: running a model.
"""
