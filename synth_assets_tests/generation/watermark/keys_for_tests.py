"""Keys that the watermark's tests share, derived once: stretching a key takes a tenth of a second.

Here: a key that marks and one that does not. Not here: tests.
"""

from __future__ import annotations

from synth_assets.generation.watermark.keys import Key

SECRET = "a key that only these tests know"
KEY = Key.from_text(SECRET)
OTHER_KEY = Key.from_text("another key of the same length..")
