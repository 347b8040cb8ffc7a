"""Threads and memory of the compiled loops: neither changes a bit of what they give."""

import _thread
import gc
import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch

import norse_bridge as nb
from norse_bridge.forks import forks
from norse_bridge.fused import function, memory, threads

STEPS, SHAPE = 60, (4, 4500)  # more than one block for each thread, and enough work for several


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def outcome(layer=None, seed=1):
    """Spikes, states and the input's gradient of a layer, as bytes."""
    torch.manual_seed(seed)
    x = torch.rand(STEPS, *SHAPE, requires_grad=True)
    out, state = (layer or nb.LIF())(x)
    (g,) = torch.autograd.grad(out, x, torch.randn_like(out))
    return [t.detach().numpy().tobytes() for t in (out, *state, g)]


def test_other_threads_than_those_of_torch_give_the_same(two_threads, monkeypatch):
    assert STEPS * SHAPE[0] * SHAPE[1] >= function.SMALL_WORK
    wanted, ours = outcome(), threads._Threads(use_open_mp=False)
    monkeypatch.setattr(threads, "_threads", lambda forked: ours)
    assert outcome() == wanted
    assert ours.pool is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_process_has_threads_of_its_own(two_threads):
    """OpenMP's do not exist in a child, and it would wait for them for ever."""
    wanted, (read, write) = outcome(), os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that a process with threads is forked: it is the point here
        child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # torch's own operations would wait, too
        work = outcome()
        torch.set_num_threads(2)
        kernel_alone = threads._threads(forks()).open_mp is None
        os.write(write, b"same" if work == wanted and kernel_alone else b"other")
        os._exit(0)
    os.close(write)
    assert os.read(read, 5) == b"same"
    os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_of_a_process_that_never_ran_a_layer():
    """The parent has used torch's threads alone: the child must not wait for them."""
    script = """
import os, torch, norse_bridge as nb
torch.set_num_threads(2)
torch.rand(2000, 2000).add_(1)
child = os.fork()
if child == 0:
    torch.set_num_threads(1)
    x = torch.rand(300, 4, 1000)  # small states: operations of torch on large ones would wait
    torch.set_num_threads(2)
    with torch.no_grad():
        nb.LIF()(x)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stdout.strip() == "7", ran.stderr


def test_what_is_interrupted_waits_for_its_helpers():
    """They write to memory that the caller will give away."""
    began, ended = threading.Event(), threading.Event()

    def work():
        began.set()
        time.sleep(0.3)
        ended.set()

    ours = threads._Threads(use_open_mp=False)
    helping = ours.help_with(work, 1)
    began.wait()
    timer = threading.Timer(0.05, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        threads._wait(helping)
    assert ended.is_set()


def test_memory_that_comes_back_is_used_again():
    gc.collect()
    memory._kept.clear()
    like, shape = torch.empty(0), (2, memory.LARGE_BYTES)
    first = memory.empty(shape, like)
    place = first.data_ptr()
    part = first[1]
    del first
    assert not memory._kept  # part of it is in use
    del part
    assert [piece.nbytes for piece in memory._kept] == [4 * shape[0] * shape[1] + memory.LINE]
    assert memory.empty((3, memory.LARGE_BYTES), like).data_ptr() != place
    assert memory.empty(shape, like).data_ptr() == place
    assert memory.empty((1, memory.LARGE_BYTES), like.double()).dtype == torch.float64


def test_no_more_memory_is_kept_than_said(monkeypatch):
    memory._kept.clear()
    monkeypatch.setattr(memory, "KEPT_BYTES", 3 * memory.LARGE_BYTES)
    for count in (2, 2, 1, 4, 1):
        memory._come_back(np.empty(count * memory.LARGE_BYTES, np.uint8))
    assert [piece.nbytes // memory.LARGE_BYTES for piece in memory._kept] == [1, 1]  # what is larger than all is not kept at all
    memory._kept.clear()


def test_results_that_are_alive_keep_their_memory():
    x = torch.rand(300, 2, 1000)
    first = nb.LIF()(x)[0]
    kept = first.clone()
    for _ in range(3):
        nb.LIF()(2 * x)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("elements", [1, 3, 1041, 4 * 1040 + 2])
def test_rows_past_the_caches_and_through_them_give_the_same(elements, monkeypatch):
    torch.manual_seed(2)
    x, found = torch.rand(40, elements, requires_grad=True), []
    for far in (0, 1 << 40):
        monkeypatch.setattr(function, "FAR_BYTES", far)
        out, state = nb.LIF()(x)
        found.append([out, state.v, *torch.autograd.grad(out.sum(), x)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_change_of_one_layers_parameters_is_nobody_elses():
    x, wanted = torch.rand(50, 3), nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.77)))
    spikes = wanted(x)[0]
    other = nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.7701)))
    other(x)
    other.load_state_dict({name: torch.full_like(value, 0.3) for name, value in other.state_dict().items()})
    again = nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.7701)))
    assert torch.equal(again(x)[0], nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.7701).double().float()))(x)[0])
    assert not torch.equal(other(x)[0], again(x)[0])
    assert torch.equal(wanted(x)[0], spikes)
    for value in (torch.tensor(-0.0), torch.tensor(float("nan"))):  # 0 and NaN are numbers of their own
        assert nb.LIF(nb.LIFParameters(v_reset=value))(x)[1].v.isnan().any() == value.isnan()


def test_steps_remembered_in_inference_mode_can_be_trained():
    x = torch.rand(20, 3, requires_grad=True)
    with torch.inference_mode():
        layer = nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.83)))
        layer(torch.rand(5, 3))
    with torch.no_grad():
        layer(torch.rand(5, 3))
    torch.autograd.grad(nb.LIF(nb.LIFParameters(v_th=torch.tensor(0.83)))(x)[0].sum(), x)


def test_parameters_changed_in_place_count_from_then_on():
    """Steps of plain numbers are remembered: by the numbers, so that a change of any kind is another step."""
    layer, x = nb.LIF(), torch.rand(50, 3)
    before = layer(x)[1].v
    layer.parameter_tuple.tau_mem_inv.data.mul_(0.5)
    halved = layer(x)[1].v
    assert not torch.equal(before, halved)
    assert torch.equal(halved, nb.LIF(nb.LIFParameters(tau_mem_inv=torch.tensor(50.0)))(x)[1].v)
    with torch.inference_mode():
        nb.LIF(nb.LIFParameters(tau_mem_inv=torch.tensor(70.0)))(x)
    x.requires_grad_()
    layer = nb.LIF(nb.LIFParameters(tau_mem_inv=torch.tensor(70.0)))
    torch.autograd.grad(layer(x)[0].sum(), x)  # nothing made in inference mode is part of it
