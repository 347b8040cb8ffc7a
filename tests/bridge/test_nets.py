"""ConvNet, VGG and MobileNetV2: stored outputs of Norse, structure, states, saved weights."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from tools import norse_nets

import norse_bridge as nb
from eventsim.errors import ModelError, NetworkError, SimulationError, StorageError
from norse_bridge.nets import conv

STORED = np.load(Path(__file__).parent.parent / "data" / "norse_nets.npz")
NETS = norse_nets.nets(nb, nb.make_layers)
# Numbers of weights of the published nets, as torchvision's documentation gives them.
WEIGHTS = {
    "vgg11": 132863336,
    "vgg11_bn": 132868840,
    "vgg13": 133047848,
    "vgg13_bn": 133053736,
    "vgg16": 138357544,
    "vgg16_bn": 138365992,
    "vgg19": 143667240,
    "vgg19_bn": 143678248,
    "mobilenet_v2": 3504872,
}


@pytest.mark.parametrize("name", NETS)
def test_net_equals_norse(name):
    """With short numbers every sum of products is exact: the voltages are Norse's to the last bit."""
    net, x = NETS[name]
    with torch.no_grad():
        out = net(x)
    assert len(out.unique()) > 10
    assert np.array_equal(out.numpy(), STORED[name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_number_of_weights(name):
    with torch.device("meta"):  # shapes without memory
        net = getattr(nb, name)()
    assert sum(p.numel() for p in net.parameters()) == WEIGHTS[name]


def test_default_sizes_and_thresholds_of_the_convnets():
    for kind, maps, hidden, v_th in ((nb.ConvNet, (20, 50), 500, 1.0), (nb.ConvNet4, (32, 64), 1024, 0.7)):
        net = kind(method="tanh")
        assert (net.conv1.weight.shape[0], net.conv2.weight.shape[:2]) == (maps[0], (maps[1], maps[0]))
        assert net.fc1.weight.shape == (hidden, 16 * maps[1])
        assert [round(float(lif.p.v_th), 6) for lif in (net.lif0, net.lif1, net.lif2)] == [v_th, v_th, 1.0]
        assert {lif.p.method for lif in (net.lif0, net.lif1, net.lif2)} == {"tanh"}
        assert net(torch.rand(2, 3, 1, 28, 28)).shape == (2, 3, 10)
    with pytest.raises(ModelError, match="16 pixels or more, not 15"):
        nb.ConvNet(feature_size=15)
    with pytest.raises(SimulationError, match=r"\(time, batch, channels, size, size\), not \(2, 1, 16, 16\)"):
        nb.ConvNet(feature_size=16)(torch.rand(2, 1, 16, 16))


def test_a_long_sequence_goes_through_the_convolutions_in_parts(monkeypatch):
    net, x = NETS["ConvNet"]
    with torch.no_grad():
        for images in (1, 6, 14):
            monkeypatch.setattr(conv, "IMAGES", images)
            assert np.array_equal(net(x).numpy(), STORED["ConvNet"])
    with pytest.raises(SimulationError, match="length 1 or more"):
        net(x[:0])


def test_type_of_the_voltages_is_wide_enough():
    x = torch.rand(2, 1, 1, 16, 16)
    assert nb.ConvNet(1, 16)(x).dtype == torch.float32
    assert nb.ConvNet(1, 16, dtype=torch.float64)(x).dtype == torch.float64
    assert nb.ConvNet(1, 16).double()(x.double()).dtype == torch.float64


def test_a_convnet_learns():
    net = norse_nets.weights_of(nb.ConvNet4(1, 16), 0.25)
    net(norse_nets.images(1, 16)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_the_sequential_form_of_a_convnet_is_the_net_and_continues():
    net, x = NETS["ConvNet4"]
    before = net.conv2.weight.clone()
    model = net.sequential()
    out, _ = model(x)
    assert torch.equal(out, net(x))
    first, state = model(x[:7])
    second, _ = model(x[7:], state)
    assert torch.equal(torch.cat([first, second]), out)
    assert torch.equal(net.conv2.weight, before)
    assert [name for name, s in zip(dict(model.named_children()), state, strict=True) if s is not None] == [
        "lif0",
        "lif1",
        "lif2",
        "out",
    ]


def test_a_convnet_runs_in_the_engine():
    net, x = deepcopy(NETS["ConvNet"][0]).double(), NETS["ConvNet"][1].double()
    try:
        result = nb.simulate(net.sequential(), x)
    except NetworkError as error:
        if "MaxPool2d" not in str(error):
            raise
        pytest.skip("to_network knows no max pools yet")
    assert torch.equal(result.outputs, net(x))


@pytest.mark.parametrize("name", ["VGG", "MobileNetV2"])
def test_features_have_states_and_continue(name):
    """In Norse the features are a plain Sequential: each Lift drops the state of the layer in front of it."""
    net, x = NETS[name]
    with torch.no_grad():
        whole, last = net.features(x)
        first, state = net.features(x[:9])
        second, again = net.features(x[9:], state)
    assert whole.count_nonzero() > 0
    assert torch.equal(torch.cat([first, second]), whole)
    assert not torch.equal(net.features(x[9:])[0], second)  # from rest it would be another
    tensors = [_tensors(last), _tensors(again)]
    assert len(tensors[0]) == 2 * sum(isinstance(m, nb.LIF) for m in net.features.modules())
    assert all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


def _tensors(state):
    if isinstance(state, torch.Tensor):
        return [state]
    return [] if state is None else [tensor for part in state for tensor in _tensors(part)]


def test_features_of_a_vgg_may_be_a_plain_sequential():
    """As in scripts for Norse: a layer's (spikes, state) goes into a Lift, which takes the spikes."""
    net, x = NETS["VGG"]
    wanted = net(x)
    plain = norse_nets.small_vgg(nb, nb.make_layers, False)
    plain.classifier = net.classifier
    for modules in (list(net.features), list(net.features)[:-1]):  # the last one is a pool, or a layer with a state
        plain.features = torch.nn.Sequential(*modules)
        assert torch.equal(plain(x), wanted if len(modules) == len(net.features) else net.classifier(_pooled(net, x, modules))[0])


def _pooled(net, x, modules):
    return net.avgpool(nb.SequentialState(*modules)(x)[0]).flatten(2)


def test_make_layers():
    layers = nb.make_layers([4, "M", 6], batch_norm=True)
    kinds = [type(getattr(m, "lifted_module", m)).__name__ for m in layers]
    assert kinds == ["Conv2d", "BatchNorm2d", "LIF", "MaxPool2d", "Conv2d", "BatchNorm2d", "LIF"]
    out, state = layers(torch.rand(5, 2, 3, 8, 10))
    assert out.shape == (5, 2, 6, 4, 5)
    assert [s is not None for s in state] == [kind == "LIF" for kind in kinds]
    with pytest.raises(ModelError, match="not 'A'"):
        nb.make_layers([4, "A"])


def test_blocks_of_mobilenet():
    x = torch.rand(4, 2, 3, 9, 9)
    norm = torch.nn.BatchNorm2d
    spikes, state = nb.ConvBNReLU(3, 8, norm, stride=2)(x)
    assert spikes.shape == (4, 2, 8, 5, 5) and isinstance(state[2], nb.LIFFeedForwardState)
    for stride, maps, expansion, residual in ((1, 3, 1, True), (1, 3, 6, True), (2, 3, 6, False), (1, 8, 2, False)):
        block = nb.InvertedResidual(3, maps, stride, expansion, norm).eval()
        out, _ = block(x)
        inner, _ = block.conv(x)
        assert block.use_res_connect is residual
        assert torch.equal(out, x + inner if residual else inner)
        assert len(block.conv) == (3 if expansion == 1 else 4)
    with pytest.raises(ModelError, match="1 or 2, not 3"):
        nb.InvertedResidual(3, 3, 3, 1, norm)


def test_a_narrow_mobilenet_begins_with_a_residual_block():
    """In Norse the pair (spikes, state) of the layer in front is added to a tensor there: TypeError."""
    net = nb.MobileNetV2(5, 0.25).eval()
    assert net.features[1].use_res_connect
    assert net(torch.rand(2, 1, 3, 32, 32)).shape == (2, 1, 5)


def test_settings_of_mobilenet():
    with torch.device("meta"):
        net = nb.MobileNetV2(width_mult=0.35, round_nearest=8)
        wide = nb.MobileNetV2(width_mult=1.4, norm_layer=lambda maps: torch.nn.GroupNorm(1, maps))
    maps = [m.weight.shape[0] for m in net.features.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1)]
    assert net.features[0][0].lifted_module.weight.shape[0] == 16  # 0.35 * 32 = 11.2: 8 would be less than nine tenths of it
    assert maps[-1] == net.last_channel == 1280
    assert wide.last_channel == 1792
    assert isinstance(wide.features[0][1].lifted_module, torch.nn.GroupNorm)
    for setting in ([], [(1, 2, 3)]):
        with pytest.raises(ModelError, match="rows of four numbers"):
            nb.MobileNetV2(inverted_residual_setting=setting)


def test_initial_weights_are_those_of_torchvision():
    net = nb.mobilenet_v2(num_classes=7)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_out = module.weight.shape[0] * module.weight[0, 0].numel()  # Norse counts as torch does: groups do not matter
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.25)
            assert module.bias is None
    linear = net.classifier[1].lifted_module
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert linear.bias.count_nonzero() == 0
    layers = nb.make_layers([4])
    drawn = layers[0].lifted_module.weight.clone()
    with torch.device("meta"):
        kept = nb.VGG(torch.nn.Identity(), 2, init_weights=False)
    kept.features = layers
    assert torch.equal(kept.features[0].lifted_module.weight, drawn)


SMALL = {"num_classes": 3, "width_mult": 0.25}


def test_pretrained_weights_come_from_a_file(tmp_path):
    """The keys of torchvision's state dicts lack the Lift around each module."""
    torch.manual_seed(1)
    net = nb.mobilenet_v2(**SMALL).eval()
    own = net.state_dict()
    lifted = {key.replace(".lifted_module", ""): value for key, value in own.items() if "parameter_tuple" not in key}
    assert {"features.0.0.weight", "features.1.conv.0.1.running_mean", "classifier.1.bias"} <= set(lifted)
    x = torch.rand(2, 1, 3, 32, 32)
    for name, saved in (("ours.pt", own), ("torchvision.pt", lifted)):
        path = tmp_path / name
        torch.save(saved, path)
        for given in (path, str(path)):
            loaded = nb.mobilenet_v2(pretrained=given, **SMALL).eval()
            assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), own.values(), strict=True))
        assert torch.equal(loaded(x), net(x))


