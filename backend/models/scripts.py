"""Scripts that write words without spaces between them, such as Chinese. Knows nothing of torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
TEXTS_LOOKED_AT = 2000


def mostly_unspaced(texts: Sequence[str]) -> bool:
    """Whether most letters are of scripts without spaces between words."""
    unspaced = letters = 0
    for text in texts[:: max(1, len(texts) // TEXTS_LOOKED_AT)]:
        unspaced += len(UNSPACED.findall(text))
        letters += sum(map(str.isalpha, text))
    return 2 * unspaced > letters
