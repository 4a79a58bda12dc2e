"""``python -m studio check`` says what is in a table, what is wrong with it, and what to add to the command."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Studio, write_reviews


def spoiled(path: Path) -> Path:
    """Reviews, one of them again with the other label, one with HTML, one without a label."""
    text = write_reviews(path).read_text("utf-8")
    first = text.splitlines()[1].partition(",")[2]
    path.write_text(f"{text}1,{first}\n0,<b>太咸了</b>而且已经凉了\n,没有标签\n", "utf-8")
    return path


def test_the_report_is_printed_with_its_rows_and_the_flags_that_mend_it(studio: Studio, tmp_path: Path) -> None:
    done = studio.run("check", str(spoiled(tmp_path / "reviews.csv")), "--lang", "en")
    assert done.returncode == 0, done.stderr
    assert "reviews.csv: 163 rows, 162 usable" in done.stdout
    assert "1 text stands twice with opposite labels (2 rows)." in done.stdout
    assert "--step resolve_conflicts" in done.stdout
    assert "--step strip_html" in done.stdout
    assert studio.store.summaries() == []


def test_the_document_is_the_report_and_flags_change_it(studio: Studio, tmp_path: Path) -> None:
    table = str(spoiled(tmp_path / "reviews.csv"))
    report = studio.document("check", table)
    assert {f["code"] for f in report["findings"]} >= {"opposite_labels", "html", "blank_labels"}
    assert (report["file"], report["rows"], report["parts"]["test"]["rows"] > 0) == ("reviews.csv", 163, True)
    mended = studio.document(
        "check", table, "--step", "drop_blank", "--step", "resolve_conflicts", "--step", "strip_html"
    )
    assert not {f["code"] for f in mended["findings"]} & {"opposite_labels", "html", "blank_labels"}
    assert [done["touched"] for done in mended["steps"]] == [1, 2, 1]


def test_a_table_that_cannot_be_trained_on_is_reported_and_refused(studio: Studio, tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("text,label\n" + "".join(f"text number {n},only\n" for n in range(30)), "utf-8")
    report = studio.document("check", str(table), "--text", "text", "--label", "label", status=2)
    assert report["error"]["code"] == "data.one_label_only"
    assert report["usable_rows"] == 30


def test_the_only_column_that_is_left_is_the_texts(studio: Studio, tmp_path: Path) -> None:
    table = tmp_path / "several.csv"
    rows = (f"dish number {n} was served,{n % 2},{n // 2 % 2},0\n" for n in range(80))
    table.write_text("text,a,b,never\n" + "".join(rows), "utf-8")
    report = studio.document("check", str(table), "--label-columns", "a,b,never")
    assert (report["text"], report["label_columns"]) == ("text", ["a", "b", "never"])
    error = studio.document("check", str(table), "--label-columns", "a,b", status=2)["error"]
    assert error["code"] == "data.columns_uncertain", "which of two columns holds the texts"
