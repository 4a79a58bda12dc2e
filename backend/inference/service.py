"""A process that answers texts for one model: ``python -m backend.inference.service RUN|MODEL [--before]``.

JSON lines on standard input and output, one answer a question, until the input closes:

    {"texts": [...], "which": "after" | "before" | "both"}
    {"answers": [{"text", "label", "scores": {label: p}}] | null, "before": [...] | null}
    {"error": {"code", "facts"}}

``--before`` loads the model before fine-tuning at the start too. Nothing else is ever written to standard output:
what libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from backend.errors import PredictorFailed, StudioError
from backend.imports import leave_out, without_collecting

Answering = Callable[[str, list[str]], list[dict[str, Any]]]


def serve(questions: Iterable[str], answers: IO[str], answering: Answering) -> None:
    """Answer each line of ``questions`` by a line in ``answers``."""
    for line in questions:
        reply = _reply(line, answering)
        answers.write(json.dumps(reply, ensure_ascii=False) + "\n")
        answers.flush()


def _reply(line: str, answering: Answering) -> dict[str, Any]:
    try:
        question = json.loads(line)
        texts, which = list(question["texts"]), question.get("which", "after")
        return {
            "answers": answering("after", texts) if which != "before" else None,
            "before": answering("before", texts) if which != "after" else None,
        }
    except StudioError as error:
        return {"error": error.to_dict()}
    except (LookupError, TypeError, ValueError, RuntimeError, MemoryError, OSError) as error:
        # One question that cannot be answered must not cost the loaded model.
        traceback.print_exc()
        return {"error": PredictorFailed(detail=f"{type(error).__name__}: {error}"[:500]).to_dict()}


def main() -> None:
    """Entry point of the process."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # the model is here: nothing may be asked of a network
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # With peft Transformers would put an adapter that lies beside a base model's weights into the model.
    leave_out("peft")
    with without_collecting():
        from backend.inference.answering import Models
        from backend.models.forward import prepare_processor

    prepare_processor()
    models = Models(Path(sys.argv[1]))
    for which in ["after"] + (["before"] if "--before" in sys.argv[2:] else []):
        try:
            models.answerer(which)
        except StudioError as error:
            print(f"{which}: {error}", file=sys.stderr)  # told again, worded, to whoever asks
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    serve(questions, answers, lambda which, texts: models.answerer(which).answer(texts))


if __name__ == "__main__":
    main()
