"""vLLM on this machine: the in-process engine, its settings, and vLLM's own server as a child process.

Here: everything that starts vLLM. Not here: asking a server that runs (server/).
"""
