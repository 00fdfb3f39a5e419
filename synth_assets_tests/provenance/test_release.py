"""What a release promises: it never changes unseen, and what was recalled of it is told."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import synth_assets
from synth_assets.errors import StoreError
from synth_assets.project import ROOT_VARIABLE
from synth_assets.provenance.recalled import confirm_release, note_recalled, read_recalled, require_sound
from synth_assets.provenance.release import Release, find_release, write_release
from synth_assets.records import digest_text
from synth_assets.store import hash_file

ROWS = 6


def write(root: Path, round_: str = "r000", *, card: str = "# card", rows: int = ROWS) -> Release:
    """Write a release of real and synthetic rows; s1 made m1, m3 and m5, ada decided on m1."""
    made = [i % 2 == 1 for i in range(rows)]
    names = [f"{'m' if synthetic else 's'}{i}" for i, synthetic in enumerate(made)]
    corpus = pl.DataFrame(
        {
            "example_id": names,
            "content_id": [f"content of {name}" for name in names],
            "origin": ["synthetic" if synthetic else "real" for synthetic in made],
            "text": [f"text of {name}" for name in names],
        }
    )
    lineage = corpus.select(
        "example_id",
        "content_id",
        generator_id=pl.when(pl.col("origin") == "synthetic").then(pl.lit("model-a")),
        prompt_id=pl.when(pl.col("origin") == "synthetic").then(pl.lit("prompt-a")),
        prompted_by=pl.when(pl.col("origin") == "synthetic").then(pl.lit(["s0"], dtype=pl.List(pl.String))),
        parents=pl.lit(None, dtype=pl.List(pl.String)),
        decisions=pl.when(pl.col("example_id") == "m1").then(
            pl.lit('[{"reviewer":"ada","reviewer_kind":"human","decision":"accept","reason":""}]')
        ),
    )
    digest = digest_text(round_, str(rows))
    return write_release(root, "mini", round_, corpus, lineage, card=card, facts={}, digest=digest, pins={})


def recalls(*entries: tuple[str, str]) -> pl.DataFrame:
    rows = [
        {"kind": kind, "value": value, "reason": "bad", "who": "lead", "at": "2026-01-01"} for kind, value in entries
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("kind", "value", "reason", "who", "at"), pl.String))


def test_a_manifest_changed_with_its_files_is_found_by_what_the_lake_knows(tmp_path: Path) -> None:
    release = write(tmp_path)
    known = release.fingerprint
    release.verify(known)
    (release.path / "README.md").write_text("another", encoding="utf-8")
    manifest = release.manifest
    manifest["files"]["README.md"] = hash_file(release.path / "README.md")
    (release.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    release.verify()
    with pytest.raises(StoreError, match=r"manifest\.json: changed since the release was written"):
        release.verify(known)


def test_counts_that_the_data_do_not_hold_are_told(tmp_path: Path) -> None:
    release = write(tmp_path)
    (release.path / "manifest.json").write_text(json.dumps({**release.manifest, "synthetic_rows": 1}), encoding="utf-8")
    with pytest.raises(StoreError, match="says 1 synthetic_rows, the data hold 3"):
        release.verify()


@pytest.mark.parametrize("target", ["/nowhere", "."])
def test_a_link_is_no_part_of_a_release(tmp_path: Path, target: str) -> None:
    release = write(tmp_path)
    (release.path / "link").symlink_to(target)
    with pytest.raises(StoreError, match="link: not part of the release"):
        release.verify()


def test_a_release_without_its_manifest_is_told_and_can_be_made_again(tmp_path: Path) -> None:
    release = write(tmp_path)
    (release.path / "manifest.json").unlink()
    write(tmp_path, "r001")
    with pytest.raises(StoreError, match=rf"{release.version}/manifest\.json: missing"):
        find_release(tmp_path, "mini", release.version)
    assert write(tmp_path).version == release.version
    find_release(tmp_path, "mini", release.version).verify()


def test_the_latest_release_is_that_of_the_latest_round(tmp_path: Path) -> None:
    first, second = write(tmp_path, "r000"), write(tmp_path, "r001")
    write(tmp_path, "r000", rows=4)
    assert find_release(tmp_path, "mini").version == second.version
    again = write(tmp_path, "r001", rows=8)
    assert find_release(tmp_path, "mini").version == again.version
    assert first.version != again.version


def test_the_same_rows_with_another_card_are_another_release(tmp_path: Path) -> None:
    first = write(tmp_path)
    assert write(tmp_path).version == first.version
    corrected = write(tmp_path, card="# corrected")
    assert corrected.version != first.version
    assert (corrected.path / "README.md").read_text(encoding="utf-8") == "# corrected"
    assert (first.path / "README.md").read_text(encoding="utf-8") == "# card"
    assert write(tmp_path, card="# corrected").version == corrected.version


@pytest.mark.parametrize(
    ("kind", "value", "rows"),
    [
        ("model", "model-a", 3),
        ("prompt", "prompt-a", 3),
        ("seed", "s0", 4),
        ("example", "m1", 1),
        ("reviewer", "ada", 1),
    ],
)
def test_a_recall_is_noted_of_every_release_it_touches(tmp_path: Path, kind: str, value: str, rows: int) -> None:
    versions = [write(tmp_path, round_).version for round_ in ("r000", "r001")]
    clean = write(tmp_path, "r002", rows=1).version
    note_recalled(tmp_path, "mini", recalls((kind, value), ("model", "another")))
    noted = read_recalled(tmp_path, "mini")
    touched = {version: one.rows for version, one in noted.items() if version != clean}
    assert touched == dict.fromkeys(versions, rows)
    assert (clean in noted) == (kind == "seed")
    assert [one["value"] for one in noted[versions[0]].recalls] == [value]
    note_recalled(tmp_path, "mini", recalls())
    assert read_recalled(tmp_path, "mini") == {}


def test_rows_judged_again_without_a_recalled_reviewer_are_sound(tmp_path: Path) -> None:
    release = write(tmp_path)
    entries = recalls(("reviewer", "ada"))
    note_recalled(tmp_path, "mini", entries)
    with pytest.raises(StoreError, match=r"1 of its rows were recalled \(reviewer ada: bad\)"):
        require_sound(tmp_path, release)
    confirm_release(tmp_path, release, entries)
    require_sound(tmp_path, release)
    note_recalled(tmp_path, "mini", recalls(("reviewer", "ada"), ("example", "m3")))
    with pytest.raises(StoreError, match=r"1 of its rows were recalled \(example m3: bad\)"):
        require_sound(tmp_path, release)


def test_a_recalled_release_is_opened_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").touch()
    (tmp_path / "data").mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    releases = tmp_path / "data" / "releases"
    version = write(releases).version
    assert synth_assets.open_release("mini").height == ROWS
    note_recalled(releases, "mini", recalls(("model", "model-a")))
    with pytest.raises(StoreError, match=f"do not use the release {version} any more: 3 of its rows were recalled"):
        synth_assets.open_release("mini")
    with pytest.warns(UserWarning, match="3 of its rows were recalled"):
        assert synth_assets.open_release("mini", version).height == ROWS
