from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import polars as pl
import pytest
from PIL import Image

from synth_assets.monitoring import plots
from synth_assets.monitoring.collapse import measure_collapse
from synth_assets.monitoring.measures import Metric, Report, build_report
from synth_assets.monitoring.plots import Picture
from synth_assets.monitoring.privacy import measure_privacy
from synth_assets.monitoring.shift import measure_shift
from synth_assets.monitoring.student import measure_student
from synth_assets.monitoring.trends import collect_trends
from synth_assets_tests.monitoring.samples import CUSTOMERS, MESSAGES, make_customers, make_messages, mark, seeds_of

REPORT_PLOTS = (plots.plot_shift, plots.plot_collapse, plots.plot_privacy, plots.plot_student)
VERMILION = (0xD5, 0x5E, 0x00)


def check_picture(picture: Picture) -> Image.Image:
    png = picture.png
    assert len(png) <= 40_000
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.width == 960
    assert 540 <= image.height <= 800  # taller where strata have names
    return image.convert("RGB")


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    real, made, test = make_messages(150, 1), make_messages(200, 2), make_messages(100, 3)
    mix = pl.concat([mark(real, origin="real"), mark(made)])
    return {
        "shift": measure_shift(real, made, MESSAGES),
        "collapse": measure_collapse({"r000": mix, "r001": mix}, real, MESSAGES),
        "privacy": measure_privacy(made, seeds_of(real, test), MESSAGES),
        "student": measure_student(real, made, mix, test, MESSAGES, seeds=2),
    }


def test_the_svg_is_text_in_the_colors_of_the_page_and_the_same_again(reports: dict[str, Report]):
    drawn = [plots.plot_privacy(reports["privacy"]).svg for _ in range(2)]
    assert drawn[0] == drawn[1]
    root = ElementTree.fromstring(drawn[0])
    assert root.tag.endswith("}svg")
    told = " ".join("".join(part.itertext()) for part in root.iter() if part.tag.endswith("}text"))
    assert "membership inference AUC" in told
    assert "var(--ink)" in drawn[0]
    assert "#222222" not in drawn[0]
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", drawn[0])


@pytest.mark.parametrize("name", ["shift", "collapse", "privacy", "student"])
def test_every_report_has_a_small_picture(reports: dict[str, Report], name: str):
    check_picture(getattr(plots, f"plot_{name}")(reports[name]))


def test_customers_have_pictures_too():
    real, made = make_customers(100, 1), make_customers(100, 2)
    check_picture(plots.plot_collapse(measure_collapse({"r000": mark(made)}, real, CUSTOMERS)))
    check_picture(plots.plot_privacy(measure_privacy(made, seeds_of(real, make_customers(50, 3)), CUSTOMERS)))


@pytest.mark.parametrize("plot", REPORT_PLOTS)
def test_a_report_that_measured_nothing_is_drawn(plot: Callable[[Report], Picture]):
    check_picture(plot(build_report([Metric("psi", note="not measured: no rows")], [], "warn")))


def test_the_color_of_act_is_in_the_picture_only_when_something_acts():
    calm = build_report([Metric("near_copy_share", 0.0)], [], "warn")
    alarm = build_report([Metric("near_copy_share", 0.5, level="act")], [], "warn")
    pictures = [check_picture(plots.plot_privacy(report)) for report in (calm, alarm)]
    assert [any(color == VERMILION for _, color in image.getcolors(1 << 20)) for image in pictures] == [False, True]


def test_the_comparisons_of_a_drift_sweep_are_drawn(reports: dict[str, Report]):
    shift = reports["shift"]
    named = shift.metrics.with_columns(metric="monitor/" + pl.col("metric"))
    check_picture(plots.plot_shift(replace(shift, metrics=pl.concat([named, named]))))


def test_trends_are_drawn(reports: dict[str, Report]):
    metrics = {name: report.metrics for name, report in reports.items()}
    check_picture(plots.plot_trends(collect_trends({"r000": metrics, "r001": metrics})))
    check_picture(plots.plot_trends(collect_trends({})))


def test_funnels_are_drawn():
    check_picture(plots.plot_funnel(pl.DataFrame({"stage": ["candidates", "rules", "kept"], "count": [1000, 700, 0]})))
    check_picture(plots.plot_funnel(pl.DataFrame(schema={"stage": pl.String, "count": pl.Int64})))


@pytest.mark.parametrize("strata", [0, 1, 20, 200])
def test_strata_are_drawn_with_names_or_without(strata: int):
    names = [f"stratum {i} of $many_{{names}}^2" for i in range(strata)]
    plan = pl.DataFrame(
        {"stratum": names, "real": range(strata), "synthetic": range(strata)},
        schema_overrides={"stratum": pl.String, "real": pl.Int64, "synthetic": pl.Int64},
    )
    check_picture(plots.plot_strata(plan))


def test_matplotlib_is_imported_only_when_a_picture_is_drawn():
    code = (
        "import sys, synth_assets.monitoring.plots, synth_assets.monitoring.student as s; "
        "assert not {'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
