"""Uploads by the real client, in the real process, to a Hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from backend.errors import (
    HubNotReached,
    LicenceInvalid,
    PublishingRefused,
    RepositoryNameInvalid,
    RepositoryTaken,
    RunNotFinished,
    TokenMissing,
    TokenRejected,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.events import JobCompleted, PhaseStarted, Progressed
from backend.jobs.status import JobState
from backend.settings import Home
from backend.sharing.package import package_files
from backend.sharing.publishing import publications, start_publish
from tests.hub_http import Refusal
from tests.hub_standin import HubStandIn, Repository
from tests.sharing.conftest import LABELS, ended, make_run


def result_of(job: JobDirectory) -> dict[str, str]:
    status = ended(job)
    assert status.state is JobState.COMPLETED, (status.error, job.log_path.read_text())
    last = job.ended_event()
    assert isinstance(last, JobCompleted)
    return last.result


def failure_of(job: JobDirectory) -> object:
    status = ended(job)
    assert status.state is JobState.FAILED, job.log_path.read_text()
    return status.error


def assert_nowhere(token: str, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.name == "log.txt" for path in files)
    assert [path for path in files if token.encode() in path.read_bytes()] == []


def test_pushed_model_arrives_whole_private_and_without_the_token_on_disk(
    home: Home, run: JobDirectory, hub: HubStandIn
):
    job = start_publish(home, run, target="model", repository="waimai", token=hub.token, licence="apache-2.0")
    result = result_of(job)

    stored = hub.model("tester/waimai")
    expected = {file.name: file for file in package_files(run, repository="tester/waimai", licence="apache-2.0")}
    assert set(stored.files) == {*expected, ".gitattributes"}
    for name, file in expected.items():
        content = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        assert stored.files[name] == content, name
    assert stored.private
    assert result == {"url": f"{hub.endpoint}/tester/waimai", "repository": "tester/waimai", "commit": stored.sha}
    front = yaml.safe_load(stored.files["README.md"].decode().split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert 'model="tester/waimai"' in stored.files["README.md"].decode()
    assert {asked.token for asked in hub.asked if asked.path.startswith("/api/")} == {hub.token}
    assert_nowhere(hub.token, home.path)


def test_pushed_model_is_downloaded_by_its_id_and_answers_with_the_labels(
    home: Home, run: JobDirectory, hub: HubStandIn, tmp_path: Path
):
    result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token))
    script = (
        "import json; from transformers import pipeline\n"
        "answers = pipeline('text-classification', model='tester/waimai')('饭菜有些咸！', top_k=None)\n"
        "print(json.dumps([answer['label'] for answer in answers]))"
    )
    environ = {**os.environ, **hub.environ(token=hub.token), "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)) == sorted(LABELS)


def test_upload_reports_its_phases_and_the_bytes_it_has_sent(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.upload_bytes_per_second = 1.5e6
    job = start_publish(home, run, target="model", repository="waimai", token=hub.token)
    result_of(job)
    assert [event.phase for event in job.events() if isinstance(event, PhaseStarted)] == [
        "preparing",
        "creating",
        "uploading",
    ]
    progress = [event for event in job.events() if isinstance(event, Progressed)]
    total = sum(file.bytes for file in package_files(run, repository="tester/waimai"))
    assert {(event.phase, event.unit, event.total) for event in progress} == {("uploading", "bytes", total)}
    done = [event.done for event in progress]
    assert done == sorted(done)
    assert done[-1] == total
    assert any(0 < value < total for value in done)


def test_public_model_is_sent_as_public(home: Home, run: JobDirectory, hub: HubStandIn):
    result_of(start_publish(home, run, target="model", repository="tester/open", token=hub.token, private=False))
    assert not hub.model("tester/open").private


def test_taken_name_is_refused_and_left_as_it_was(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.add(Repository("tester/waimai", "model", files={"precious.txt": b"mine"}))
    job = start_publish(home, run, target="model", repository="waimai", token=hub.token)
    error = failure_of(job)
    assert isinstance(error, RepositoryTaken)
    assert error.name == "tester/waimai"
    assert hub.model("tester/waimai").files == {"precious.txt": b"mine"}


def test_replacing_removes_what_was_there_and_hides_it_first(home: Home, run: JobDirectory, hub: HubStandIn):
    stale = {"model-00001-of-00002.safetensors": b"old", "model.safetensors.index.json": b"{}", ".gitattributes": b"x"}
    hub.add(Repository("tester/waimai", "model", private=False, files=stale))
    result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token, replace=True))
    names = {file.name for file in package_files(run)}
    assert set(hub.model("tester/waimai").files) == {*names, ".gitattributes"}
    paths = [asked.path for asked in hub.asked]
    assert hub.model("tester/waimai").private
    assert paths.index("/api/models/tester/waimai/settings") < paths.index("/api/models/tester/waimai/commit/main")


def test_repository_left_empty_by_a_broken_upload_can_be_filled(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.add(Repository("tester/waimai", "model", files={".gitattributes": b"x"}))
    result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token))
    assert "model.safetensors" in hub.model("tester/waimai").files


def test_pushing_the_same_run_again_changes_nothing(home: Home, run: JobDirectory, hub: HubStandIn):
    first = result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token))
    again = result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token, replace=True))
    assert again == first


def test_wrong_token_is_told(home: Home, run: JobDirectory, hub: HubStandIn):
    job = start_publish(home, run, target="model", repository="waimai", token="hf_wrongTokenOfNobody")
    error = failure_of(job)
    assert isinstance(error, TokenRejected)
    assert error.endpoint == hub.endpoint
    assert_nowhere("hf_wrongTokenOfNobody", home.path)
    assert not hub.repositories


@pytest.mark.parametrize("repository", ["waimai", "somebody-else/waimai"])
def test_missing_right_is_told_with_the_words_of_the_hub(
    home: Home, run: JobDirectory, hub: HubStandIn, repository: str
):
    token = hub.read_token if repository == "waimai" else hub.token
    error = failure_of(start_publish(home, run, target="model", repository=repository, token=token))
    assert isinstance(error, PublishingRefused)
    assert "You don't have the rights to create a model" in error.detail
    assert error.name == repository


def test_space_that_needs_a_paid_plan_is_told_with_the_words_of_the_hub(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.spaces_refusal = Refusal(402, "Gradio Spaces need a PRO plan.")
    error = failure_of(start_publish(home, run, target="space", repository="demo", token=hub.token))
    assert isinstance(error, PublishingRefused)
    assert error.detail == "Gradio Spaces need a PRO plan. (402)"


@pytest.mark.alone
def test_unreachable_hub_is_told_within_seconds(home: Home, run: JobDirectory, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as silent:  # accepts, and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        job = start_publish(home, run, target="model", repository="waimai", token="hf_any")
        error = failure_of(job)
    assert isinstance(error, HubNotReached)
    assert error.endpoint == endpoint
    phase = next(event for event in job.events() if isinstance(event, PhaseStarted))
    end = job.ended_event()
    assert end is not None
    assert 2.5 < end.time - phase.time < 5


def test_hub_that_is_down_for_maintenance_is_told(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.spaces_refusal = Refusal(503, "down for maintenance")
    error = failure_of(start_publish(home, run, target="space", repository="demo", token=hub.token))
    assert isinstance(error, HubNotReached)


@pytest.mark.alone
def test_stop_ends_an_upload_within_a_file_and_publishes_nothing(home: Home, run: JobDirectory, hub: HubStandIn):
    # Far more than the sockets between the two would swallow at once: the whole file would take twenty seconds.
    with (run.path / "model" / "model-00002-of-00002.safetensors").open("wb") as stream:
        stream.truncate(80 << 20)
    hub.upload_bytes_per_second = 4e6
    job = start_publish(home, run, target="model", repository="waimai", token=hub.token)
    assert hub.upload_started.wait(30)
    asked = time.monotonic()
    job.request_stop()
    status = ended(job)
    assert status.state is JobState.STOPPED, job.log_path.read_text()
    assert time.monotonic() - asked < 8
    assert set(hub.model("tester/waimai").files) == {".gitattributes"}
    hub.upload_bytes_per_second = None
    result_of(start_publish(home, run, target="model", repository="waimai", token=hub.token))


def test_upload_goes_on_when_the_process_that_asked_for_it_is_killed(home: Home, run: JobDirectory, hub: HubStandIn):
    hub.upload_bytes_per_second = 1e6
    script = (
        "import sys, time; from pathlib import Path\n"
        "from backend.jobs.directory import JobDirectory\n"
        "from backend.settings import Home\n"
        "from backend.sharing.publishing import start_publish\n"
        "run = JobDirectory(Path(sys.argv[2]))\n"
        "start_publish(Home(Path(sys.argv[1])), run, target='model', repository='waimai', token=sys.argv[3])\n"
        "print('started', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(home.path), str(run.path), hub.token]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None
        assert studio.stdout.readline() == "started\n"
        assert hub.upload_started.wait(30)
        studio.send_signal(signal.SIGKILL)
    (job,) = publications(home, run)
    result_of(job)
    assert "model.safetensors" in hub.model("tester/waimai").files


def test_what_cannot_be_published_is_refused_before_anything_starts(home: Home, run: JobDirectory):
    with pytest.raises(TokenMissing):
        start_publish(home, run, target="model", repository="waimai", token=" ")
    for name in ("", "外卖", "a/b/c", "-dash", "dots..", "two--dashes", "x.git", "owner/", "a b", "x" * 97):
        with pytest.raises(RepositoryNameInvalid):
            start_publish(home, run, target="model", repository=name, token="hf_any")
    with pytest.raises(LicenceInvalid):
        start_publish(home, run, target="model", repository="waimai", token="hf_any", licence="my own: licence")
    (run.path / "model" / "config.json").unlink()
    with pytest.raises(RunNotFinished):
        start_publish(home, run, target="model", repository="waimai", token="hf_any")
    assert list(home.jobs.iterdir()) == []


def test_publications_are_those_of_the_run_latest_first(
    home: Home, run: JobDirectory, hub: HubStandIn, tiny_model: Path
):
    other = make_run(home, tiny_model, name="other")
    first = start_publish(home, run, target="model", repository="one", token=hub.token)
    time.sleep(1.1)  # the ids order jobs by the second
    second = start_publish(home, run, target="space", repository="two", token=hub.token)
    start_publish(home, other, target="model", repository="three", token=hub.token)
    assert [job.id for job in publications(home, run)] == [second.id, first.id]
    assert [job.spec["target"] for job in publications(home, run)] == ["space", "model"]
    for job in publications(home, run):
        result_of(job)
    assert hub.space("tester/two").sdk == "gradio"
    assert "model/model.safetensors" in hub.space("tester/two").files
