"""Processes are those of torchrun, whatever allocation a batch system has given."""

import pytest

from mgm.config import TrainingConfig
from mgm.errors import ConfigError
from mgm.runs.devices import launch, started_processes

ALLOCATIONS = [
    {"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train.sh", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},
    {"LSB_JOBID": "7", "LSB_DJOB_RANKFILE": "/nowhere", "JSM_NAMESPACE_LOCAL_RANK": "0", "JSM_NAMESPACE_SIZE": "4"},
]


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_an_allocation_of_several_tasks_trains_in_this_process(monkeypatch, allocation):
    for name, value in allocation.items():
        monkeypatch.setenv(name, value)
    fabric = launch(TrainingConfig(device="cpu"))
    assert (fabric.world_size, fabric.is_global_zero) == (1, True)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many' in the environment, but that is no number"),
        ({"WORLD_SIZE": "0"}, "that is no number of processes"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is '2' in the environment, but RANK is not; unset it, or start by torchrun"),
    ],
)
def test_half_an_environment_is_refused(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        started_processes()
