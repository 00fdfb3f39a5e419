"""Where tests find real data that is not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
_SHARED = Path(os.environ.get("SYNTH_SHARED_DATA", PROJECT.parent / "shared" / "data"))
SHARED_DATA: Path | None = _SHARED if _SHARED.is_dir() else None
NO_SHARED_DATA = "real test data is not on this machine (set SYNTH_SHARED_DATA to a folder that holds it)"
