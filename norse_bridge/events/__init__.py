"""Spiking layers in continuous time: spike times in, spike times out, with exact gradients.

Nothing here has a time step. The neurons are `eventsim.models.LIF` (and LI as a readout), advanced from event to event by the flow
and the crossings of the exact engine, so that a layer and ``Simulation(network, method="exact")`` fire at the same float64 times
for the same spikes. (Between layers times go from ms to s and back, which costs a rounding.) The gradient is that of the spike
times themselves, without a surrogate; it is computed along the events alone.

Spikes
    A tensor ``(batch, neurons, spikes)``: the times in s of each neuron's spikes, ascending, filled up with inf. ``times[..., 0]``
    is the time to the first spike. Inputs need not be sorted. The gradient of an inf is 0, whatever a loss says of it.
Weights
    ``(neurons, inputs)``, in the unit of the current, as torch.nn.Linear and Norse have them.
Parameters
    Norse's tuples in Norse's units, `LIFParameters` and `LIParameters` (rates in 1/s); numbers, or one for each neuron. Surrogate
    and alpha are not used. Weights and spike times have gradients, parameters and the delay have none.
Types
    float32 and float64 on the CPU. Inside all is float64.

The gradient (Wunderlich & Pehle 2021, Sci. Rep. 11:12829: EventProp)

Between events a neuron's state x = (v, i) follows

    tau_mem dv/dt = (v_leak - v) + r_mem i        tau_syn di/dt = -i                                             (1)

an arrival of weight w at t_a makes i+ = i- + w, and a spike at t_s, where v rises through v_th, makes v+ = v_reset. Let L be any
function of the spike times t_k (or of voltages), with partial derivatives g_k = dL/dt_k given by the layers behind. The adjoint
variables a_v(t) = dL/dv(t), a_i(t) = dL/di(t) say what a small change of the state at t does to L. Since (1) is linear up to a
constant, x(s) = F(s - t) x(t) + const, they are carried backward by the transposed flow,

    (a_v, a_i)(t) = F(s - t)^T (a_v, a_i)(s)                                                                     (2)

    F = [[1 - k_v, k_v k_r], [0, 1 + k_i]]  in terms of the model's Propagator (k_v, k_r, k_i) over s - t        (3)

which in differential form is tau_mem da_v/dt = a_v, tau_syn da_i/dt = a_i - (tau_syn r_mem / tau_mem) a_v. After the last event
that counts both are 0. Events change them:

*A spike* at t_s. A change dv- of the voltage just before moves the spike by dt = -dv-/v'-, where v'- is dv/dt just before it,
which is above 0. Behind the spike the trajectory starts from v_reset at t_s + dt instead of t_s: seen at t_s, dv+ = -v'+ dt. The
current does not notice. With G = g_k plus what the spike does to neurons of its own layer (7), dL = G dt + a_v+ dv+ gives

    a_v- = (v'+ a_v+ - G) / v'-            a_i- = a_i+                                                           (4)

*An arrival* of input j at t_a. The weight enters by i+ = i- + w, so

    dL/dw_j += a_i(t_a)                                                                                          (5)

and a_v, a_i do not jump. *A reading* of the voltage, V = v(t_r), with g = dL/dV:

    a_v- = a_v+ + g                                                                                              (6)

The greatest voltage over time is a reading where it is reached: v' = 0 there, or the place is fixed (the start or the end). Only
where the voltage rises until an arrival turns it down does the greatest voltage move with the arrival: its time then also gets
g v'-.

*The time of an arrival.* Coming later by dt it leaves, at t_a, the state x+ + (f(x-) - f(x+)) dt, where f is the right-hand side of
(1): so

    dL/dt_a = w (a_i / tau_syn - a_v r_mem / tau_mem) = w da_i/dt                                                (7)

summed over the neurons it reaches. It is the g of the layer before, or, in a recurrent layer, part of the G of the spike that was
sent. Equations 4 to 7 are those of Wunderlich & Pehle (their Table 1) with the transmission of spikes left to autograd between
layers.

Cost: forward one jump and a cheap test for each arrival and neuron, a search for each spike; backward one jump for each arrival
at neurons with a later spike that counts. Memory is a few numbers for each spike.

What to know
    * Near a grazing spike v'- is close to 0, and (4) grows without bound: dt/dw = -(dv/dw)/v'- truly diverges there, as the
      inverse square root of how far the peak exceeds the threshold. Nothing is clipped here; an optimiser that normalises its
      steps (Adam) copes, or `torch.nn.utils.clip_grad_norm_`.
    * The number of spikes is locally constant. The gradient says nothing of spikes that would appear or vanish, and a silent neuron
      has none: begin with weights that let it fire, push it (`push_silent`), or let its voltage
      stand for the spike that it lacks (`event_lif_first`).
    * At one time all arrivals count before anybody fires, in the order of their inputs, and a voltage is read before what arrives
      at that very time. Two spikes at one time are no problem; where an arrival coincides with a spike of the neuron that it
      reaches, L has a kink, and the gradient is that of the arrival coming no later.
    * There is no refractory period.
    * Gradients of gradients are refused by torch.
"""

from norse_bridge.events.fit import Course, first_spike_accuracy, fit_first_spikes
from norse_bridge.events.functions import event_li, event_li_max, event_lif, event_lif_recurrent
from norse_bridge.events.layers import EventLI, EventLIF, EventLIFFirst, EventLIFRecurrent
from norse_bridge.events.training import event_lif_first, first_spike_loss, push_silent

__all__ = [
    "Course",
    "EventLI",
    "EventLIF",
    "EventLIFFirst",
    "EventLIFRecurrent",
    "event_li",
    "event_li_max",
    "event_lif",
    "event_lif_first",
    "event_lif_recurrent",
    "first_spike_accuracy",
    "first_spike_loss",
    "fit_first_spikes",
    "push_silent",
]
