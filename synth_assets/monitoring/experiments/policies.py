"""What the next generator is fitted on: the policies that the collapse experiment compares.

Here: replace, fixed shares of real, accumulate, accumulate with a fixed subsample, and this platform's own. Not here:
generators and measures (texts, tables), the loop over generations (collapse).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from synth_assets.monitoring.experiments.material import Material, Rows
from synth_assets.spec import MixSpec


@dataclass(frozen=True)
class Policy:
    """One policy.

    kind: `mix` = the newest generation with a share of real rows, `accumulate` = all real rows and all generations,
    `subsample` = as many rows of these as a generation has, `platform` = all generations and as many real rows as the
    share asks for. share: of real rows. fresh: whether these are drawn anew every generation. filtered: whether what
    is written must pass the discriminators.
    """

    name: str
    kind: Literal["mix", "accumulate", "subsample", "platform"]
    label: str
    share: float = 0.0
    fresh: bool = False
    filtered: bool = False


REPLACE = Policy("replace", "mix", "replace: newest generation only")
PLATFORM = "platform"
UNFILTERED = "accumulate_share"
"""The platform's policy without its discriminators: what they add."""


def list_policies(mix: MixSpec) -> tuple[Policy, ...]:
    """Return the policies to compare; the platform's own takes its share from the data set's mix."""
    real = 1 - mix.share
    shares = sorted({0.1, 0.2, 0.3, 0.4, round(real, 4)})
    return (
        REPLACE,
        *(Policy(name_share(share), "mix", f"{share:.0%} real, the same rows", share) for share in shares),
        Policy(f"{name_share(real)}_fresh", "mix", f"{real:.0%} real, drawn anew", real, fresh=True),
        Policy("subsample", "subsample", "accumulate, fixed subsample"),
        Policy("accumulate", "accumulate", "accumulate, all real rows"),
        Policy(UNFILTERED, "platform", f"accumulate at {real:.0%} real", real),
        Policy(PLATFORM, "platform", "platform: that, discriminators", real, filtered=True),
    )


def name_share(share: float) -> str:
    """Return the name of the policy with a fixed share of real rows, such as real_30."""
    return f"real_{share * 100:.4g}"


def count_written(policy: Policy, mix: MixSpec, real: int, size: int, generations: int) -> int:
    """Return how many rows a generation adds to the corpus: of the platform, its part of what the mix can hold."""
    return size if policy.kind != "platform" else max(min(mix.capacity(real) // generations, size), 1)


def choose_rows(
    policy: Policy,
    material: Material[Rows],
    written: Sequence[Rows],
    size: int,
    order: np.ndarray,
    rng: np.random.Generator,
) -> Rows:
    """Return what the next generator is fitted on, after the generations `written`, the oldest first.

    size: rows of a mixed or subsampled corpus. order: the real rows by place; those of a policy that is not fresh are
    the first ones, the same every generation, and more of them as a corpus grows.
    """
    if policy.kind in ("accumulate", "subsample"):
        pool = material.join([material.real, *written])
        if policy.kind == "accumulate":
            return pool
        return material.take(pool, rng.permutation(material.count(pool))[:size])
    if policy.kind == "platform":
        made = material.join(written)
        real = round(material.count(made) * policy.share / (1 - policy.share))
    else:
        real = round(size * policy.share)
        made = material.take(written[-1], np.arange(min(size - real, material.count(written[-1]))))
    chosen = rng.permutation(order) if policy.fresh else order
    return material.join([material.take(material.real, chosen[:real]), made])
