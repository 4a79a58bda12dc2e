"""What does not hold is refused before anything starts: status 2, two worded sentences, one JSON document."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.machine import most_processes, this_machine
from tests.cli.conftest import Studio, write_reviews

TOO_MANY = most_processes(this_machine()) + 1


@pytest.mark.parametrize(
    ("content", "flags", "code"),
    [
        (None, (), "data.file_missing"),
        ("", (), "data.file_empty"),
        ("label,review\n" + "".join(f"1,好吃{n}\n" for n in range(50)), (), "data.one_label_only"),
        ("reviews", ("--label", "sentiment"), "data.column_missing"),
        ("reviews", ("--text", "label", "--label", "label"), "data.same_column"),
        ("reviews", ("--label-names", "2=x"), "data.label_names_unknown"),
        ("reviews", ("--label-names", "0=x,1=x"), "data.label_names_clash"),
        ("reviews", ("--label-names", "x"), "spec.invalid"),
        ("a,b,c\n" + "".join(f"{n},{n * 7},{n * 3}\n" for n in range(60)), (), "data.columns_uncertain"),
        ("reviews", ("--no-such-flag", "x"), "usage"),
        ("reviews", ("--metric", "jaccard"), "spec.invalid"),
        ("reviews", ("--label-weights", "9=2"), "data.label_weights_unknown"),
        ("reviews", ("--model", ""), "model.not_named"),
        ("reviews", ("--model", "中文 模型"), "model.unknown"),
        ("reviews", ("--data", "other.csv"), "usage"),
        ("reviews", ("--processes", str(TOO_MANY)), "run.too_many_processes" if TOO_MANY <= 64 else "spec.invalid"),
    ],
)
def test_bad_input_is_refused_with_its_code_and_no_run(
    studio: Studio, tmp_path: Path, content: str | None, flags: tuple[str, ...], code: str
) -> None:
    table = tmp_path / "table.csv"
    if content == "reviews":
        write_reviews(table)
    elif content is not None:
        table.write_text(content, "utf-8")
    error = studio.document("train", str(table), *flags, status=2)["error"]
    assert error["code"] == code
    assert error["what"]
    assert error["next"]
    assert not studio.store.summaries()


@pytest.mark.parametrize("command", ["train", "lab"])
@pytest.mark.parametrize(
    ("files", "code"), [((), "model.not_a_folder"), (("adapter_config.json",), "model.is_adapter")]
)
def test_folder_without_a_model_is_refused_before_the_table_is_read(
    studio: Studio, tmp_path: Path, reviews: Path, command: str, files: tuple[str, ...], code: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}", "utf-8")
    error = studio.document(command, str(reviews), "--model", str(folder), status=2)["error"]
    assert error["code"] == code
    assert str(folder) in error["what"]
    assert not studio.store.summaries()
    assert not list((studio.store.home.path / "datasets").glob("*"))


def test_folder_that_is_not_there_is_said_so(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    error = studio.document("train", str(reviews), "--model", str(tmp_path / "nothing"), status=2)["error"]
    assert error["code"] == "model.folder_missing"
    assert str(tmp_path / "nothing") in error["what"]


def test_all_settings_that_do_not_hold_are_named_at_once_in_the_language_of_the_terminal(
    studio: Studio, reviews: Path
) -> None:
    done = studio.run("train", str(reviews), "--epochs", "0", "--seed", "x", "--task", "guess", "--lang", "zh-CN")
    assert done.returncode == 2
    assert done.stdout == ""
    for name in ("轮数", "随机种子", "任务"):
        assert name in done.stderr
    assert "错误" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train",), "请给出训练用的表格"),
        (("train", "a.csv", "--epoch", "3"), "是否想用 --epochs"),
        (("trian",), "没有 trian 这个命令"),
        (("show",), "缺少 RUN"),
        (("show", "one", "two"), "多余：two"),
        (("train", "a.csv", "--epochs"), "--epochs 后面缺少"),
        (("--port", "many"), "--port 的值无效"),
    ],
)
def test_a_wrong_command_line_is_refused_in_the_language_of_the_terminal(
    studio: Studio, arguments: tuple[str, ...], said: str
) -> None:
    done = studio.run("--lang", "zh-CN", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "--help" in done.stderr


def test_a_run_that_is_not_there_is_refused_by_every_command(studio: Studio) -> None:
    for command in (("show", "nothing"), ("stop", "nothing"), ("predict", "nothing", "text")):
        assert studio.document(*command, status=2)["error"]["code"] == "run.missing"


def test_a_home_that_cannot_be_made_is_refused(studio: Studio, reviews: Path) -> None:
    error = studio.document("runs", "--home", str(reviews / "home"), status=2)["error"]
    assert error["code"] == "server.home_unusable"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "data.file_missing"),
        ("- a\n- b\n", "spec.unreadable"),
        ("training: {epoch: 3}\n", "spec.invalid"),
        ("training: {epochs: 3}\n", "usage"),
        ("1: 2\n", "spec.invalid"),
        ("data: gone.csv\n", "spec.invalid"),
        ("training: {epochs: yes}\n", "spec.invalid"),
        ("training: {epochs: 3, epochs: 1}\n", "spec.unreadable"),
        ("training: {epochs: 3}\ntraining: {max_steps: 1}\n", "spec.unreadable"),
        ("data: {source: gone.csv}\n", "data.file_missing"),
    ],
)
def test_a_settings_file_that_does_not_hold_is_refused(
    studio: Studio, tmp_path: Path, text: str | None, code: str
) -> None:
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text, "utf-8")
    assert studio.document("train", str(path), status=2)["error"]["code"] == code


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("data: 表.csv\n".encode("gb18030"), "UTF-8"),
        (b"- a\n", "节"),
        (b"data: gone.csv\n", "节"),
        (b"training: {learning_rate: true}\n", "学习率"),
        (b"name: [x]\n", "文本"),
        (b"training: {epochs: 3, epochs: 1}\n", "epochs"),
    ],
)
def test_what_is_wrong_with_a_settings_file_is_said_in_the_language_of_the_terminal(
    studio: Studio, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    done = studio.run("train", str(path), "--lang", "zh-CN")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
