"""Images with parts of others pasted in train M; what images look like, the discriminator learns from whole ones."""

from dataclasses import replace

import pytest
import torch

from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import toy_batch, toy_experiment, toy_trainer


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_discriminator_sees_whole_images(tmp_path, optimizer_step, accumulate):
    training = {"optimizer_step": optimizer_step, "accumulate": accumulate}
    trainer = toy_trainer(toy_experiment(training=training), tmp_path)
    batch = toy_batch(0, 4)
    mixed = replace(batch, images=torch.full_like(batch.images, 0.25), unmixed=batch.images)
    trainer.loaders["labelled"] = lambda step, count: mixed
    seen = {"discriminator": [], "encoder": []}
    for name, images in seen.items():
        trainer.networks[name].register_forward_pre_hook(lambda _, given, *, images=images: images.append(given[0]))
    trainer.enter_stage(len(trainer.stages) - 1)
    trainer.train_step(trainer.stages[-1], 0)

    def met(name, wanted):
        return any(torch.equal(image, one) for images in seen[name] for image in images for one in wanted)

    assert met("discriminator", batch.images)
    assert not met("discriminator", mixed.images)
    assert met("encoder", mixed.images)
    assert not met("encoder", batch.images)
