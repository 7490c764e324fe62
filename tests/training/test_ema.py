"""The moving average of weights."""

import torch

from mgm.training.ema import WeightAverage


def test_average_of_weights_and_statistics_follows_its_formula():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = WeightAverage(model, decay=0.9)
    expected, mean = model[0].weight.detach().clone(), model[1].running_mean.clone()
    for update in range(1, 201):
        with torch.no_grad():
            model[0].weight.add_(1.0)
            model[1].running_mean.add_(2.0)
            model[1].num_batches_tracked.add_(1)
        average.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
        mean = decay * mean + (1 - decay) * model[1].running_mean
    torch.testing.assert_close(average.model[0].weight, expected)
    torch.testing.assert_close(average.model[1].running_mean, mean)
    assert average.model[1].num_batches_tracked == 200
    assert not average.model[0].weight.requires_grad


def test_average_soon_forgets_the_start():
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, 100.0)
    average = WeightAverage(model, decay=0.999)
    torch.nn.init.constant_(model.weight, 0.0)
    for _ in range(20):
        average.update(model)
    assert average.model.weight.item() < 1.0
