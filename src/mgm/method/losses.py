"""The losses of the method: one function per line of Algorithm 1. Each returns a scalar and has no side effects.

``source`` names the images of a loss: ``"labelled"`` (the minibatch) or ``"extra"`` (synthesized images, or those that the recipe
uses instead).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mgm.functional.adversarial import discriminator_hinge_loss, generator_hinge_loss
from mgm.functional.classification import scene_loss
from mgm.method.step import JointStep
from mgm.models.adashare import AdaShareEncoder, Policy
from mgm.models.base import task_of
from mgm.networks.normalization import frozen_buffers
from mgm.types import Batch, Predictions


def task_loss(step: JointStep, source: str) -> Tensor:
    """``L_multi(y, M(x))``: the sum of the task losses, each averaged over its valid pixels (Algorithm 1, line 1)."""
    return task_losses(step, source).sum()


def refinement_loss(step: JointStep, source: str) -> Tensor:
    """``L_CE(c, R(M(x)))``: scene cross-entropy (Algorithm 1, lines 2 and 5); binary cross-entropy for multi-hot labels (G.1)."""
    logits = step.networks["refinement"](step.refinement_inputs(step.predictions(source)))
    batch = step.images_of(source)
    return batch.weigh("scene", scene_loss(logits, batch.scene, step.multi_hot))


def discriminator_loss(step: JointStep, source: str) -> Tensor:
    """Hinge loss of D on the minibatch and on images synthesized with the same labels (Algorithm 1, line 4)."""
    labels, discriminator = step.labels(), step.networks["discriminator"]
    if step.inputs.combined:
        real_scores = discriminator(step.batch.real_images, labels)
        with frozen_buffers(discriminator):  # only one power iteration (spectral norm) per update
            return discriminator_hinge_loss(real_scores, step.fake_scores())
    images = torch.cat([step.batch.real_images, step.fakes().detach().to(step.batch.images.dtype)])
    # one pass for both halves is safe: without batch norm in D, images do not influence each other
    real_scores, fake_scores = discriminator(images, labels.repeat(2, 1)).chunk(2)
    return discriminator_hinge_loss(real_scores, fake_scores)


def generator_loss(step: JointStep, source: str) -> Tensor:
    """Hinge loss of G; its gradient also reaches E through the embedding layer (Algorithm 1, line 4; Figure 3)."""
    return generator_hinge_loss(step.fake_scores())


# ---- variants of line 1 ----


def task_losses(step: JointStep, source: str) -> Tensor:
    """The terms of `task_loss`, ``[T]``: one loss per task that the images have labels for."""
    return torch.stack(list(_losses(step, step.all_predictions(source), step.images_of(source)).values()))


def uncertainty_loss(step: JointStep, source: str) -> Tensor:
    """Sum of the task losses with learned uncertainty weights (Kendall et al., 2018)."""
    return step.networks["uncertainty"](_losses(step, step.all_predictions(source), step.images_of(source)))


def policy_loss(step: JointStep, source: str) -> Tensor:
    """``L_multi + λ_sp L_sparsity + λ_sh L_sharing`` for AdaShare's policy, with M's weights fixed (Sun et al., 2020, eq. 5).

    Weights and policy are trained alternately, as in the paper, but on the same minibatch instead of on halves of the data.
    The loss is 0, without a gradient, while no decision is open (warm-up, fixed decisions).
    """
    encoder, policy = step.networks["encoder"], step.networks["policy"]
    assert isinstance(encoder, AdaShareEncoder)
    assert isinstance(policy, Policy)
    if not policy.num_open:
        return torch.zeros((), device=step.batch.images.device, requires_grad=True)
    predictions = step.networks["decoders"](encoder.take(step.batch.images, policy.gates()))
    return (
        torch.stack(list(_losses(step, predictions, step.batch).values())).sum()
        + step.method.sparsity_weight * policy.sparsity()
        + step.method.sharing_weight * policy.sharing()
    )


def _losses(step: JointStep, predictions: Predictions, batch: Batch) -> dict[str, Tensor]:
    """Task -> loss summed over its heads, for the tasks that the images have labels for."""
    losses: dict[str, Tensor] = {}
    for head, prediction in predictions.items():
        task = task_of(head)
        if task in batch.targets:
            loss = batch.weigh(task, step.tasks[task].loss(prediction, batch.targets[task]))
            losses[task] = losses[task] + loss if task in losses else loss
    return losses


# ---- variants of lines 2 and 5 ----


def detached_refinement_loss(step: JointStep, source: str) -> Tensor:
    """`refinement_loss` on detached predictions, so that R is trained separately from M (LSeT, D.2)."""
    predictions = {task: prediction.detach() for task, prediction in step.predictions(source).items()}
    logits = step.networks["refinement"](step.refinement_inputs(predictions))
    batch = step.images_of(source)
    return batch.weigh("scene", scene_loss(logits, batch.scene, step.multi_hot))


def estimation_loss(step: JointStep, source: str) -> Tensor:
    """Divergence between M's predictions and their estimate ``y†``, summed over tasks (explicit EM: eq. 4, then eq. 5)."""
    predictions = step.predictions(source)
    estimate = estimate_predictions(step, source, predictions)
    return torch.stack([task.divergence(predictions[name], estimate[name]) for name, task in step.tasks.items()]).sum()


def estimate_predictions(step: JointStep, source: str, predictions: Predictions) -> Predictions:
    """E-step (eq. 4): ``y† = argmax_y log P(y | x; M) + log P(c | y; R)``, by a few gradient steps from ``y = M(x)``.

    Each task's gradient is scaled to unit root mean square, and its step to the standard deviation of its prediction, so that
    one step size suits logits, metres and normals alike.
    """
    start = {task: prediction.detach().float() for task, prediction in predictions.items()}
    estimate = {task: prediction.clone().requires_grad_() for task, prediction in start.items()}
    scene = step.images_of(source).scene
    for _ in range(step.method.estimation_steps):
        logits = step.networks["refinement"](step.refinement_inputs(estimate))
        energy = scene_loss(logits, scene, step.multi_hot)
        for name, task in step.tasks.items():
            energy = energy + task.divergence(start[name], estimate[name])
        gradients = torch.autograd.grad(energy, list(estimate.values()))
        for (task, values), gradient in zip(estimate.items(), gradients, strict=True):
            direction = gradient / gradient.square().mean().sqrt().clamp(min=1e-12)
            moved = values.detach() - step.method.estimation_rate * start[task].std() * direction
            estimate[task] = moved.requires_grad_()
    return {task: values.detach() for task, values in estimate.items()}
