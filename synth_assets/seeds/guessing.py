"""Guessing a dataset.yaml from files: what is certain is written down, what is not is marked `# CHECK`.

Here: names, rights columns and the YAML text. Not here: sampling (sniffing.py), types (profiling.py), roles (roles.py).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml

from synth_assets.errors import SeedError
from synth_assets.records import RESERVED_NAMES
from synth_assets.seeds.profiling import Profile, profile_column
from synth_assets.seeds.roles import Guess, assign_roles, find_labels
from synth_assets.seeds.sniffing import Sample, sample_files
from synth_assets.spec import DATASET_NAME, UNKNOWN_LICENSE, ConsentBasis, check_license

_MAX_FIELDS = 1_000
_MAX_STRATA = 200
_MIN_STRATUM_ROWS = 10
_COMMON_SHARE = 0.99


def guess_dataset(name: str, files: Sequence[Path], *, license: str | None = None) -> str:
    """Return the text of a commented dataset.yaml for the files, which load_spec takes as it is.

    What the files cannot tell is written with the most conservative value and marked `# CHECK`. SeedError where the
    name, the license or a file is unusable.
    """
    if not DATASET_NAME.match(name):
        raise SeedError(f"'{name}' is no data set name; allowed are a–z, 0–9 and _, starting with a letter, at most 63")
    if license is not None:
        _require_license(license)
    sample = sample_files(files)
    notes = list(sample.notes)
    profiles: list[Profile] = []
    for source, values in sample.columns.items():
        profile = profile_column(source, values, textual=sample.textual, dialect=sample.dialect)
        if profile is None:
            notes.append(f"left out: '{source}' is empty in every row, or holds what no type of field takes")
        else:
            profiles.append(profile)
    rights, profiles = _take_rights(profiles, sample.textual)
    if not profiles:
        raise SeedError(f"{files[0]}: no column with usable values; {'; '.join(notes)}")
    guesses = assign_roles(_name_fields(profiles))
    if len(guesses) > _MAX_FIELDS:
        notes.append(f"left out: {len(guesses) - _MAX_FIELDS} columns past the first {_MAX_FIELDS}")
        guesses = sorted(guesses, key=lambda guess: guess.role != "target")[:_MAX_FIELDS]
    return _write_yaml(name, files, sample, guesses, rights, license, notes)


def _require_license(expression: str) -> None:
    try:
        check_license(expression)
    except ValueError as error:
        raise SeedError(
            f"license '{expression}' is no SPDX expression; write one such as CC-BY-4.0, MIT or LicenseRef-<your-terms>"
        ) from error


# ---- rights that stand in columns


def _take_rights(profiles: list[Profile], textual: bool) -> tuple[dict[str, str], list[Profile]]:
    """Return the columns that hold license, consent and privacy row by row, and the profiles that remain."""
    bases = {*get_args(ConsentBasis), "withdrawn", "refused", "none"}
    rights: dict[str, str] = {}
    for profile in profiles:
        column, values = profile.source.lower(), profile.counts
        if column in ("license", "licence") and len(values) <= 20 and all(map(_is_license, values)):
            rights.setdefault("license_field", profile.source)
        elif column in ("consent", "consent_basis") and {value.lower() for value in values} <= bases:
            rights.setdefault("consent_field", profile.source)
        elif column in ("is_private", "private") and (profile.type == "boolean" or (textual and _is_flag(profile))):
            rights.setdefault("private_field", profile.source)
    return rights, [profile for profile in profiles if profile.source not in rights.values()]


def _is_license(expression: str) -> bool:
    try:
        _require_license(expression)
    except SeedError:
        return False
    return True


def _is_flag(profile: Profile) -> bool:
    return {value.lower() for value in profile.counts} <= {"yes", "no", "y", "n", "0", "1", "t", "f"}


# ---- names


def _name_fields(profiles: Iterable[Profile]) -> list[Guess]:
    """Return the fields with names that are identifiers, none of them the platform's, no two equal in any case."""
    guesses: list[Guess] = []
    taken = {reserved.lower() for reserved in RESERVED_NAMES}
    for position, profile in enumerate(profiles, start=1):
        name = make_identifier(profile.source, position)
        name = f"{name[:57]}_value" if name.lower() in taken & RESERVED_NAMES else name
        base, again = name, 1
        while name.lower() in taken:
            again += 1
            name = f"{base[:58]}_{again}"
        taken.add(name.lower())
        guesses.append(Guess(profile, name))
    return guesses


def make_identifier(source: str, position: int) -> str:
    """Return a column name made of letters, digits and _: `Größe (cm)` → Grosse_cm, `2nd` → field_2nd."""
    folded = unicodedata.normalize("NFKD", source.replace("ß", "ss")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_]+", "_", folded).strip("_")
    if not name:
        return f"field_{position}"
    return (name if not name[0].isdigit() else f"field_{name}")[:63]


# ---- the file


