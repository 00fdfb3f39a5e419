"""The liability audit: what each real row may be used for, and why.

Here: license, consent, privacy and personal data → releasable, synthesis_only or excluded, the strictest of all. Not
here: finding personal data (pii.py), reading rights from files (rights.py), the terms of generators and the license of
a release (provenance/licenses.py). Not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

import polars as pl

from synth_assets.records import EXCLUDED, RELEASABLE, SYNTHESIS_ONLY, messages_text
from synth_assets.seeds.detectors.spans import ACTIONABLE_SCORE
from synth_assets.seeds.pii import COVERED, NOT_COVERED, find_pii
from synth_assets.spec import UNKNOWN_LICENSE, ConsentBasis, DatasetSpec, spdx_licensing

_FINDING = {"entity": pl.String, "field": pl.String, "start": pl.Int64, "end": pl.Int64, "score": pl.Float64}
PII = pl.List(pl.Struct(_FINDING))
_CODES = pl.List(pl.String)
REPORT = {
    "kind": pl.String,
    "name": pl.String,
    "rows": pl.Int64,
    "share": pl.Float64,
    "disposition": pl.String,
    "note": pl.String,
}

_DISPOSITIONS = (RELEASABLE, SYNTHESIS_ONLY, EXCLUDED)
_PII_DISPOSITIONS = {"allow": RELEASABLE, "synthesis_only": SYNTHESIS_ONLY, "exclude": EXCLUDED}
_SEARCHED_TYPES = frozenset({"text", "category", "code", "messages"})
_UNKNOWN_CONSENT = "unknown"
_BASES = frozenset(get_args(ConsentBasis))
_LONGEST_LICENSE = 1_000

# Terms under which a derived set may be passed on, some with duties (attribution, share-alike, no commercial use) that
# the release's own license check states or applies. Whatever is not here blocks: CC-BY-ND forbids derivatives, others
# forbid passing on, or nobody has read them for this purpose.
_OPEN_LICENSE = re.compile(
    r"CC0-1\.0|CC-PDDC|PDDL-1\.0|Unlicense|CC-BY(?:-NC)?(?:-SA)?-\d\.\d(?:-[A-Z]{2,3})?|"
    r"ODC-By-1\.0|ODbL-1\.0|CDLA-(?:Permissive-[12]|Sharing-1)\.0|"
    r"OGL-UK-[123]\.0|OGL-Canada-2\.0|etalab-2\.0|DL-DE-(?:BY|ZERO)-2\.0|NLOD-[12]\.0|"
    r"MIT|MIT-0|ISC|0BSD|PSF-2\.0|Python-2\.0|BSD-[123]-Clause|Apache-(?:1\.1|2\.0)|BSL-1\.0|Zlib|MPL-2\.0|EPL-[12]\.0|EUPL-1\.[12]|"
    r"(?:A|L)?GPL-[123]\.\d-(?:only|or-later)|GFDL-1\.[123](?:-no-invariants)?-(?:only|or-later)"
)
_OWN_TERMS = "licenseref-"
_CLOSED_WORDS = frozenset({"unknown", "proprietary", "internal", "confidential", "restricted"})


@dataclass(frozen=True)
class Audit:
    """What the rows of one data set may be used for.

    rows: example_id, disposition (releasable | synthesis_only | excluded), reason ("" when clear; else sorted codes
    joined by "; ": consent:withdrawn, consent:unknown, consent:unrecognized, license:unknown, license:<id>, private,
    pii:<entity>), license, consent, pii (List[Struct{entity, field, start, end, score}], never the text itself;
    start and end count characters of the field, or of the contents of a messages field joined by line feeds). One row
    an input row, in its order.

    report: kind (total | license | consent | private | pii | not_covered), name, rows (Int64), share (Float64, of all
    rows), disposition, note; rows, share and disposition are null for what was not looked for.
    """

    rows: pl.DataFrame
    report: pl.DataFrame


class _Verdict(NamedTuple):
    """What one value of a right means: the value in its standard form, strictness (0 to 2), and reason codes."""

    value: str
    strictness: int
    reasons: list[str]


def audit_liabilities(rows: pl.DataFrame, spec: DatasetSpec) -> Audit:
    """Return the disposition of every raw row (record columns, example_id, license, consent, is_private).

    A license that is unknown, invalid or not known to allow passing on derived data makes a row synthesis_only, and so
    do an unknown or unrecognized consent basis and is_private. Withdrawn consent excludes it. Personal data with a
    score of 0.5 or more does what spec.liabilities.pii says, unless its entity type is in allow_entities.

    {text: "I am Jo Berg", license: "CC-BY-ND-4.0", consent: "withdrawn"} → excluded,
    "consent:withdrawn; license:CC-BY-ND-4.0; pii:PERSON"
    """
    source = spec.source
    own_terms = frozenset(source.license.lower().replace("(", " ").replace(")", " ").split())
    withdrawn = frozenset(map(_as_word, source.consent.withdrawn_values))
    licenses = _fill(rows["license"], source.license, by_row=source.license_field is not None)
    consents = _fill(rows["consent"], source.consent.basis, by_row=source.consent.field is not None)

    judged = pl.concat(
        [
            rows.select("example_id", private=pl.col("is_private").fill_null(True)).with_row_index("row"),
            _judge_column(licenses, "license", lambda text: _judge_license(text, own_terms)),
            _judge_column(consents, "consent", lambda text: _judge_consent(text, withdrawn)),
        ],
        how="horizontal",
    )
    found = _search_fields(rows, spec)
    judged = judged.join(_judge_findings(found, spec), on="row", how="left", maintain_order="left").with_columns(
        private_strictness=pl.when("private").then(1).otherwise(0),
        private_reasons=pl.when("private").then(pl.lit(["private"])).otherwise(pl.lit([], dtype=_CODES)),
    )
    kinds = ("license", "consent", "private", "pii")
    strictness = pl.max_horizontal(pl.col(f"{kind}_strictness").fill_null(0) for kind in kinds).cast(pl.Int8)
    reasons = pl.concat_list(pl.col(f"{kind}_reasons").fill_null(pl.lit([], dtype=_CODES)) for kind in kinds)
    judged = judged.with_columns(
        disposition=strictness.replace_strict(dict(enumerate(_DISPOSITIONS)), return_dtype=pl.String),
        reason=reasons.list.sort().list.join("; "),
        pii=pl.col("pii").fill_null(pl.lit([], dtype=PII)),
    )
    audited = judged.select("example_id", "disposition", "reason", "license", "consent", "pii")
    return Audit(audited, _report(judged, found, spec))


def _fill(column: pl.Series, default: str, *, by_row: bool) -> pl.Series:
    """Return the column with the set's own value where it is blank; blank stays blank where rights go by row."""
    column = column.cast(pl.String)
    return column if by_row else column.replace("", None).fill_null(default)


