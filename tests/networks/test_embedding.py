import torch

from mgm.networks.embedding import LatentEmbedding


def test_embedding_is_a_dense_layer_of_the_mean():
    embedding = LatentEmbedding(5, 7)
    features = torch.randn(3, 5, 4, 2)
    expected = torch.stack(
        [
            sum(features[:, c].mean(dim=(1, 2)) * embedding.dense.weight[o, c] for c in range(5))
            + embedding.dense.bias[o]
            for o in range(7)
        ],
        dim=1,
    )
    torch.testing.assert_close(embedding(features), expected)
    assert embedding(features[:1, :, :1, :1]).shape == (1, 7)
