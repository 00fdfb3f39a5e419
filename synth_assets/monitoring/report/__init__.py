"""The report that people read: one HTML page a data set and round, and an index over the rounds.

page.py gathers what it tells from the lake, render.py writes it, glossary.py says what each measure means; templates/
holds the page and its style. Not here: measuring (shift, collapse, privacy, student) and drawing (plots).
"""
