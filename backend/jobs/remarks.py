"""What users note about a run beside its name, in its folder as ``remarks.json``: tags to find it by, and notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from backend.errors import RemarksInvalid
from backend.jobs.directory import JobDirectory
from backend.jobs.files import read_json, write_json

MOST_TAGS, TAG_LENGTH, NOTES_LENGTH = 20, 40, 4000
FILE = "remarks.json"


@dataclass(frozen=True)
class Remarks:
    """What a user noted about a run."""

    tags: tuple[str, ...] = ()
    notes: str = ""


def read_remarks(run: JobDirectory) -> Remarks:
    """What is noted about the run; nothing at first."""
    try:
        document = read_json(run.path / FILE)
    except FileNotFoundError:
        return Remarks()
    return Remarks(tuple(document["tags"]), document["notes"])


def write_remarks(run: JobDirectory, remarks: Remarks) -> None:
    """Note this about the run, in place of what was noted before."""
    write_json(run.path / FILE, asdict(remarks))


def build_remarks(tags: Iterable[str], notes: str) -> Remarks:
    """Tags without blanks around them and each but once, and notes.

    Raises:
        RemarksInvalid: there are too many tags, one is too long or holds a comma or a line break, or the notes are
            too long.
    """
    kept = tuple(dict.fromkeys(filter(None, map(str.strip, tags))))
    fine = all(len(tag) <= TAG_LENGTH and tag.isprintable() and "," not in tag and "，" not in tag for tag in kept)
    if len(kept) > MOST_TAGS or not fine or len(notes) > NOTES_LENGTH:
        raise RemarksInvalid(most_tags=MOST_TAGS, tag_length=TAG_LENGTH, notes_length=NOTES_LENGTH)
    return Remarks(kept, notes.strip())
