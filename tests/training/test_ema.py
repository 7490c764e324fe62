"""The moving average of weights."""

import torch

from mgm.training.ema import WeightAverage


def test_average_of_weights_and_statistics_follows_its_formula():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = WeightAverage(model, decay=0.9)
    values, averaged = model.state_dict(), average.model.state_dict()
    expected, mean = values["0.weight"].clone(), values["1.running_mean"].clone()
    for update in range(1, 201):
        values["0.weight"].add_(1.0)
        values["1.running_mean"].add_(2.0)
        values["1.num_batches_tracked"].add_(1)
        average.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * values["0.weight"]
        mean = decay * mean + (1 - decay) * values["1.running_mean"]
    torch.testing.assert_close(averaged["0.weight"], expected)
    torch.testing.assert_close(averaged["1.running_mean"], mean)
    assert averaged["1.num_batches_tracked"] == 200
    assert not any(parameter.requires_grad for parameter in average.model.parameters())


def test_average_soon_forgets_the_start():
    model = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(model.weight, 100.0)
    average = WeightAverage(model, decay=0.999)
    torch.nn.init.constant_(model.weight, 0.0)
    for _ in range(20):
        average.update(model)
    assert average.model.get_parameter("weight").item() < 1.0
