"""The hooks write with torch's own writer what TensorBoard then reads."""

import io

import numpy as np
import pytest
import torch

import norse_bridge as nb

pytest.importorskip("tensorboard")

HOOKS = (
    nb.hook_spike_activity_mean,
    nb.hook_spike_activity_sum,
    nb.hook_spike_histogram_mean,
    nb.hook_spike_histogram_sum,
    nb.hook_spike_image,
)


@pytest.fixture
def board(tmp_path):
    """``(writer, read)``: read() closes the writer and returns what TensorBoard finds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))

    def read():
        writer.close()
        found = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
        return found.Reload()

    return writer, read


def pixels(event):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(event.encoded_image_string)).convert("L")) / 255.0


@pytest.mark.parametrize("kind", [nb.LIF, nb.LIFCell])
def test_every_hook_counts_for_itself_and_writes_the_spikes(board, kind):
    """In Norse the hook of the mean calls add_image with a number, which the writer refuses."""
    writer, read = board
    layer = kind()
    for hook in HOOKS:
        layer.register_forward_hook(hook(hook.__name__, writer))
    inputs = [torch.rand((5, 3, 4) if kind is nb.LIF else (5, 4)) * scale for scale in (12, 20, 40)]
    outputs = [layer(x)[0].detach().numpy() for x in inputs]
    assert len({z.sum() for z in outputs}) == 3
    found = read()
    for name, wanted in (("mean", np.mean), ("sum", np.sum)):
        events = found.Scalars(f"hook_spike_activity_{name}")
        assert [event.step for event in events] == [0, 1, 2]
        assert [event.value for event in events] == pytest.approx([wanted(z) for z in outputs])
        events = found.Histograms(f"hook_spike_histogram_{name}")
        assert [event.step for event in events] == [0, 1, 2]
        for event, z in zip(events, outputs, strict=True):
            per_neuron = wanted(z, axis=0)
            histogram = event.histogram_value
            assert histogram.num == per_neuron.size
            assert [histogram.sum, histogram.min, histogram.max] == pytest.approx(
                [per_neuron.sum(), per_neuron.min(), per_neuron.max()], abs=1e-6
            )
    events = found.Images("hook_spike_image")
    assert [event.step for event in events] == [0, 1, 2]
    for event, z in zip(events, outputs, strict=True):
        assert np.array_equal(pixels(event), z.reshape(5, -1))


def test_images_of_maps_are_tiles(board):
    writer, read = board
    layer = nb.LIFCell()
    layer.register_forward_hook(nb.hook_spike_image("maps", writer))
    z = layer(torch.rand(2, 3, 4, 5) * 30)[0]
    assert 0 < z.sum() < z.numel()
    (event,) = read().Images("maps")
    image = pixels(event)
    assert image.shape == (4, 6 * 5)
    assert np.array_equal(image, np.concatenate([tile.numpy() for tile in z.detach().flatten(0, 1)], axis=1))


def test_hooks_of_a_sequential_state_sparse_spikes_and_plain_outputs(board):
    writer, read = board
    model = nb.SequentialState(torch.nn.Linear(4, 6), nb.LIFCell(), torch.nn.Linear(6, 2), nb.LICell())
    model.register_forward_state_hooks(nb.hook_spike_activity_sum("model", writer))
    model(torch.rand(5, 4))
    layer = nb.LIF()
    layer.register_forward_hook(nb.hook_spike_activity_sum("sparse", writer))
    x = torch.rand(5, 3) * 25
    spikes = layer(x.to_sparse())[0]
    linear = torch.nn.Linear(3, 2)
    linear.register_forward_hook(nb.hook_spike_activity_mean("plain", writer))
    out = linear(x)
    found = read()
    assert [event.step for event in found.Scalars("model")] == [0, 1]  # the two layers with a state, one after the other
    assert found.Scalars("sparse")[0].value == spikes.to_dense().sum() > 0
    assert found.Scalars("plain")[0].value == pytest.approx(out.mean().item())
