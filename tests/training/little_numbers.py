"""A worker that draws a number and says it."""

from __future__ import annotations

import numpy as np


def main() -> int:
    """Draw from NumPy's own generator, which nobody has seeded."""
    print(np.random.rand(), flush=True)
    return 0
