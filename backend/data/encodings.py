"""In which encoding a file's bytes are. Runs in a child process only.

Strict UTF-8 is tried first, then the Chinese encodings by what they would make of the bytes, and only then a
statistical guess (charset-normalizer), because that one misjudges short samples.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from charset_normalizer import from_bytes

from backend.errors import EncodingUnknown

HEAD_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
CONTROL_BYTES = bytes(set(range(32)) - {9, 10, 12, 13}) + b"\x7f"
DOCUMENTS = (b"%PDF-", b"{\\rtf")
"""How PDF and RTF begin, which may hold no control byte at all."""
BINARY_SHARE = 0.02
BOMS = (  # UTF-32 first: its little-endian mark starts with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LEAST_KANA = 0.25
"""Running Japanese is half kana; Chinese bytes read as Japanese are next to none."""
COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实很送吃味点店买"
    "這個們來為國說時會對於著過發後裡種經麼學現當沒動還進樣開從實點買"
)
"""Frequent characters of running Chinese text; about a quarter of it, and next to none of bytes read wrongly."""

WESTERN = frozenset("àáâãäåæçèéêëìíîïñòóôõöøùúûüÿœßÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜŒ‘’‚“”„–—…«»¡¿€£§©®™°·´\u00a0")
"""What Western European texts hold beyond ASCII."""

Opener = Callable[[], BinaryIO]


class BinaryContent(Exception):
    """The bytes are no text in any encoding."""


@dataclass(frozen=True)
class TextFacts:
    """How to decode a file, and what to clean on the way."""

    encoding: str
    undecodable: int
    """Characters that had to be replaced by U+FFFD."""
    has_nul: bool
    has_return: bool


def detect_text(open_bytes: Opener, asked: str = "") -> TextFacts:
    """The encoding of the whole stream, which is read once or more; never held in memory. ``asked`` overrides it.

    Raises:
        BinaryContent: it is no text.
        EncodingUnknown: no encoding is called what was asked for.
    """
    with open_bytes() as stream:
        head = read_block(stream, HEAD_BYTES)
    marked = next((name for mark, name in BOMS if head.startswith(mark)), "")
    encoding = _known(asked, marked) or marked or _utf16_without_mark(head)
    if not encoding and looks_binary(head):
        raise BinaryContent
    if facts := _scan(open_bytes, encoding or "utf-8", "strict"):
        return facts
    encoding = encoding or _encoding_without_mark(head)
    facts = None if encoding == "utf-8" else _scan(open_bytes, encoding, "strict")
    if facts := facts or _scan(open_bytes, encoding, "replace"):
        return facts
    raise BinaryContent


def _known(asked: str, marked: str) -> str:
    """The name of the encoding that people ask for; one that agrees with the file's own mark leaves the mark out."""
    if not asked.strip():
        return ""
    try:
        codec = codecs.lookup(asked.strip().replace("gb2312", "gb18030"))
    except (LookupError, ValueError) as error:
        raise EncodingUnknown(encoding=asked) from error
    if not codec._is_text_encoding:
        raise EncodingUnknown(encoding=asked)
    same = marked.removesuffix("-sig") == codec.name.removesuffix("-le").removesuffix("-be")
    return marked if marked and same else codec.name


def _scan(open_bytes: Opener, encoding: str, errors: str) -> TextFacts | None:
    """What the decoded stream holds; None where it does not decode and ``errors`` is strict."""
    undecodable, has_nul, has_return = 0, False, False
    try:
        for text in decoded(open_bytes, encoding, errors):
            undecodable += 0 if errors == "strict" else text.count("\ufffd")
            has_nul = has_nul or "\0" in text
            has_return = has_return or "\r" in text
    except UnicodeError:
        if errors != "strict":
            raise BinaryContent from None
        return None
    return TextFacts(encoding, undecodable, has_nul, has_return)


def looks_binary(head: bytes) -> bool:
    """Whether it is a document, or there are more control bytes than a text has. A few stray NULs are not enough."""
    head = head[: 1 << 16]
    return head.startswith(DOCUMENTS) or len(head) - len(head.translate(None, CONTROL_BYTES)) > BINARY_SHARE * len(head)


