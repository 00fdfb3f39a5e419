"""Seeds: reading real examples, auditing what they may be used for, and splitting them.

Here: everything about real rows before anything is generated. Not here: generators, filters, Dagster.
"""
