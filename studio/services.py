"""What the pages stand on, made once by the server and handed down: the home, its runs, and who answers texts."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import RunMissing
from backend.inference.client import PredictorPool
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.store import RunStore
from backend.settings import Home


@dataclass(frozen=True)
class Services:
    """The studio's own parts, free of any page."""

    home: Home
    store: RunStore
    predictors: PredictorPool
    hub_token: str | None = None
    """Found at the start (environment, ``.env``, login); never shown, never written."""
    hub_token_source: str = ""

    def job(self, job_id: str) -> JobDirectory:
        """An import or an upload by its id.

        Raises:
            RunMissing: there is none, or the text is no id at all.
        """
        path = self.home.jobs / job_id
        if not is_job_id(job_id) or not (path / "job.json").exists():
            raise RunMissing(run=job_id[:80])
        return JobDirectory(path)
