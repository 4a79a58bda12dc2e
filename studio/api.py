"""The small HTTP interface beside the pages: what the live parts of a page ask for, and downloads.

Reading asks *what is new since event n*, so a tick costs what is new, not what is old.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from backend.data.exporting import exported_archive
from backend.errors import DiskFull, RunActive, RunMissing, StudioError, Unexpected, typed_error
from backend.inference.table_predicting import predicted_name, written_predictions
from backend.jobs.directory import JobDirectory
from backend.jobs.queue import Places
from backend.jobs.remarks import read_remarks
from backend.jobs.status import JobState, JobStatus
from backend.jobs.store import AT_WORK, RunStore, names_ahead, resumable_steps
from backend.jobs.supervisor import last_lines
from backend.settings import Home
from backend.sharing.package import package_name, stream_zip
from studio import comparing, lab
from studio.i18n import language_of, words
from studio.remedies import remedies_of, remedy_text, resuming_helps
from studio.services import Services

logger = logging.getLogger(__name__)
MOST_POINTS = 2000
"""Points of a loss curve that a page is given at one time: more than it has pixels."""
STATUSES: dict[type[StudioError], int] = {RunMissing: 404, RunActive: 409, DiskFull: 507, Unexpected: 500}


def build_router(services: Services) -> APIRouter:
    """All routes under ``/api``."""
    router = APIRouter(prefix="/api")
    store, places = services.store, Places(services.home.runs)

    @router.get("/runs")
    def list_runs(newest: int | None = None) -> dict[str, Any]:
        """The newest runs' lines in the list, or all of them; how many there are, are at work and wait; the queue."""
        found = store.summaries()
        at_work = sum(summary.state in AT_WORK for summary in found)
        waiting = sum(summary.state is JobState.QUEUED for summary in found)
        lines = [asdict(summary) for summary in found[:newest]]
        queue = [run.id for run in places.waiting()] if waiting else []
        counts = {"count": len(found), "at_work": at_work, "waiting": waiting}
        return {"runs": lines, **counts, "queue": queue, "now": time.time()}

    @router.get("/compare")
    def compare_runs(request: Request, lang: str = "en") -> dict[str, Any]:
        """The runs named by ``run=…&run=…`` beside each other."""
        return comparing.told(
            words(language_of(lang)), [store.get(each) for each in request.query_params.getlist("run")]
        )

    @router.get("/trash")
    def list_trash() -> dict[str, Any]:
        """The runs in the trash, newest first."""
        return {"runs": [asdict(summary) for summary in store.trashed()]}

    @router.delete("/trash")
    def empty_trash() -> dict[str, int]:
        """Remove all that is in the trash for good."""
        return {"freed_bytes": store.empty_trash()}

    @router.delete("/trash/{run_id}")
    def remove_run(run_id: str) -> dict[str, int]:
        """Remove one run of the trash for good."""
        return {"freed_bytes": store.empty_trash(run_id)}

    @router.post("/trash/{run_id}/restore")
    def restore_run(run_id: str) -> dict[str, str]:
        """Put a run of the trash back into the list."""
        return {"run": store.restore(run_id).id}

    @router.get("/runs/{run_id}/events")
    def run_events(run_id: str, since: int = 0, lang: str = "en") -> dict[str, Any]:
        """Where the run stands, and its events from sequence number ``since`` on."""
        run = store.get(run_id)
        status = run.status()
        return {
            **_news(run, since, lang, status),
            "remedies": _remedies(run, lang) if status.state.is_final else [],
            "resumable": resumable_steps(run) if status.state.is_final and resuming_helps(run) else [],
            "queue": _queue(store, run) if status.state is JobState.QUEUED else None,
        }

    @router.get("/runs/{run_id}/log")
    def run_log(run_id: str) -> dict[str, Any]:
        """The end of the run's log."""
        return {"lines": last_lines(store.get(run_id).log_path, 200)}

    @router.get("/runs/{run_id}/stacks")
    def run_stacks(run_id: str) -> dict[str, str]:
        """Where the threads of a run are that has not told anything for long."""
        return {"stacks": store.get(run_id).stacks}

    @router.post("/runs/{run_id}/stop")
    def stop_run(run_id: str) -> dict[str, str]:
        """Ask the run to stop at its next step."""
        store.stop(run_id)
        return {"state": store.get(run_id).status().state}

    @router.post("/runs/{run_id}/retry")
    def retry_run(run_id: str, remedy: str = "again") -> dict[str, str]:
        """Start a new run with the settings of a failed one, changed by a remedy that its error has."""
        return {"run": services.retry(run_id, remedy).id}

    @router.post("/runs/{run_id}/resume")
    def resume_run(run_id: str, step: int | None = None) -> dict[str, str]:
        """Attempt the run again, from its newest checkpoint or that of a step."""
        return {"run": services.resume(run_id, step).id}

    @router.post("/runs/{run_id}/queue")
    def move_run(run_id: str, to: int = 0) -> dict[str, list[str]]:
        """Put a waiting run at this position of the queue, from 0."""
        store.move(run_id, to)
        return {"queue": [run.id for run in store.queued()]}

    @router.post("/runs/{run_id}/name")
    async def rename_run(run_id: str, request: Request) -> dict[str, str]:
        """Call the run what the body's ``name`` says."""
        name = _document_in(await request.body()).get("name")
        store.rename(run_id, name if isinstance(name, str) else "")
        return {"name": store.get(run_id).name}

    @router.post("/runs/{run_id}/remarks")
    async def remark_run(run_id: str, request: Request) -> dict[str, Any]:
        """Note the body's ``tags`` and ``notes`` about the run."""
        document = _document_in(await request.body())
        tags, notes = document.get("tags"), document.get("notes")
        store.remark(run_id, map(str, tags) if isinstance(tags, list) else [], notes if isinstance(notes, str) else "")
        return asdict(read_remarks(store.get(run_id)))

    @router.delete("/runs/{run_id}")
    def delete_run(run_id: str) -> dict[str, str]:
        """Put the run and its files into the trash."""
        store.delete(run_id)
        services.predictors.forget(run_id)
        return {"deleted": run_id}

    @router.get("/runs/{run_id}/model.zip")
    def download_model(run_id: str) -> StreamingResponse:
        """The finished model with its model card, as a zip."""
        run = store.get(run_id)
        store.model_folder(run_id)
        content: Iterator[bytes] = stream_zip(run)
        name = quote(f"{package_name(run)}.zip")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return StreamingResponse(content, media_type="application/zip", headers=headers)

    @router.get("/jobs/{job_id}/events")
    def job_events(job_id: str, since: int = 0, lang: str = "en") -> dict[str, Any]:
        """The same as for runs, for an import or an upload."""
        job = services.job(job_id)
        return _news(job, since, lang, job.status())

    @router.get("/jobs/{job_id}/lab")
    def lab_figures(job_id: str, lang: str = "en") -> dict[str, Any]:
        """Where a measurement of the optimization lab stands, and what it has measured."""
        job, t = services.job(job_id), words(language_of(lang))
        return {"now": time.time(), "status": _status(job.status(), lang), **lab.told(t, job)}

    @router.get("/jobs/{job_id}/prepared.zip")
    def download_prepared(job_id: str) -> FileResponse:
        """The parts that an export wrote."""
        job = services.job(job_id)
        name = PurePath(job.spec.get("choices", {}).get("data", {}).get("source") or "table").stem
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(f'{name}-prepared.zip')}"}
        return FileResponse(exported_archive(job), media_type="application/zip", headers=headers)

    @router.get("/jobs/{job_id}/predictions")
    def download_predictions(job_id: str) -> FileResponse:
        """The table that a run was asked about, with its answers."""
        job = services.job(job_id)
        path = written_predictions(job)
        name = quote(predicted_name(job.spec["name"], job.spec["format"]))
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers)

    @router.post("/jobs/{job_id}/stop")
    def stop_job(job_id: str) -> dict[str, str]:
        """Ask an import or an upload to stop."""
        job = services.job(job_id)
        job.request_stop()
        return {"state": job.status().state}

    return router


