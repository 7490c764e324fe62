"""Which networks step when, in the two ways to carry out a step."""

from typing import get_args, get_type_hints

import pytest

from mgm.config import TrainingConfig
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import toy_experiment, toy_trainer


def test_every_choice_of_the_settings_exists():
    assert get_args(get_type_hints(TrainingConfig)["optimizer_step"]) == tuple(OPTIMIZER_STEPS)


@pytest.mark.parametrize(("optimizer_step", "encoder", "generator"), [("separate", 7, 2), ("combined", 1, 1)])
def test_how_often_networks_step(tmp_path, optimizer_step, encoder, generator):
    experiment = toy_experiment(method={"generator_updates": 2}, training={"optimizer_step": optimizer_step})
    trainer = toy_trainer(experiment, tmp_path)
    trainer.enter_stage(2)
    trainer.train_step(trainer.stages[2], 0)

    def steps(network):
        parameter = next(trainer.networks[network].parameters())
        states = [
            optimizer.state[parameter] for optimizer in trainer.optimizers.values() if parameter in optimizer.state
        ]
        return sum(int(state["step"]) for state in states)

    assert (steps("encoder"), steps("generator"), steps("discriminator")) == (encoder, generator, generator)
    assert steps("decoders") == steps("refinement") == 1
