"""Construction of a run's networks, each initialised from its own random stream."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from mgm.config import ModelConfig
from mgm.errors import choose
from mgm.method.selfsup import SELF_SUPERVISION
from mgm.models import MODELS
from mgm.models.base import MultiTaskModel
from mgm.networks.embedding import LatentEmbedding
from mgm.networks.generators import GENERATORS
from mgm.networks.generators.resampling import set_identities
from mgm.networks.refinement import RefinementNetwork
from mgm.networks.uncertainty import UncertaintyWeights
from mgm.tasks.base import Task
from mgm.training.networks import Networks
from mgm.training.seeding import seeded
from mgm.types import SizeSetting


def build_model(tasks: dict[str, Task], config: ModelConfig, seed: int) -> MultiTaskModel:
    """Build M, the encoder with one decoder per task.

    Raises:
        ConfigError: If the architecture is unknown.
    """
    with seeded(seed, "model"):
        architecture = choose("architecture", config.architecture, MODELS)
        return architecture({name: task.channels for name, task in tasks.items()}, config)


def build_networks(
    names: frozenset[str],
    tasks: dict[str, Task],
    config: ModelConfig,
    *,
    image_size: SizeSetting,
    num_scenes: int,
    seed: int,
) -> Networks:
    """Build M and all other networks that the stages train.

    Every network is initialised from its own random stream, so networks that two recipes share start from the same weights.

    Args:
        names: Networks that some stage trains (`Stage.trains`).
        tasks: The tasks to learn.
        config: Architecture and sizes of the networks.
        image_size: Size of the images that the generator makes.
        num_scenes: Number of scene labels; with 0, the generator is unconditional.
        seed: The run's seed.
    """
    model = build_model(tasks, config, seed)
    pair = choose("generator", config.generator, GENERATORS)
    labels = max(num_scenes, 1)
    channels = {name: task.channels for name, task in tasks.items()}
    builders: dict[str, Callable[[], nn.Module]] = {
        "refinement": lambda: RefinementNetwork(
            channels, num_scenes, config.refinement_depth, config.widths, config.refinement_hidden
        ),
        "embedding": lambda: LatentEmbedding(model.feature_channels, config.latent_size),
        "generator": lambda: pair.generator(
            image_size, config.latent_size, labels, config.generator_width, config.image_channels
        ),
        "uncertainty": lambda: UncertaintyWeights(tasks),
        "discriminator": lambda: pair.discriminator(
            image_size, labels, config.discriminator_width, config.image_channels
        ),
    }
    for method in SELF_SUPERVISION.values():
        builders[method.network] = lambda method=method: method.build_head(model.encoder, config)
    others: dict[str, nn.Module] = {}
    for name in sorted(names - model.parts.keys()):
        with seeded(seed, name):
            others[name] = builders[name]()
    networks = Networks(model, others, fixed=("encoder",) if config.freeze_encoder else ())
    set_identities(networks, config.identities)
    return networks