def test_pretrained_weights_that_do_not_fit_or_would_be_downloaded_are_refused(tmp_path):
    for name in ("vgg11", "mobilenet_v2"):
        with pytest.raises(
            ModelError, match=rf"nothing is downloaded here.*torchvision\.models\.{name}\(.*pretrained='{name}\.pt'"
        ):
            getattr(nb, name)(pretrained=True)
    path = tmp_path / "net.pt"
    torch.save(nb.mobilenet_v2(**SMALL).state_dict(), path)
    with pytest.raises(StorageError, match="those of another net"):
        nb.mobilenet_v2(pretrained=path, num_classes=4, width_mult=0.25)
    torch.save([1, 2], path)
    with pytest.raises(StorageError, match="holds no state dict"):
        nb.mobilenet_v2(pretrained=path)
    path.write_bytes(b"nothing of the kind")
    for broken in (path, tmp_path / "missing.pt"):
        with pytest.raises(StorageError, match="cannot be read as a state dict"):
            nb.vgg16(pretrained=broken)


def test_state_dicts_of_norse_load():
    """Norse saves weights only, under the same names; the parameters of the neurons stay."""
    for net, _ in NETS.values():
        saved = {key: torch.full_like(value, 0.5) for key, value in net.state_dict().items() if "parameter_tuple" not in key}
        other = deepcopy(net)
        other.load_state_dict(saved)
        assert all(torch.equal(value, torch.full_like(value, 0.5)) for value in other.parameters())
