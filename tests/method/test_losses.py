"""The explicit E-step of `eml_explicit`; what the other losses compute: test_reference_step.py."""

from typing import Any

from mgm.functional.classification import scene_loss
from mgm.method.losses import estimate_predictions, estimation_loss
from mgm.training.step import StepInputs
from mgm.training.trainer import Trainer
from toys import toy_batch, toy_experiment, toy_trainer


def make_step(folder, steps, count) -> tuple[Trainer, Any]:
    """A trainer whose E-step takes so many steps, and a step of joint training."""
    method = {"refinement": "eml_explicit", "estimation_steps": steps}
    trainer = toy_trainer(toy_experiment(method=method), folder)
    trainer.networks.train()
    return trainer, trainer.make_step(StepInputs(toy_batch(0, count), 0, 1, 0))


def test_e_step_makes_the_scene_likelier(tmp_path):
    """Eq. 4: the estimate has a higher log P(c | y) than M's prediction, and moves no further than its steps."""
    trainer, step = make_step(tmp_path, 5, 8)
    predictions = step.predictions("extra")
    estimate = estimate_predictions(step, "extra", predictions)
    scene = step.images_of("extra").scene

    def energy(values):
        return scene_loss(trainer.networks["refinement"](step.refinement_inputs(values)), scene, False)

    assert energy(estimate) < energy({task: value.detach() for task, value in predictions.items()})
    for task, value in estimate.items():
        moved = (value - predictions[task].detach()).square().mean().sqrt()
        assert 0 < moved <= 5 * 0.1 * predictions[task].detach().std() * 1.001
        assert not value.requires_grad


def test_m_step_without_an_e_step_has_nothing_to_learn(tmp_path):
    _, step = make_step(tmp_path, 0, 4)
    assert estimation_loss(step, "extra").abs() < 1e-5
