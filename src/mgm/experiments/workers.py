"""Workers that run trials: in this process, in a pool of processes on this machine, or on a Ray cluster."""

from __future__ import annotations

import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgm.data.conversion import num_cores
from mgm.errors import ConfigError, MgmError, reason_of
from mgm.experiments.jobs import Job, Outcome, carry_out
from mgm.runs.folder import RunFolder


@dataclass(frozen=True)
class Resources:
    """CPU cores and GPUs of one trial."""

    cpus: float = 1.0
    gpus: float = 0.0
    """May be fractional; several trials then share a GPU."""


class Workers(ABC):
    """Runs jobs, several at a time. A context manager; leaving it stops running jobs."""

    @abstractmethod
    def submit(self, job: Job) -> Future[Outcome]:
        """Run a job as soon as a worker is free."""

    @abstractmethod
    def close(self) -> None:
        """Stop running jobs and free all resources."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class InThisProcess(Workers):
    """Runs jobs one after another in this process, for debugging; ``train`` is called like `mgm.train`."""

    def __init__(self, train: Callable[..., object]) -> None:
        self._train = train

    def submit(self, job: Job) -> Future[Outcome]:
        """Run the job immediately."""
        future: Future[Outcome] = Future()
        future.set_result(self._carry_out(job))
        return future

    def _carry_out(self, job: Job) -> Outcome:
        begun, error = time.monotonic(), ""
        folder = RunFolder(Path(job.folder))
        try:
            if folder.exists:
                self._train(folder.experiment(), folder.path, resume=True, baseline=False)
            else:
                self._train(job.experiment, folder.path, baseline=False, stages=job.stages or None)
        except MgmError as reason:
            error = str(reason)
        return Outcome(job.name, error, time.monotonic() - begun)

    def close(self) -> None:
        """Nothing to stop."""


class LocalPool(Workers):
    """Runs ``count`` jobs at a time in processes on this machine, each with its share of the cores and of the ``num_gpus`` GPUs."""

    def __init__(self, count: int, resources: Resources, num_gpus: int) -> None:
        self._pool = ThreadPoolExecutor(count)
        self._stopped = threading.Event()
        self._threads = threads_each(count)
        self._places: queue.SimpleQueue[str] = queue.SimpleQueue()
        names = visible_gpus(num_gpus)
        for number in range(count):
            self._places.put(gpus_of(number, resources, names))

    def submit(self, job: Job) -> Future[Outcome]:
        """Run the job in a process; a thread waits for it."""
        return self._pool.submit(self._carry_out, job)

    def _carry_out(self, job: Job) -> Outcome:
        place = self._places.get()
        try:
            environment = {**job.environment, "OMP_NUM_THREADS": self._threads, "CUDA_VISIBLE_DEVICES": place}
            return carry_out(replace(job, environment=environment), self._stopped.is_set)
        finally:
            self._places.put(place)

    def close(self) -> None:
        """Terminate all processes; their runs are continued when the experiment is started again."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)


def threads_each(count: int) -> str:
    """Threads per trial: ``OMP_NUM_THREADS`` if it is set, else an equal share of the cores."""
    return os.environ.get("OMP_NUM_THREADS", str(max(1, num_cores() // count)))


def visible_gpus(num_gpus: int) -> list[str]:
    """Names of the GPUs of this process in ``CUDA_VISIBLE_DEVICES``, which may restrict it to some of the machine's."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return (names.split(",") if names else list(map(str, range(num_gpus))))[:num_gpus]


def gpus_of(number: int, resources: Resources, names: Sequence[str]) -> str:
    """Value of ``CUDA_VISIBLE_DEVICES`` for the worker ``number``; empty without GPUs.

    Whole GPUs are assigned round-robin; with fractions, as many trials as fit share one GPU.
    """
    if not names or not resources.gpus:
        return ""
    if resources.gpus >= 1:
        each = round(resources.gpus)
        return ",".join(names[(number * each + offset) % len(names)] for offset in range(each))
    return names[number // round(1 / resources.gpus) % len(names)]


def local_count(workers: int, resources: Resources, num_gpus: int) -> int:
    """Number of concurrent trials on this machine: ``workers`` if positive, else as many as its GPUs or cores allow."""
    if workers > 0:
        return workers
    if num_gpus and resources.gpus:
        return max(1, int(num_gpus / resources.gpus + 1e-9))
    return max(1, int(num_cores() / resources.cpus + 1e-9))


class RayCluster(Workers):
    """Runs jobs on a Ray cluster, where trials wait for free resources and move to another node if theirs is lost.

    All nodes need this package, the data and the output folder under the same paths.

    Args:
        address: Address of the cluster for `ray.init`; ``auto``: a running cluster, ``local``: start one on this machine.
        cpus: Cores of one trial.
        gpus: GPUs of one trial; None: 1 if the cluster has any.
        retries: How often a trial is given to another worker after its worker was lost.

    Raises:
        ConfigError: If Ray is not installed, the cluster cannot be reached, or none of its nodes is large enough for a trial.
    """

    def __init__(self, address: str, cpus: float, gpus: float | None, retries: int) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigError("--ray needs Ray: pip install 'mgm[grid]'") from None
        self._ray: Any = ray
        self._owned = not ray.is_initialized()
        if self._owned:
            _connect(ray, address)
        self._refs: list[Any] = []
        nodes: list[dict[str, float]] = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpus is None:
            gpus = float(any(node.get("GPU") for node in nodes))
        if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            self.close()
            raise ConfigError(
                f"no node of the Ray cluster has {cpus:g} cores and {gpus:g} GPUs for a trial; "
                "lower --cpus-per-trial or --gpus-per-trial"
            )
        self._remote = ray.remote(carry_out_on_ray).options(num_cpus=cpus, num_gpus=gpus, max_retries=retries)

    def submit(self, job: Job) -> Future[Outcome]:
        """Submit the job to the cluster."""
        ref = self._remote.remote(job)
        self._refs.append(ref)
        return ref.future()

    def close(self) -> None:
        """Cancel waiting and running jobs and disconnect; a cluster that was started here is shut down."""
        done = self._ray.wait(self._refs, num_returns=len(self._refs), timeout=0)[0] if self._refs else ()
        for ref in set(self._refs).difference(done):
            self._ray.cancel(ref)
        if self._owned:
            self._ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        try:
            if address != "local":
                ray.init(address=address, **quiet)
                return
        except ConnectionError:  # no cluster is running
            if address != "auto":
                raise
        ray.init(include_dashboard=False, **quiet)  # start one on this machine
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"cannot use the Ray cluster {address!r} ({reason_of(error)}); start one with: ray start --head, or use --ray local"
        ) from None


def carry_out_on_ray(job: Job) -> Outcome:
    """`carry_out` in a Ray worker, with as many threads as cores assigned by Ray."""
    import ray

    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    threads = os.environ.get("OMP_NUM_THREADS") if cpus < 1 else str(int(cpus))
    return carry_out(replace(job, environment={**job.environment, "OMP_NUM_THREADS": threads or "1"}))
