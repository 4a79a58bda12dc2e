"""What the pages stand on, made once by the server and handed down: the home, its runs, and who answers texts."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import RunMissing
from backend.inference.client import PredictorPool
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.store import RunStore
from backend.settings import Home
from studio.remedies import again


@dataclass(frozen=True)
class Services:
    """The studio's own parts, free of any page."""

    home: Home
    store: RunStore
    predictors: PredictorPool
    hub_token: str | None = None
    """Found at the start (environment, ``.env``, login); never shown, never written."""
    hub_token_source: str = ""

    @property
    def secrets(self) -> dict[str, str]:
        """What the processes of a job are told by their environment only."""
        return {"HF_TOKEN": self.hub_token} if self.hub_token else {}

    def retry(self, run_id: str, code: str) -> JobDirectory:
        """A new run, started, like a failed one but for what its remedy of this code changes.

        Raises:
            RunMissing: there is no such run.
            NoRemedy, RemedyMissing: it did not fail, or not in a way that this would help against.
        """
        run = self.store.get(run_id)
        return self.store.start_new(again(self.store, run, code), environ=self.secrets)

    def resume(self, run_id: str, step: int | None = None) -> JobDirectory:
        """Attempt the run again (`RunStore.resume`)."""
        return self.store.resume(run_id, step, environ=self.secrets)

    def job(self, job_id: str) -> JobDirectory:
        """An import or an upload by its id.

        Raises:
            RunMissing: there is none, or the text is no id at all.
        """
        path = self.home.jobs / job_id
        if not is_job_id(job_id) or not (path / "job.json").exists():
            raise RunMissing(run=job_id[:80])
        return JobDirectory(path)
