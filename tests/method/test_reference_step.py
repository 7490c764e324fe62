"""The trainer's step in the paper's order against Algorithm 1 written down once more: everything computed where it stands, nothing
shared, nothing kept, every gradient by plain autograd, plain Adam. In float64, so that Adam does not blow up rounding errors."""

import copy

import pytest
import torch

from mgm.functional.contrastive import nt_xent
from mgm.method.selfsup.views import TwoViews
from mgm.networks.generators.resampling import set_identities
from mgm.networks.normalization import frozen_buffers
from mgm.training.seeding import derive_seed, random_generator
from mgm.types import Batch
from reference_step import RATES, TRAINS
from toys import toy_batch, toy_experiment, toy_trainer


class PlainStep:
    """Algorithm 1, line by line."""

    def __init__(self, networks, tasks):
        self.networks, self.tasks = networks, tasks
        self.optimizers = {
            name: torch.optim.Adam(
                [
                    {
                        "params": list(networks[network].parameters()),
                        "lr": RATES.get(network, 1e-3),
                        "betas": (0.0, 0.9) if network in ("generator", "discriminator") else (0.9, 0.999),
                    }
                    for network in trained
                ],
                foreach=False,
                fused=False,
            )
            for name, trained in TRAINS.items()
        }

    def moving(self, *names):
        """Only the statistics of these networks move."""
        return frozen_buffers(*(network for name, network in self.networks.items() if name not in names))

    def learn(self, name, loss):
        parameters = [p for network in TRAINS[name] for p in self.networks[network].parameters()]
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.optimizers[name].step()
        return loss.item()

    def predict(self, images):
        return self.networks["decoders"](self.networks["encoder"](images))

    def task_loss(self, batch):
        predictions = self.predict(batch.images)
        return sum(task.loss(predictions[name], batch.targets[name]) for name, task in self.tasks.items())

    def scene_loss(self, images, scene):
        predictions = self.predict(images)
        logits = self.networks["refinement"]({n: t.refinement_input(predictions[n]) for n, t in self.tasks.items()})
        return torch.nn.functional.cross_entropy(logits, scene.argmax(1))

    def contrastive_loss(self, images, seed):
        views = torch.cat(TwoViews(images.shape[-1])(images, seed))
        first, second = self.networks["projection"](self.networks["encoder"](views)[-1]).chunk(2)
        return nt_xent(first, second, 0.5)

    def fakes(self, batch, seed, draw):
        noise = torch.randn(len(batch), 16, generator=random_generator(torch.device("cpu"), seed, "noise", draw))
        latent = self.networks["embedding"](self.networks["encoder"](batch.images)[-1]) + noise
        return self.networks["generator"](latent, batch.scene)

    def __call__(self, batch: Batch, seed: int):
        losses = {}
        with self.moving("encoder", "decoders"):
            losses["task"] = self.learn("task", self.task_loss(batch))
        with self.moving("refinement"):
            losses["refinement"] = self.learn("refinement", self.scene_loss(batch.images, batch.scene))
        with self.moving("projection"):
            loss = self.contrastive_loss(batch.images, derive_seed(seed, "views", "labelled"))
            losses["self_supervision"] = self.learn("self_supervision", loss)
        discriminator = self.networks["discriminator"]
        for draw in (1, 2):
            with self.moving("discriminator", "generator"):
                fakes = self.fakes(batch, seed, draw)
            with self.moving("discriminator"):
                real = torch.relu(1 - discriminator(batch.images, batch.scene)).mean()
            with self.moving():  # one power iteration per update
                fake = torch.relu(1 + discriminator(fakes.detach(), batch.scene)).mean()
            losses["discriminator"] = self.learn("discriminator", real + fake)
            with self.moving():
                scores = discriminator(self.fakes_again(batch, seed, draw, fakes), batch.scene)
                losses["generator"] = self.learn("generator", -scores.mean())
        with self.moving():
            synthesized = self.fakes(batch, seed, 3).detach().float()  # by G as it is after its last update
            losses["extra_refinement"] = self.learn("extra_refinement", self.scene_loss(synthesized, batch.scene))
            loss = self.contrastive_loss(synthesized, derive_seed(seed, "views", "extra"))
            losses["extra_self_supervision"] = self.learn("extra_self_supervision", loss)
        return losses

    def fakes_again(self, batch, seed, draw, before):
        """The images of D's loss, computed anew for G's: the noise of one minibatch serves both, as sharing them means."""
        again = self.fakes(batch, seed, draw)
        torch.testing.assert_close(again, before)
        return again


def prepared(trainer):
    trainer.position.stage = 2
    trainer.networks.double().train()
    # views, and images that were synthesized, are float32
    trainer.networks["encoder"].register_forward_pre_hook(lambda _module, inputs: (inputs[0].double(),))
    return trainer


@pytest.mark.parametrize("identities, decoder", [("off", "paper"), ("on", "paper"), ("auto", "pyramid")])
def test_paper_order_is_algorithm_1_step_for_step(tmp_path, identities, decoder):
    model = {"identities": identities, "decoder": decoder}
    experiment = toy_experiment(model=model)
    trainer = toy_trainer(experiment, tmp_path)
    torch.nn.init.constant_(trainer.networks["generator"].get_parameter("attention.gamma"), 0.3)
    prepared(trainer)
    plain_networks = copy.deepcopy(trainer.networks)
    set_identities(plain_networks, "off")
    plain = PlainStep(plain_networks, trainer.tasks)
    stage, batch_size = trainer.stages[2], trainer.config.batch_size
    for network in trainer.networks.values():
        network.requires_grad_(True)

    def feed(step, count):
        batch = toy_batch(100 + step, count)
        images = (batch.images * 127.5).round() / 127.5  # exact in float32, whatever sums it takes part in
        return Batch(images, batch.targets, batch.scene)

    trainer.loaders = {"labelled": lambda step, count: doubled(feed(step, count))}
    begun = copy.deepcopy(plain_networks.state_dict())
    for index in range(3):
        ours = trainer.train_step(stage, index)
        seed = derive_seed(trainer.seed, stage.name, index, 0)
        earlier = sum(s.steps for s in trainer.stages[:2] if s.data == "labelled")
        theirs = plain(doubled(feed(earlier + index, batch_size)), seed)
        assert {name: loss.item() for name, loss in ours.items()} == pytest.approx(theirs, rel=1e-6)
        state, expected = trainer.networks.state_dict(), plain_networks.state_dict()
        assert state.keys() == expected.keys()
        for name in expected:
            torch.testing.assert_close(state[name], expected[name], rtol=1e-5, atol=1e-7, msg=f"{name}, step {index}")
    moved = [name for name, value in plain_networks.named_parameters() if not torch.equal(begun[name], value)]
    assert len(moved) == len(list(plain_networks.parameters()))


def doubled(batch):
    targets = {
        name: target.double() if target.is_floating_point() else target for name, target in batch.targets.items()
    }
    return Batch(batch.images.double(), targets, batch.scene.double())
