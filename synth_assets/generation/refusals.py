"""Refusals and boilerplate that language models write instead of an example.

Here: the pattern, shared by repair (language/engine.py) and the text rules. Not here: what is done about it.
"""

from __future__ import annotations

REFUSAL = (
    r"(?i)\bas an ai( language)? model\b|\bi('m| am) (sorry|unable),? (but )?(i )?(can('|no)t|am unable|as an)"
    r"|\bi can('|no)t (assist|help) with (that|this)\b|\blorem ipsum\b|\[(insert|your|name|placeholder)[^\]]*\]|<unk>"
)
