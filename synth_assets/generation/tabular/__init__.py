"""The embedded engine for tables: class-wise copulas with real marginals.

Here: the model of a table, column by column. Not here: the embedded engine for text (text/).
"""
