"""The contrastive loss of SimCLR."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.distributed import gather_batch, rank
from mgm.functional.precision import at_least_float32


def nt_xent(embeddings_a: Tensor, embeddings_b: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy between two views of each image (paper eq. 6; Chen et al., 2020).

    With ``s(i, j)`` the cosine similarity of views ``i`` and ``j``, ``p(i)`` the other view of the same image and ``t``
    the temperature, it is the mean over all 2N views of ``-log(exp(s(i, p(i)) / t) / sum_{k != i} exp(s(i, k) / t))``.

    Args:
        embeddings_a: ``[N, C]``, first views, not necessarily normalised. N is the same in all processes.
        embeddings_b: ``[N, C]``, second views of the same images.
        temperature: Above 0; 0.5 in the paper's code.

    Returns:
        Scalar, float32 even under autocast. Negatives come from all processes, and the mean is over this process's views, so that
        the average over processes is the loss of the global batch. Without negatives, it is 0 with a graph.

    Raises:
        ValueError: If the shapes differ or are not ``[N, C]``, or the temperature is not positive.
    """
    if embeddings_a.ndim != 2 or embeddings_a.shape != embeddings_b.shape:
        raise ValueError(f"expected two [N, C] tensors, got {list(embeddings_a.shape)} and {list(embeddings_b.shape)}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    with torch.autocast(embeddings_a.device.type, enabled=False):
        pairs = F.normalize(torch.stack((at_least_float32(embeddings_a), at_least_float32(embeddings_b))), dim=2)
        # Scale over W processes: L = mean_r L_r for the L_r below, so dL/dz_r = (1/W) sum_q dL_q/dz_r. The backward
        # pass of the gather delivers sum_q dL_q/dz_r = W dL/dz_r to process r; averaging the parameters' gradients
        # over processes divides by W again. Hence no factor here.
        everyone = gather_batch(pairs.transpose(0, 1))  # [W * N, 2, C]
        count, num_images = pairs.shape[1], everyone.shape[0]
        similarity = pairs.flatten(0, 1) @ everyone.transpose(0, 1).flatten(0, 1).T / temperature  # [2N, 2WN]
        own = rank() * count + torch.arange(count, device=pairs.device)
        itself = torch.cat((own, own + num_images))
        other_view = torch.cat((own + num_images, own))
        others = similarity.scatter(1, itself.unsqueeze(1), float("-inf"))
        return F.cross_entropy(others, other_view)
