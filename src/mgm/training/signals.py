"""Signals that end a training: held back to the end of a step, when its state can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from mgm.errors import ENDING_SIGNALS, Interrupted
from mgm.functional.distributed import world_size


class HeldSignals:
    """What has arrived while signals are held back; the second one is not."""

    def __init__(self) -> None:
        self.number = 0
        """The signal that wants an end; 0: none."""

    def __call__(self, number: int, frame: object) -> None:
        """The handler."""
        if self.number:
            raise Interrupted(number)
        self.number = number

    def agreed(self, device: torch.device) -> int:
        """`number`, of any of the processes; all of them have to ask."""
        if world_size() > 1:
            number = torch.tensor(self.number, device=device)
            dist.all_reduce(number, dist.ReduceOp.MAX)
            self.number = int(number)
        return self.number


@contextmanager
def held_signals() -> Generator[HeldSignals]:
    """Context in which Ctrl-C and the other `ENDING_SIGNALS` are held back, except for those that are ignored (``nohup``).

    Does nothing in a thread other than the main one, which receives no signals.
    """
    held = HeldSignals()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, held)
    try:
        yield held
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