def decoded(open_bytes: Opener, encoding: str, errors: str = "replace") -> Iterator[str]:
    """The stream's text in blocks."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with open_bytes() as stream:
        while block := stream.read(BLOCK_BYTES):
            yield decoder.decode(block)
        yield decoder.decode(b"", final=True)


def read_block(stream: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes, also from a stream that hands out less a call."""
    buffer = io.BytesIO()
    while buffer.tell() < size and (block := stream.read(size - buffer.tell())):
        buffer.write(block)
    return buffer.getvalue()


def _utf16_without_mark(head: bytes) -> str:
    if b"\0" not in head:
        return ""
    for encoding in ("utf-16-le", "utf-16-be"):
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
        plausible = sum(c.isalpha() or c.isprintable() or c.isspace() for c in text)
        if "\n" in text and plausible > 0.95 * len(text):
            return encoding
    return ""


def _encoding_without_mark(head: bytes) -> str:
    """The encoding of what is not all UTF-8, told from its beginning."""
    if _is_nearly_utf8(head):
        return "utf-8"
    japanese = [(share, name) for name in ("cp932", "euc_jp") if (share := _kana_share(head, name)) > LEAST_KANA]
    if japanese:
        return max(japanese)[1]
    chinese = [
        (score, encoding)
        for encoding, score in (("gb18030", _chinese_score(head, "gb18030")), ("big5", _chinese_score(head, "big5")))
        if score is not None
    ]
    if chinese:
        return max(chinese)[1]
    if _is_western(head):  # the statistics take a short one for any of a dozen code pages
        return "cp1252"
    best = from_bytes(head[: 1 << 17]).best()
    return best.encoding if best is not None else "cp1252"


def _is_nearly_utf8(head: bytes) -> bool:
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    beyond_ascii = sum(not c.isascii() for c in text)
    return text.count("\ufffd") <= 0.02 * beyond_ascii


def _is_western(head: bytes) -> bool:
    """Whether these bytes are text of a Western European language in cp1252.

    Bytes of other alphabets are too many for accents; those of Central European ones become signs inside words.
    """
    beyond_ascii = [c for c in head.decode("cp1252", "replace") if not c.isascii()]
    expected = sum(c in WESTERN for c in beyond_ascii)
    return len(beyond_ascii) < 0.35 * len(head) and expected >= 0.97 * len(beyond_ascii)


def _chinese_score(head: bytes, encoding: str) -> float | None:
    """The share of frequent characters if these bytes are plausible Chinese in this encoding, else None.

    Plausible: nine in ten characters beyond ASCII belong to the encoding's everyday part. Bytes of other
    encodings fall into its extension areas.
    """
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    beyond_ascii = [c for c in text if not c.isascii()]
    if not beyond_ascii or text.count("\ufffd") > 0.01 * len(beyond_ascii):
        return None
    everyday = sum(_is_everyday(c, encoding) for c in beyond_ascii)
    han = [c for c in beyond_ascii if "\u4e00" <= c <= "\u9fff"]
    score = sum(c in COMMON_HAN for c in han) / max(1, len(han))
    enough = score >= 0.05 or len(han) < 100
    return score if enough and han and everyday >= 0.9 * len(beyond_ascii) else None


def _kana_share(head: bytes, encoding: str) -> float:
    """The share of full-width kana beyond ASCII; half-width ones are what other encodings' bytes look like."""
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
    beyond_ascii = [c for c in text if not c.isascii()]
    if not beyond_ascii or text.count("\ufffd") > 0.01 * len(beyond_ascii):
        return 0.0
    return sum("\u3041" <= c <= "\u30fc" for c in beyond_ascii) / len(beyond_ascii)


def _is_everyday(character: str, encoding: str) -> bool:
    try:
        code = character.encode("gb2312" if encoding == "gb18030" else encoding)
    except UnicodeEncodeError:
        return False
    return encoding == "gb18030" or 0xA1 <= code[0] <= 0xC6