def _write_yaml(
    name: str,
    files: Sequence[Path],
    sample: Sample,
    guesses: Sequence[Guess],
    rights: dict[str, str],
    license_: str | None,
    notes: Sequence[str],
) -> str:
    listed = ", ".join(path.name for path in files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
    lines = [
        f"# Guessed from {_comment(listed)} ({sample.height:,} rows looked at). Before you use this, read every line",
        "# marked CHECK: whether license and legal basis hold, what each field is for, which fields are protected.",
        "# Until license and consent basis are known, no row is ever released.",
        *(f"# CHECK: {_comment(note)}" for note in notes),
        f"name: {name}",
        'description: ""  # CHECK: one sentence about the examples, for the method card',
        "source:",
        'title: ""  # CHECK: name of the collection',
        'url: ""  # CHECK: where it was obtained',
        *_write_rights(rights, license_),
        'contact: ""  # CHECK: who answers questions about this data',
        "jurisdiction: []  # CHECK: where the law applies, e.g. [EU, US-CA]",
        *_write_dialect(sample, files),
    ]
    start = lines.index("source:") + 1
    lines[start:] = [f"  {line}" for line in lines[start:]]
    lines.append("fields:  # CHECK: names, types and roles; text is taken to be English (language: en)")
    for guess in guesses:
        lines.extend(_write_field(guess))
    lines.extend(_write_strata(guesses))
    return "\n".join(lines) + "\n"


def _write_rights(rights: dict[str, str], license_: str | None) -> list[str]:
    lines = [f"license: {_scalar(license_ or UNKNOWN_LICENSE)}"]
    if license_ is None:
        lines[0] += "  # CHECK: SPDX expression, e.g. CC-BY-4.0; an unknown license is never released"
    lines.extend(f"{key}: {_scalar(rights[key])}" for key in ("license_field", "private_field") if key in rights)
    lines += ["consent:", "  basis: unknown  # CHECK: legal basis, e.g. consent, contract, public_domain, not_personal"]
    if "consent_field" in rights:
        lines.append(f"  field: {_scalar(rights['consent_field'])}")
    return lines


def _write_dialect(sample: Sample, files: Sequence[Path]) -> list[str]:
    dialect = sample.dialect
    if not sample.textual:
        return []
    lines: list[str] = []
    if not dialect.header:
        lines.append("  header: false")
        lines.append(f"  columns: {_scalar(list(dialect.columns))}  # CHECK: there is no header line; name the columns")
    by_name = dialect.delimiter == "\t" and all(".tsv" in path.name.lower() for path in files)
    if dialect.delimiter != "," and not by_name:
        lines.append(f"  delimiter: {_scalar(dialect.delimiter)}")
    if set(dialect.null_values) != {""}:
        lines.append(f"  null_values: {_scalar(list(dialect.null_values))}  # CHECK: do all of these mean 'missing'?")
    return ["csv:", *lines] if lines else []


def _write_field(guess: Guess) -> list[str]:
    profile = guess.profile
    checks = [*guess.checks, *([profile.mixed] if profile.mixed else [])]
    note = f"  # CHECK: {_comment('; '.join(checks))}" if checks else ""
    lines = [f"  - name: {_scalar(guess.name)}{note}"]
    if guess.name != profile.source:
        lines.append(f"    source: {_scalar(profile.source)}")
    lines.append(f"    type: {profile.type}")
    lines.append(f"    role: {guess.role}")
    if profile.missing:
        lines.append(
            f"    nullable: true  # missing in {profile.missing:,} of {profile.missing + profile.count:,} rows"
        )
    if profile.smallest is not None and profile.smallest >= 0 and guess.role != "id":
        lines.append("    minimum: 0")
    if profile.decimals is not None:
        lines.append(f"    decimals: {profile.decimals}")
    if profile.type in ("text", "code", "messages"):
        lines.append(f"    max_length: {_round_up(profile.longest)}  # the longest has {profile.longest:,} characters")
    return lines


def _round_up(longest: int) -> int:
    """Return about twice the length, as 1, 2 or 5 times a power of ten, from 200 to 1,000,000."""
    wanted = max(200, 2 * longest)
    scale = 10 ** math.floor(math.log10(wanted))
    return min(1_000_000, next(step * scale for step in (1, 2, 5, 10) if step * scale >= wanted))


def _write_strata(guesses: Sequence[Guess]) -> list[str]:
    target = [guess for guess in guesses if guess.role == "target"]
    groups = [guess for guess in target or () if guess.profile.type in ("category", "boolean")]
    groups += [guess for guess in find_labels(guesses) if guess.role == "context" and guess.profile.type == "category"]
    if not groups:
        return [
            "strata:",
            "  by: []  # CHECK: a category field, where groups are to be planned and reported one by one",
        ]
    group = groups[0]
    counts = sorted(group.profile.counts.values(), reverse=True)
    covered, common = 0, 0
    while covered < _COMMON_SHARE * group.profile.count:
        covered += counts[common]
        common += 1
    rarest = counts[common - 1]
    if len(counts) > _MAX_STRATA or rarest < _MIN_STRATUM_ROWS:
        why = f"{len(counts):,} values, the rarest common one in {rarest:,} rows: too thin to plan one by one"
        return ["strata:", f"  by: []  # {group.name} has {why}"]
    return ["strata:", f"  by: [{_scalar(group.name)}]  # {len(counts)} values, the rarest in {counts[-1]:,} rows"]


def _scalar(value: Any) -> str:
    """Return a text or a list of texts as YAML that stands on one line."""
    written = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=math.inf)
    return written.strip()[1:-1]


def _comment(text: str) -> str:
    """Return a text that cannot end a comment: no line breaks, nothing unprintable."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)[:400]
