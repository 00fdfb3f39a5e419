"""The one exception family of the package: errors written for the person who reads them.

Here: what a user can get wrong or a machine can refuse. Not here: programming errors, which stay ordinary exceptions.
"""

from __future__ import annotations


class SynthError(Exception):
    """Something the user can act on. The message says what was wrong, where, and what to do."""


class SpecError(SynthError):
    """A dataset.yaml (or generators.yaml) that cannot be used; names file, field, value and what is allowed."""


class SeedError(SynthError):
    """Seed files that cannot be read, or too little usable data in them."""


class EngineError(SynthError):
    """A generation engine that cannot start, cannot take a request, or died."""


class SandboxError(SynthError):
    """No sandbox can be had in which model-written code may run."""


class GateError(SynthError):
    """A gate (mix, sealed, license, review …) refused to let data pass."""


class StoreError(SynthError):
    """The lake, a release folder or ops.db cannot be read or written."""
