import os
import signal
import subprocess
import sys
import time

import pytest

from mgm.errors import ConfigError
from mgm.experiments import jobs, workers
from mgm.experiments.jobs import Job
from mgm.experiments.plans import train_arguments, with_options
from mgm.experiments.workers import InThisProcess, LocalPool, RayCluster, Resources, gpus_of, local_count, threads_each
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder


def job(folder, name="one", **more) -> Job:
    return Job(name, str(folder / name), make_experiment("mt", "tiny"), (), **more)


@pytest.fixture
def script(monkeypatch):
    """Let a script stand for the training."""

    def use(text: str) -> None:
        text = (
            "import os, pathlib, sys, time\nrun = pathlib.Path(sys.argv[1]); run.mkdir(parents=True, exist_ok=True)\n"
            + text
        )
        monkeypatch.setattr(jobs, "_command", lambda job, run: [sys.executable, "-c", text, str(run.path)])

    return use


@pytest.mark.parametrize(
    ("share", "num_gpus", "expected"),
    [
        (0.0, 4, ["", "", "", ""]),
        (1.0, 0, ["", "", "", ""]),
        (1.0, 2, ["0", "1", "0", "1"]),
        (0.5, 2, ["0", "0", "1", "1"]),
        (2.0, 4, ["0,1", "2,3", "0,1", "2,3"]),
    ],
)
def test_gpus_are_dealt_out(share, num_gpus, expected) -> None:
    names = [str(number) for number in range(num_gpus)]
    assert [gpus_of(number, Resources(gpus=share), names) for number in range(4)] == expected


def test_as_many_trials_as_the_machine_carries(monkeypatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 16)
    assert local_count(3, Resources(), 8) == 3
    assert local_count(0, Resources(cpus=1), 0) == 16
    assert local_count(0, Resources(cpus=4), 0) == 4
    assert local_count(0, Resources(cpus=1, gpus=1), 2) == 2
    assert local_count(0, Resources(cpus=1, gpus=0.25), 2) == 8
    assert local_count(0, Resources(cpus=64), 0) == 1


def test_cores_are_shared_out(monkeypatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "num_cores", lambda: 16)
    assert threads_each(4) == "4"
    assert threads_each(32) == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_each(4) == "3"


def test_a_pool_carries_out_two_at_a_time(script, tmp_path) -> None:
    """Each waits until the other has begun; one after another they would wait for ever."""
    script(
        "(run / 'begun').touch()\nend = time.time() + 20\n"
        "while not all((run.parent / n / 'begun').exists() for n in ('a', 'b')) and time.time() < end: time.sleep(.01)\n"
        "assert time.time() < end\n(run / 'result.json').write_text('{}')"
    )
    with LocalPool(2, Resources(), 0) as pool:
        futures = [pool.submit(job(tmp_path, name)) for name in ("a", "b")]
        assert [future.result(30).error for future in futures] == ["", ""]


@pytest.mark.parametrize(
    ("visible", "share", "seen"), [("", 1.0, "0"), ("5,2", 1.0, "5"), ("5,2", 2.0, "5,2"), ("", 0.0, "")]
)
def test_trials_get_their_gpu_and_threads(script, tmp_path, monkeypatch, visible, share, seen) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    script(
        "(run / 'seen').write_text(os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + os.environ['OMP_NUM_THREADS'])\n"
        "(run / 'result.json').write_text('{}')"
    )
    with LocalPool(1, Resources(gpus=share), 2) as pool:
        pool.submit(job(tmp_path)).result(30)
    assert (tmp_path / "one" / "seen").read_text() == f"{seen} 1"


def test_leaving_early_stops_what_runs(script, tmp_path) -> None:
    script("(run / 'pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    with LocalPool(1, Resources(), 0) as pool:
        future = pool.submit(job(tmp_path))
        waiting = pool.submit(job(tmp_path, "two"))
        while not (tmp_path / "one" / "pid").exists() or not (tmp_path / "one" / "pid").read_text():
            time.sleep(0.05)
    assert future.result(1).error == "stopped"
    assert waiting.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "one" / "pid").read_text()), 0)


def test_in_this_process_an_error_is_an_outcome(tmp_path) -> None:
    def refuse(*args, **kwargs):
        raise ConfigError("no such data")

    with InThisProcess(refuse) as here:
        assert here.submit(job(tmp_path)).result().error == "no such data"


def test_ray_is_an_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[grid\]'"):
        RayCluster("local", 1, None, 1)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two pretended cores on this machine."""
    ray = pytest.importorskip("ray")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trials_share_a_ray_cluster_and_those_whose_worker_dies_are_given_to_another(cluster, tmp_path) -> None:
    """Both ask for half of the cores, so both run."""
    running, jobs, folders = [], [], [RunFolder(tmp_path / name) for name in ("s0", "s1")]
    for seed, folder in enumerate(folders):
        experiment = with_options(make_experiment("mt", "tiny"), (("seed", seed),))
        arguments = tuple(train_arguments(experiment, "tiny"))
        jobs.append(Job(folder.path.name, str(folder.path), experiment, arguments))
    with RayCluster("auto", 1, None, 2) as workers:
        futures = [workers.submit(one) for one in jobs]
        while not any(folder.exists for folder in folders) and not any(future.done() for future in futures):
            running.append(cluster.cluster_resources()["CPU"] - cluster.available_resources().get("CPU", 0))
            time.sleep(0.02)
        killed = _kill_ray_workers()
        assert [future.result(500).error for future in futures] == ["", ""]
    assert max(running) == 2
    assert killed
    assert all(folder.finished for folder in folders)


def _kill_ray_workers() -> int:
    """Kill every worker process of Ray that carries out a trial."""
    found = subprocess.run(["pgrep", "-f", "ray::carry_out"], capture_output=True, text=True).stdout.split()
    for process in found:
        os.kill(int(process), signal.SIGKILL)
    return len(found)


class NoCluster:
    """Stands for the module `ray` where no cluster answers."""

    def __init__(self) -> None:
        self.calls: list[dict[str, object]] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: object) -> None:
        self.calls.append(options)
        if "address" in options:
            raise ConnectionError("nobody answers\nat length")

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"GPU": 1.0}}]

    def remote(self, function):
        return self

    def options(self, **options: object):
        self.calls.append(options)
        return self

    def shutdown(self) -> None:
        self.calls.append({"shutdown": True})


def test_a_cluster_that_cannot_be_reached(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", NoCluster())
    with pytest.raises(
        ConfigError, match=r"cannot use the Ray cluster '10.0.0.1:6379' \(nobody answers\); start one with"
    ):
        RayCluster("10.0.0.1:6379", 1, None, 1)


def test_auto_starts_a_cluster_where_none_runs(monkeypatch) -> None:
    fake = NoCluster()
    monkeypatch.setitem(sys.modules, "ray", fake)
    RayCluster("auto", 1, None, 1).close()
    assert [call.get("address") for call in fake.calls] == ["auto", None, None, None]
    assert fake.calls[2]["num_gpus"] == 0
    assert fake.calls[-1] == {"shutdown": True}


@pytest.mark.parametrize(("cpus", "gpus"), [(1, 1), (3, None)])
def test_a_trial_that_no_node_has_room_for(monkeypatch, cpus, gpus) -> None:
    fake = NoCluster()
    monkeypatch.setitem(sys.modules, "ray", fake)
    with pytest.raises(ConfigError, match=r"no node of the Ray cluster has \d cores and \d GPUs for a trial; lower"):
        RayCluster("auto", cpus, gpus, 1)
    assert fake.calls[-1] == {"shutdown": True}