def _judge_column(column: pl.Series, name: str, judge: Callable[[str | None], _Verdict]) -> pl.DataFrame:
    """Return the column in its standard form, with <name>_strictness and <name>_reasons; each value is judged once."""
    values = column.unique()
    verdicts = [judge(value) for value in values]
    table = pl.DataFrame(
        {
            "raw": values,
            name: pl.Series([verdict.value for verdict in verdicts], dtype=pl.String),
            f"{name}_strictness": pl.Series([verdict.strictness for verdict in verdicts], dtype=pl.Int8),
            f"{name}_reasons": pl.Series([verdict.reasons for verdict in verdicts], dtype=_CODES),
        }
    )
    return (
        column.alias("raw")
        .to_frame()
        .join(table, on="raw", how="left", nulls_equal=True, maintain_order="left")
        .drop("raw")
    )


# ---- license


def _judge_license(text: str | None, own_terms: frozenset[str]) -> _Verdict:
    parsed = _parse_license((text or "").strip())
    if parsed is None:
        return _Verdict(UNKNOWN_LICENSE, 1, ["license:unknown"])
    blocking = _blocking_licenses(parsed, own_terms)
    reasons = {f"license:{'unknown' if key.lower() == UNKNOWN_LICENSE.lower() else key}" for key in blocking}
    return _Verdict(parsed.render(), 1 if blocking else 0, sorted(reasons))


def _parse_license(text: str) -> Any:
    """Return the SPDX expression as a tree, or None where it is empty, invalid or names a license SPDX does not."""
    from license_expression import ExpressionError

    if not text or len(text) > _LONGEST_LICENSE:
        return None
    try:
        parsed = spdx_licensing().parse(text)
        unknown = spdx_licensing().unknown_license_keys(parsed)
    except (ExpressionError, AttributeError, TypeError, ValueError, RecursionError):
        return None  # license-expression itself stumbles over some texts
    return None if any(not key.lower().startswith(_OWN_TERMS) for key in unknown) else parsed


def _blocking_licenses(parsed: Any, own_terms: frozenset[str]) -> set[str]:
    """Return the licenses that forbid release: of `A AND B` those of both, of `A OR B` none if one of them is open."""
    if isinstance(parsed, (spdx_licensing().AND, spdx_licensing().OR)):
        parts = [_blocking_licenses(part, own_terms) for part in parsed.args]
        if isinstance(parsed, spdx_licensing().OR) and not all(parts):
            return set()
        return set().union(*parts)
    key = getattr(parsed, "license_symbol", parsed).key
    return set() if _is_open(key, own_terms) else {key}


def _is_open(key: str, own_terms: frozenset[str]) -> bool:
    """Whether SPDX terms are on the list, or are the set's own LicenseRef- and not by name closed."""
    if not key.lower().startswith(_OWN_TERMS):
        return _OPEN_LICENSE.fullmatch(key) is not None
    return key.lower() in own_terms and not _CLOSED_WORDS & set(re.split(r"[-.]", key.lower()))


# ---- consent


