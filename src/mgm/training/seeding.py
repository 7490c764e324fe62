"""Named random streams: seeds are derived from names, so no random state has to be saved to resume a run.

The batch, the noise and the augmentation of step ``t`` depend only on the run's seed, on their own name and on ``t``. So two
recipes see the same batches and start from the same weights even if one draws more random numbers than the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import contextmanager

import torch


def derive_seed(*parts: object) -> int:
    """Derive a 63-bit seed from names and numbers; the same on every machine and Python version."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def random_generator(device: torch.device, *parts: object) -> torch.Generator:
    """A new generator for the random stream named by ``parts``."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


@contextmanager
def seeded(*parts: object) -> Generator[None]:
    """Context in which torch's global random state is that of the stream ``parts``; restored afterwards."""
    # CUDA is not initialised only to be seeded
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(*parts))
        yield