def word_errors(app: FastAPI, home: Home) -> None:
    """Answer every error of the interface with its words, in the language the request names."""

    @app.exception_handler(StudioError)
    def worded(request: Request, error: StudioError) -> JSONResponse:
        what, following = words(language_of(request.query_params.get("lang", "en"))).error(error)
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 400)
        return JSONResponse({"error": {"code": error.code, "what": what, "next": following}}, status)

    @app.exception_handler(OSError)
    def worded_system_error(request: Request, error: OSError) -> JSONResponse:
        logger.error("a request failed", exc_info=error)
        return worded(request, typed_error(error, home.path) or Unexpected(detail=f"{type(error).__name__}: {error}"))


def _document_in(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; an empty one where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _news(job: JobDirectory, since: int, lang: str, status: JobStatus) -> dict[str, Any]:
    return {
        "id": job.id,
        "name": job.name,
        "now": time.time(),
        "status": _status(status, lang),
        "events": job.documents(max(0, since), MOST_POINTS),
    }


def _queue(store: RunStore, run: JobDirectory) -> dict[str, Any]:
    """What a waiting run waits for: ``{"place", "count", "ahead": names}``, the place from 1."""
    waiting = [each.id for each in store.queued()]
    place = waiting.index(run.id) + 1 if run.id in waiting else 1
    return {"place": place, "count": len(waiting), "ahead": names_ahead(store, run)}


def _remedies(run: JobDirectory, lang: str) -> list[dict[str, str]]:
    """What the page offers against the run's failure: ``{"code", "text"}``."""
    t = words(language_of(lang))
    return [{"code": remedy.code, "text": remedy_text(t, remedy)} for remedy in remedies_of(run)]


def _status(status: JobStatus, lang: str) -> dict[str, Any]:
    document = asdict(status)
    document["final"] = status.state.is_final
    document["progress"] = status.progress.to_dict() if status.progress else None
    document["error"] = None
    if status.error:
        what, following = words(language_of(lang)).error(status.error)
        document["error"] = {"code": status.error.code, "what": what, "next": following}
        document["error"]["kept"] = status.error.facts.get("kept")
    return document
