"""The liability audit: each rule, the strictest wins, every reason is kept, and the report adds up."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.records import EXCLUDED, RELEASABLE, SYNTHESIS_ONLY
from synth_assets.seeds.liabilities import PII, Audit, audit_liabilities
from synth_assets.seeds.pii import NOT_COVERED
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import real_rows, text_spec

CLEAR = {"text": "when will my card arrive", "intent": "arrival"}
MAIL = {"text": "write to jo.berg@example.com", "intent": "arrival"}


def source(license_: str = "CC-BY-4.0", *, by_row: bool = False, **consent: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"license": license_, "consent": {"basis": "contract", **consent}}
    return {**settings, "license_field": "terms"} if by_row else settings


def audit_one(spec: DatasetSpec, row: dict[str, Any], **rights: Any) -> tuple[str, str]:
    rows = real_rows(spec, [row]).with_columns(pl.lit(value).alias(name) for name, value in rights.items())
    return audit_liabilities(rows, spec).rows.select("disposition", "reason").row(0)


def report_line(audit: Audit, kind: str, name: str) -> dict[str, Any]:
    return audit.report.row(by_predicate=(pl.col("kind") == kind) & (pl.col("name") == name), named=True)


def test_a_row_without_any_finding_is_releasable():
    assert audit_one(text_spec(source=source()), CLEAR) == (RELEASABLE, "")


# ---- license


@pytest.mark.parametrize(
    "license_",
    [
        *("CC0-1.0", "cc-by-4.0", "CC-BY-SA-3.0", "CC-BY-NC-4.0", "CC-BY-3.0-US", "MIT", "Apache-2.0", "ODbL-1.0"),
        *("CDLA-Permissive-2.0", "GPL-3.0-or-later", "MIT AND CC-BY-4.0", "CC-BY-ND-4.0 OR MIT"),
        *("GPL-2.0-only WITH Classpath-exception-2.0", "CC-BY-SA-3.0 AND GFDL-1.3-or-later"),
    ],
)
def test_open_licenses_are_releasable(license_):
    assert audit_one(text_spec(source=source(license_)), CLEAR) == (RELEASABLE, "")


@pytest.mark.parametrize(
    ("license_", "reason"),
    [
        ("CC-BY-ND-4.0", "license:CC-BY-ND-4.0"),
        ("CC-BY-NC-ND-3.0", "license:CC-BY-NC-ND-3.0"),
        ("MIT AND CC-BY-ND-4.0", "license:CC-BY-ND-4.0"),
        ("CC-BY-ND-4.0 OR CC-BY-ND-3.0", "license:CC-BY-ND-3.0; license:CC-BY-ND-4.0"),
        ("SSPL-1.0", "license:SSPL-1.0"),
        ("LicenseRef-unknown", "license:unknown"),
        ("MIT AND LicenseRef-unknown", "license:unknown"),
        ("LicenseRef-proprietary", "license:LicenseRef-proprietary"),
        ("LicenseRef-Acme-Confidential", "license:LicenseRef-Acme-Confidential"),
        ("LicenseRef-internal", "license:LicenseRef-internal"),
    ],
)
def test_licenses_that_forbid_release_make_rows_synthesis_only(license_, reason):
    assert audit_one(text_spec(source=source(license_)), CLEAR) == (SYNTHESIS_ONLY, reason)


@pytest.mark.parametrize(
    "license_", ["", None, "  ", "free for all", "foo", "MIT AND", "(MIT", "mit/apache", "x" * 9999]
)
def test_a_row_license_that_is_empty_or_invalid_is_unknown(license_):
    spec = text_spec(source=source(by_row=True))
    assert audit_one(spec, CLEAR, license=license_) == (SYNTHESIS_ONLY, "license:unknown")


def test_own_terms_count_only_where_the_set_declares_them():
    spec = text_spec(source=source("LicenseRef-acme-terms", by_row=True))
    assert audit_one(spec, CLEAR, license="LicenseRef-acme-terms") == (RELEASABLE, "")
    assert audit_one(spec, CLEAR, license="LicenseRef-other") == (SYNTHESIS_ONLY, "license:LicenseRef-other")


def test_rows_take_the_license_of_the_set_where_there_is_none_by_row():
    audit = audit_liabilities(
        real_rows(text_spec(source=source()), [CLEAR]).with_columns(license=pl.lit("")), text_spec(source=source())
    )
    assert audit.rows["license"].to_list() == ["CC-BY-4.0"]


# ---- consent and privacy


@pytest.mark.parametrize(
    ("consent", "verdict"),
    [
        ("consent", (RELEASABLE, "")),
        ("Legitimate interests", (RELEASABLE, "")),
        (" not-personal ", (RELEASABLE, "")),
        ("unknown", (SYNTHESIS_ONLY, "consent:unknown")),
        ("", (SYNTHESIS_ONLY, "consent:unknown")),
        (None, (SYNTHESIS_ONLY, "consent:unknown")),
        ("yes, I guess", (SYNTHESIS_ONLY, "consent:unrecognized")),
        ("withdrawn", (EXCLUDED, "consent:withdrawn")),
        ("REFUSED", (EXCLUDED, "consent:withdrawn")),
        ("none", (EXCLUDED, "consent:withdrawn")),
    ],
)
def test_consent_by_row(consent, verdict):
    assert audit_one(text_spec(source=source(field="opt_in")), CLEAR, consent=consent) == verdict


def test_the_spec_names_the_values_of_withdrawn_consent():
    spec = text_spec(source=source(field="opt_in", withdrawn_values=["opt out"]))
    assert audit_one(spec, CLEAR, consent="Opt-Out") == (EXCLUDED, "consent:withdrawn")
    assert audit_one(spec, CLEAR, consent="withdrawn") == (SYNTHESIS_ONLY, "consent:unrecognized")


def test_an_unknown_basis_of_the_whole_set_holds_every_row_back():
    assert audit_one(text_spec(source=source(basis="unknown")), CLEAR) == (SYNTHESIS_ONLY, "consent:unknown")


@pytest.mark.parametrize("private", [True, None])
def test_private_rows_are_synthesis_only(private):
    assert audit_one(text_spec(source=source()), CLEAR, is_private=private) == (SYNTHESIS_ONLY, "private")


# ---- personal data


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ("synthesis_only", (SYNTHESIS_ONLY, "pii:EMAIL_ADDRESS")),
        ("exclude", (EXCLUDED, "pii:EMAIL_ADDRESS")),
        ("allow", (RELEASABLE, "")),
    ],
)
def test_the_spec_decides_what_personal_data_means(policy, verdict):
    assert audit_one(text_spec(source=source(), liabilities={"pii": policy}), MAIL) == verdict


def test_allowed_entities_are_told_but_are_no_reason():
    spec = text_spec(source=source(), liabilities={"allow_entities": ["EMAIL_ADDRESS"]})
    rows = real_rows(spec, [MAIL, {**MAIL, "text": "jo.berg@example.com, 4111 1111 1111 1111"}])
    audit = audit_liabilities(rows, spec).rows
    assert audit["reason"].to_list() == ["", "pii:CREDIT_CARD"]
    assert [len(found) for found in audit["pii"]] == [1, 2]


def test_a_given_name_alone_is_told_but_is_no_reason():
    spec = text_spec(source=source())
    audit = audit_liabilities(real_rows(spec, [{**CLEAR, "text": "Natalia sold clips"}]), spec)
    assert audit.rows["disposition"].to_list() == [RELEASABLE]
    assert [found["score"] for found in audit.rows["pii"][0]] == [0.4]
    line = report_line(audit, "pii", "PERSON")
    assert line["rows"] == 0
    assert "1 more rows" in line["note"]


def test_every_kind_of_text_is_searched_but_ids():
    fields = [
        {"name": "text", "type": "text"},
        {"name": "talk", "type": "messages"},
        {"name": "program", "type": "code"},
        {"name": "kind", "type": "category"},
        {"name": "race", "type": "category", "role": "sensitive"},
        {"name": "key", "type": "text", "role": "id"},
        {"name": "size", "type": "integer"},
    ]
    spec = text_spec(fields=fields, strata={"by": []}, source=source())
    mail = "jo@example.com"
    talk = [{"role": "user", "content": "hi 😀"}, {"role": "assistant", "content": f"mail {mail}"}]
    row = {"text": mail, "talk": talk, "program": f"x = '{mail}'", "kind": mail, "race": mail, "key": mail, "size": 1}
    found = audit_liabilities(real_rows(spec, [row]), spec).rows["pii"][0]
    places = [(each["field"], each["start"], each["end"]) for each in found]
    assert places == [("text", 0, 14), ("talk", 10, 24), ("program", 5, 19), ("kind", 0, 14), ("race", 0, 14)]
    assert "hi 😀\nmail jo@example.com"[10:24] == mail


def test_the_language_of_a_field_decides_which_numbers_are_known():
    fields = [{"name": "text", "type": "text", "language": "es"}]
    spec = text_spec(fields=fields, strata={"by": []}, source=source())
    assert audit_one(spec, {"text": "DNI 12345678Z"}) == (SYNTHESIS_ONLY, "pii:ES_NIF")


def test_the_text_itself_is_never_repeated():
    spec = text_spec(source=source())
    audit = audit_liabilities(real_rows(spec, [MAIL]), spec)
    assert "jo.berg" not in audit.rows.write_json() + audit.report.write_json()


def test_finds_personal_data_at_the_end_of_a_million_characters():
    spec = text_spec(source=source())
    row = {"text": "lorem ipsum " * 100_000 + "\x00\u200bjo@exam\u200bple.com", "intent": "x"}
    assert audit_one(spec, row) == (SYNTHESIS_ONLY, "pii:EMAIL_ADDRESS")


# ---- all together


def mixed_rows(spec: DatasetSpec) -> pl.DataFrame:
    rows = [{**CLEAR, "text": text} for text in ["a", "Mr. Berg, jo@b.de", "b", "c", "jo@b.de", "d"]]
    return real_rows(spec, rows).with_columns(
        license=pl.Series(["MIT", "CC-BY-ND-4.0", "", "MIT", "MIT", "MIT"]),
        consent=pl.Series(["consent", "withdrawn", "consent", "weird", "consent", "refused"]),
        is_private=pl.Series([False, True, False, False, False, False]),
    )


def test_the_strictest_disposition_wins_and_all_reasons_are_kept_in_order():
    spec = text_spec(source=source(by_row=True, field="opt_in"))
    rows = mixed_rows(spec)
    audit = audit_liabilities(rows, spec).rows
    assert audit["example_id"].to_list() == rows["example_id"].to_list()
    assert audit.select("disposition", "reason").rows() == [
        (RELEASABLE, ""),
        (EXCLUDED, "consent:withdrawn; license:CC-BY-ND-4.0; pii:EMAIL_ADDRESS; pii:PERSON; private"),
        (SYNTHESIS_ONLY, "license:unknown"),
        (SYNTHESIS_ONLY, "consent:unrecognized"),
        (SYNTHESIS_ONLY, "pii:EMAIL_ADDRESS"),
        (EXCLUDED, "consent:withdrawn"),
    ]


def test_the_report_counts_every_kind_of_finding():
    spec = text_spec(source=source(by_row=True, field="opt_in"))
    audit = audit_liabilities(mixed_rows(spec), spec)
    totals = {name: report_line(audit, "total", name)["rows"] for name in (RELEASABLE, SYNTHESIS_ONLY, EXCLUDED)}
    assert totals == {RELEASABLE: 1, SYNTHESIS_ONLY: 3, EXCLUDED: 2}
    assert report_line(audit, "license", "CC-BY-ND-4.0")["disposition"] == SYNTHESIS_ONLY
    assert report_line(audit, "license", "MIT")["rows"] == 4
    assert report_line(audit, "consent", "refused")["disposition"] == EXCLUDED
    assert report_line(audit, "private", "private")["share"] == pytest.approx(1 / 6)
    assert report_line(audit, "pii", "EMAIL_ADDRESS")["rows"] == 2
    assert audit.report.filter(pl.col("kind") == "not_covered")["name"].to_list() == list(NOT_COVERED)


def test_no_rows_are_audited_to_no_rows():
    spec = text_spec(source=source())
    audit = audit_liabilities(real_rows(spec, [CLEAR]).clear(), spec)
    assert audit.rows.is_empty()
    assert audit.rows.schema["pii"] == PII
    assert audit.report.filter(pl.col("kind") == "total")["rows"].sum() == 0


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "jo@b.de", "Mr. Berg", ""]),
            st.sampled_from(["MIT", "CC-BY-ND-4.0", "", None]),
            st.sampled_from(["consent", "withdrawn", "odd", None]),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_each_row_is_judged_once_in_order_and_by_itself(cases):
    spec = text_spec(source=source(by_row=True, field="opt_in"))
    texts, licenses, consents, private = zip(*cases, strict=True)
    rows = real_rows(spec, [{**CLEAR, "text": text} for text in texts]).with_columns(
        license=pl.Series(licenses, dtype=pl.String),
        consent=pl.Series(consents, dtype=pl.String),
        is_private=pl.Series(private),
    )
    audit = audit_liabilities(rows, spec)
    assert audit.rows["example_id"].to_list() == rows["example_id"].to_list()
    alone = pl.concat([audit_liabilities(rows[number], spec).rows for number in range(rows.height)])
    assert audit.rows.equals(alone)
    assert audit.report.filter(pl.col("kind") == "total")["rows"].sum() == rows.height
