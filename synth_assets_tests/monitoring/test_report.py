"""The page of a round: everything is on it, nothing foreign runs in it, and it can be read by everybody."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from synth_assets.monitoring.collapse import measure_collapse
from synth_assets.monitoring.measures import Metric, build_report
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.report.glossary import explain_metric, name_metric
from synth_assets.monitoring.report.page import RoundLine, RoundPage
from synth_assets.monitoring.report.render import render_index, render_page
from synth_assets.monitoring.shift import measure_shift
from synth_assets.monitoring.student import measure_student
from synth_assets_tests.browsers import find_violations, needs_browser, open_browser
from synth_assets_tests.builders import text_spec
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, make_customers, make_messages, mark, seeds_of

HOSTILE = "</td><script>alert(1)</script><img src=http://example.org/x onerror=alert(1)>"
TRENDS = pl.DataFrame(
    {"round": ["r000", "r001"], "report": ["shift_report"] * 2, "metric": ["psi"] * 2, "field": ["text"] * 2,
     "value": [0.1, 0.3], "level": ["ok", "act"]}
)  # fmt: skip


def make_page() -> RoundPage:
    shift = build_report(
        [
            Metric("psi", 0.3, "text", null_low=0.01, null_high=0.05, threshold=0.25, level="act", n_real=12_345),
            Metric("psi", 0.02, "text", stratum="refund", null_low=0.0, null_high=0.9),
            Metric("c2st_accuracy", note="not measured: too few rows"),
        ],
        [{"kind": "shifted_cell", "example_id": f"e{i}", "related_id": "s1", "value": 1.0, "note": HOSTILE}
         for i in range(12)],
        "block",
    )  # fmt: skip
    calm = build_report([Metric("near_copy_share", 0.0, n_synthetic=3)], [], "warn")
    return RoundPage(
        spec=text_spec(description=HOSTILE),
        round="r001",
        reports={"shift_report": shift, "privacy_report": calm},
        rows=1500,
        synthetic=1000,
        corpus=pl.DataFrame({"stratum": ["refund", HOSTILE], "real": [5, 6], "synthetic": [7, 8]}),
        funnel=pl.DataFrame({"stage": ["candidates", "labels"], "count": [2000, 1000], "why": ["", HOSTILE]}),
        yields=None,
        review={"decision": "accept", "note": HOSTILE},
        trends=TRENDS,
        texts={"e0": HOSTILE},
        digests={"corpus": "ab" * 16},
    )


def read_text(html: str) -> str:
    """Return what a reader sees."""
    return " ".join(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def test_the_page_tells_levels_values_examples_and_what_was_not_measured() -> None:
    told = read_text(render_page(make_page(), rounds=["r000", "r001"]))
    assert "round r001 ✖ act" in told
    assert "1,000 synthetic, 66.7 %" in told
    assert "1 at act of 2 measures" in told
    assert "PSI · text ✖ act 0.3 0.01 … 0.05 0.25 12,345 real" in told
    assert "Examples: shifted cell (12)" in told
    assert "The first 10;" in told
    assert "C2ST accuracy: not measured: too few rows" in told
    assert "Nothing stands out: 1 of 1 measures ok; none is beyond its bar by more than chance explains" in told


def test_what_models_and_people_wrote_is_text_on_the_page() -> None:
    html = render_page(make_page(), rounds=["r000", "r001"])
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("&lt;script&gt;alert(1)") >= 4
    links = re.findall(r'(?:href|src|xlink:href)="([^"#][^"]*)"', html)
    assert set(links) <= {"index.html", "r000.html"}


def test_the_same_page_is_the_same_text_again() -> None:
    assert render_page(make_page()) == render_page(make_page())


def test_the_index_leads_to_every_round_newest_first() -> None:
    lines = [RoundLine(name, 10, 7, "accept", {"shift_report": "watch"}) for name in ("r000", "r001")]
    html = render_index(text_spec(), lines, TRENDS)
    assert re.findall(r'href="(r\d+)\.html"', html) == ["r001", "r000"]
    assert "◆ watch" in read_text(html)
    assert "not made" in read_text(html)


def test_a_gauge_places_value_interval_and_bar_in_order() -> None:
    html = render_page(make_page())
    gauge = html[html.index('class="gauge"') :]
    null, bar, value = (
        float(re.search(pattern, gauge)[1])  # type: ignore[index]
        for pattern in (r'class="null" x="([\d.]+)"', r'class="bar" x1="([\d.]+)"', r'class="value act" cx="([\d.]+)"')
    )
    assert 0 < null < bar < value < 100


@pytest.mark.parametrize(
    ("metric", "name"), [("membership_auc", "membership AUC"), ("monitor/length_psi", "monitor: length PSI")]
)
def test_metrics_have_names_for_readers(metric: str, name: str) -> None:
    assert name_metric(metric) == name


def test_an_unknown_metric_has_no_meaning() -> None:
    assert explain_metric("something_new_of_a_plugin") == ""


@pytest.mark.parametrize(("spec", "make"), [(MESSAGES, make_messages), (CUSTOMERS, make_customers)])
def test_every_measure_of_every_report_has_a_meaning(spec, make) -> None:
    real, made, test = make(150, 1), make(200, 2), make(100, 3)
    mix = pl.concat([mark(real, origin="real"), mark(made)])
    reports = (
        measure_shift(real, made, spec),
        measure_collapse({"r000": mix}, real, spec, held_out=test),
        measure_privacy(made, seeds_of(real, test), spec),
        measure_student(real, made, mix, test, spec, seeds=2),
    )
    names = {name for report in reports for name in report.metrics["metric"]}
    assert [name for name in sorted(names) if not explain_metric(name)] == []


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_need_not_scroll_sideways(tmp_path: Path, scheme: str) -> None:
    page_file, index_file = tmp_path / "r001.html", tmp_path / "index.html"
    page_file.write_text(render_page(make_page(), rounds=["r000", "r001"]), encoding="utf-8")
    index_file.write_text(render_index(text_spec(), [RoundLine("r001", 10, 7, "accept", {})], TRENDS), encoding="utf-8")
    with open_browser() as browser:
        window = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        for file in (page_file, index_file):
            page = window.new_page()
            page.goto(file.as_uri())
            assert find_violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