def _judge_consent(text: str | None, withdrawn: frozenset[str]) -> _Verdict:
    word = _as_word(text or "")
    if word in withdrawn:
        return _Verdict(word, 2, ["consent:withdrawn"])
    if word in ("", _UNKNOWN_CONSENT):
        return _Verdict(_UNKNOWN_CONSENT, 1, ["consent:unknown"])
    if word not in _BASES:
        return _Verdict((text or "").strip(), 1, ["consent:unrecognized"])
    return _Verdict(word, 0, [])


def _as_word(text: str) -> str:
    """Return "Legitimate interests" as legitimate_interests."""
    return re.sub(r"[\s\-]+", "_", text.strip().lower())


# ---- personal data


def _search_fields(rows: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return the findings in all text of the record but ids: row, entity, field, start, end, score."""
    found = [pl.DataFrame(schema={"row": pl.UInt32, **_FINDING})]
    for field in spec.fields:
        if field.role == "id" or field.type not in _SEARCHED_TYPES:
            continue
        column = pl.col(field.name)
        texts = rows.select(messages_text(column) if field.type == "messages" else column).to_series()
        spans = find_pii(texts, language=field.language)
        found.append(spans.select("row", "entity", pl.lit(field.name).alias("field"), "start", "end", "score"))
    return pl.concat(found)


def _judge_findings(found: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return, for rows with findings: row, pii, pii_strictness, pii_reasons (null where nothing counts)."""
    strictness = _DISPOSITIONS.index(_PII_DISPOSITIONS[spec.liabilities.pii])
    counted = (
        found.filter(_counts(spec))
        .group_by("row")
        .agg(
            pii_strictness=pl.lit(strictness, dtype=pl.Int8),
            pii_reasons=pl.format("pii:{}", pl.col("entity").unique().sort()),
        )
    )
    pii = found.group_by("row", maintain_order=True).agg(pii=pl.struct(*_FINDING))
    return pii.join(counted, on="row", how="left")


def _counts(spec: DatasetSpec) -> pl.Expr:
    """Whether a finding is a reason to hold its row back."""
    if spec.liabilities.pii == "allow":
        return pl.lit(False)
    return (pl.col("score") >= ACTIONABLE_SCORE) & ~pl.col("entity").is_in(list(spec.liabilities.allow_entities))


# ---- report


def _report(judged: pl.DataFrame, found: pl.DataFrame, spec: DatasetSpec) -> pl.DataFrame:
    """Return the report of an Audit; `judged` holds one row a raw row, `found` one a finding."""
    height = judged.height
    counts = dict(judged.group_by("disposition").len().iter_rows())
    lines: list[tuple[str, str, int | None, str | None, str]] = [
        ("total", disposition, counts.get(disposition, 0), disposition, "") for disposition in _DISPOSITIONS
    ]
    lines += _rights_lines(judged, "license", "open: derived data may be passed on under its terms")
    lines += _rights_lines(judged, "consent", "a basis for use")
    private = judged.filter("private").height
    if private:
        lines.append(("private", "private", private, SYNTHESIS_ONLY, "may condition generators, is never released"))
    lines += _pii_lines(found, spec)
    lines += [("not_covered", name, None, None, "not looked for") for name in NOT_COVERED]
    return pl.DataFrame(
        [
            (kind, name, rows, None if rows is None else rows / max(height, 1), disposition, note)
            for kind, name, rows, disposition, note in lines
        ],
        schema=REPORT,
        orient="row",
    )


def _rights_lines(judged: pl.DataFrame, kind: str, clear: str) -> list[tuple[str, str, int, str, str]]:
    reasons, strictness = pl.col(f"{kind}_reasons"), pl.col(f"{kind}_strictness")
    table = judged.group_by(kind).agg(pl.len(), strictness.max(), reasons.first().list.join("; ")).sort(kind)
    return [
        (kind, value, rows, _DISPOSITIONS[strict], codes or clear) for value, rows, strict, codes in table.iter_rows()
    ]


def _pii_lines(found: pl.DataFrame, spec: DatasetSpec) -> list[tuple[str, str, int, str, str]]:
    """Return a line an entity type: the rows with a finding of 0.5 or more; the note counts rows with weaker ones."""
    best = found.group_by("entity", "row").agg(pl.col("score").max())
    strong = pl.col("score") >= ACTIONABLE_SCORE
    table = best.group_by("entity").agg(strong.sum().alias("rows"), (~strong).sum().alias("weak")).sort("entity")
    lines: list[tuple[str, str, int, str, str]] = []
    for entity, rows, weak in table.iter_rows():
        allowed = entity in spec.liabilities.allow_entities
        disposition = RELEASABLE if allowed else _PII_DISPOSITIONS[spec.liabilities.pii]
        note = f"{COVERED[entity]}{'; allowed by the spec' if disposition == RELEASABLE else ''}"
        if weak:
            note += f"; {weak:,} more rows with findings below {ACTIONABLE_SCORE}, not held against them"
        lines.append(("pii", entity, rows, disposition, note))
    return lines
