"""Verification by execution: a solution is run with its tests, and so are wrong variants of it, in a sandbox.

Here: the sandbox and the filter of system calls, the program that works inside it, mutants, solutions that know their
tests, and the discriminator. Not here: answers that are worked out instead of run (arithmetic).
"""
