"""A zip of texts in folders, one folder a class; folders above that are called train or test say the part.

Child process only.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from backend.data.encodings import BinaryContent, detect_text
from backend.data.files import part_of
from backend.data.sources import members_of, reading_errors, suffix_of
from backend.errors import NotATable, TooLarge

TEXT_SUFFIXES = ("", ".txt", ".text", ".md", ".html", ".htm")
SAMPLE_BYTES = 1 << 20
BROKEN_LISTED = 20
LARGEST_TEXT_BYTES = 32 << 20


@dataclass(frozen=True)
class TextFile:
    """One text in the archive, with what its folders say."""

    member: str
    label: str
    part: str


@dataclass(frozen=True)
class TextFolders:
    """The texts of an archive; ``left_out`` files lie elsewhere in it."""

    path: Path
    name: str
    texts: list[TextFile]
    left_out: int

    @property
    def has_parts(self) -> bool:
        """Whether folders say which part of the data a text belongs to."""
        return len({text.part for text in self.texts}) > 1


def find_text_folders(path: Path, name: str) -> TextFolders | None:
    """The texts of a zip archive if they lie in two or more folders, as deep as most of them; else None."""
    with reading_errors(name):
        members = members_of(path)
    found = [m for m in members if suffix_of(m.filename) in TEXT_SUFFIXES and len(PurePosixPath(m.filename).parts) > 1]
    depths = Counter(len(PurePosixPath(m.filename).parts) for m in found)
    if not depths:
        return None
    depth = max(depths, key=lambda depth: (depths[depth], depth))
    texts = [_text_file(m.filename) for m in found if len(PurePosixPath(m.filename).parts) == depth]
    labels = {text.label for text in texts if not part_of(text.label)}
    if len(labels) < 2 or len(texts) < 0.5 * len(members):
        return None
    if any(m.flag_bits & 1 for m in found):
        raise NotATable(file=name, detail="encrypted")
    return TextFolders(path, name, texts, len(members) - len(texts))


def _text_file(member: str) -> TextFile:
    folders = PurePosixPath(member).parts[:-1]
    above = [part for folder in reversed(folders[:-1]) if (part := part_of(folder))]
    return TextFile(member, folders[-1], above[0] if above else "")


class TextFolderReader:
    """Reads the texts one by one; ``done`` of them so far."""

    def __init__(self, folders: TextFolders, encoding: str, limit_bytes: int) -> None:
        self.folders, self._limit_bytes, self._asked = folders, limit_bytes, encoding
        self.done = 0
        self.undecodable, self.broken_texts = 0, 0
        self.broken: list[dict[str, Any]] = []
        """The first texts that do not decode, with their numbers."""
        with reading_errors(folders.name), zipfile.ZipFile(folders.path) as archive:
            sample = self._sample(archive)
        try:
            self.encoding = detect_text(lambda: io.BytesIO(sample), encoding).encoding
        except BinaryContent as error:
            raise NotATable(file=folders.name, detail="binary") from error

    def _sample(self, archive: zipfile.ZipFile) -> bytes:
        """The beginnings of texts from all over the archive."""
        step = len(self.folders.texts) // 1000 + 1
        blocks: list[bytes] = []
        for text in self.folders.texts[::step]:
            with archive.open(text.member) as stream:
                blocks.append(stream.read(4096) if not blocks else b"\n" + stream.read(4096))
            if sum(map(len, blocks)) > SAMPLE_BYTES:
                break
        return b"".join(blocks)

    def rows(self) -> Iterator[list[str]]:
        """Each text with its label, its part and its name."""
        total = 0
        with reading_errors(self.folders.name), zipfile.ZipFile(self.folders.path) as archive:
            for text in self.folders.texts:
                with archive.open(text.member) as stream:
                    content = stream.read(LARGEST_TEXT_BYTES + 1)
                total += len(content)
                if len(content) > LARGEST_TEXT_BYTES or total > self._limit_bytes:
                    raise TooLarge(file=self.folders.name, limit=f"{self._limit_bytes / 1e9:.1f} GB")
                self.done += 1
                yield [self._decoded(content), text.label, text.part or "train", text.member]

    def _decoded(self, content: bytes) -> str:
        try:
            text = content.decode(self.encoding if self._asked else "utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode(self.encoding, "replace")
            if broken := text.count("\ufffd"):
                self.undecodable += broken
                self.broken_texts += 1
                if len(self.broken) < BROKEN_LISTED:
                    self.broken.append({"row": self.done, "text": text[:120]})
        return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip()
