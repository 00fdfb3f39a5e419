"""What all sections of dataset.yaml have in common: no unknown settings, no changes once read.

Here: their base class. Not here: any setting.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
