"""Discriminators of your own: any installed package can bring one, by an entry point.

Here: finding and building what quality.discriminators names. Not here: the protocol that they keep (protocol.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points

import polars as pl

from synth_assets.discriminators.protocol import Discriminator
from synth_assets.errors import SpecError
from synth_assets.spec import DatasetSpec

GROUP = "synth_assets.discriminators"


def build_custom(spec: DatasetSpec, train: pl.DataFrame) -> list[Discriminator]:
    """Return the discriminators that the spec names, in its order, each built by its entry point.

    An entry point of the group `synth_assets.discriminators` is a callable of the spec and the training rows that
    returns a Discriminator. SpecError names what is not installed, what failed to load, and what is no discriminator.
    """
    return [_build(name, spec, train) for name in spec.quality.discriminators]


def _build(name: str, spec: DatasetSpec, train: pl.DataFrame) -> Discriminator:
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = sorted(point.name for point in entry_points(group=GROUP))
        raise SpecError(
            f"quality.discriminators: no installed package brings '{name}' as an entry point of {GROUP}; "
            f"there are: {', '.join(known) or 'none'}"
        )
    try:
        made = next(iter(found)).load()(spec, train)
    except Exception as error:  # other people's code, which may raise anything
        raise SpecError(f"quality.discriminators: '{name}' could not be built: {error!r}") from error
    missing = _missing(made)
    if missing:
        raise SpecError(
            f"quality.discriminators: what '{name}' built is no discriminator: {', '.join(missing)} is missing "
            "(see discriminators/protocol.py)"
        )
    return made


def _missing(made: object) -> Sequence[str]:
    words = [word for word in ("name", "version") if not isinstance(getattr(made, word, None), str)]
    return words if callable(getattr(made, "judge", None)) else [*words, "judge"]
