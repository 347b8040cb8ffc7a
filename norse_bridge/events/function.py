"""Layers in continuous time as autograd functions: what calls the kernels, and what is kept for the way back.

The gradient stands in `norse_bridge.events`. None of them can be differentiated twice.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable

from eventsim.errors import SimulationError
from norse_bridge.events import feed_forward as ff
from norse_bridge.events import recurrent as rec
from norse_bridge.events.arrays import Arrivals, Rows, arrivals_of, call, groups_of, plain, summed, workers_for
from norse_bridge.events.flow import compile_events
from norse_bridge.family import MS

ROOM = 8  # spikes of a neuron at first
ENDLESS = 100_000  # spikes of a neuron after which it is taken to fire for ever


class Plan(NamedTuple):
    """What neurons are run, and until when.

    model : of eventsim; rows : its parameters; duration : ms; spikes : how many of each neuron are wanted, or None: all
    delay : of what is recurrent, ms; label : with what errors begin
    """

    model: object
    rows: Rows
    duration: float
    label: str
    spikes: int | None = None
    delay: float = 0.0


def _no_end(plan: Plan, spikes: int) -> SimulationError:
    return SimulationError(
        f"{plan.label}: {spikes} spikes, and no end: give a duration, or parameters and weights with which neurons fall silent"
    )


class _Layer:
    """Neurons that hear nothing of one another, with the arrivals of all samples: their kernels."""

    def __init__(self, plan: Plan, times, weights):
        self.plan, self.weights = plan, plain(weights)
        self.arrivals: Arrivals = arrivals_of(times, plan.duration)
        (self.batch, events), (self.neurons, inputs) = self.arrivals.time.shape, weights.shape
        self.shape = self.batch, self.neurons
        self.work = self.batch * self.neurons * max(1, events)
        self.duration = torch.tensor([plan.duration], dtype=torch.float64)
        self.words = {
            ff.BATCH: self.batch,
            ff.EVENTS: events,
            ff.INPUTS: inputs,
            ff.NEURONS: self.neurons,
            ff.ROWS: len(plan.rows.values),
            ff.TIME: self.arrivals.time,
            ff.SOURCE: self.arrivals.source,
            ff.COUNT: self.arrivals.many,
            ff.WEIGHT: self.weights,
            ff.PARAMS: plan.rows.values,
            ff.STILL: plan.rows.still,
            ff.RISES: plan.rows.rises,
            ff.DURATION: self.duration,
        }

    def run(self, maker, count: int, words):
        """Run a kernel for so many samples or groups."""
        workers = workers_for(self.work, count)
        table = self.weights.new_empty((workers, self.words[ff.EVENTS], ff.PROPAGATOR))
        words = {**self.words, **words, ff.COEFFICIENTS: table}
        call(compile_events(maker, self.plan.model), ff.SIZE, words, count, workers)

    def back(self, times, gradient, words):
        """The gradients of spike times and weights; gradient : (batch, neurons, own), of the own events in ms or of voltages."""
        group, groups = groups_of(self.batch)
        of_time = self.weights.new_zeros(self.arrivals.time.shape)
        of_weights = self.weights.new_zeros((groups, *self.weights.shape))
        words = {
            **words,
            ff.GROUP: group,
            ff.GRADIENT: gradient,
            ff.OF_TIME: of_time,
            ff.OF_WEIGHT: of_weights,
        }
        self.run(ff.make_backward, groups, words)
        return self.arrivals.gradient(of_time, times), summed(of_weights)


class Fire(torch.autograd.Function):
    """``apply(times, weights, plan) -> spike times``: neurons without recurrence. Shapes as in `norse_bridge.events`."""

    @staticmethod
    def forward(ctx, times, weights, plan):
        layer = _Layer(plan, times, weights)
        layer.duration[0] = math.nextafter(plan.duration, math.inf)  # a spike at the very end counts
        limit = ENDLESS if plan.spikes is None else plan.spikes
        room = ROOM if plan.spikes is None else plan.spikes
        counts = torch.empty(layer.shape, dtype=torch.int64)
        while True:
            own_time = layer.weights.new_empty((*layer.shape, room))
            factors = layer.weights.new_empty((*layer.shape, room, 2))
            kept = {ff.OWN: room, ff.OWN_TIME: own_time, ff.OWN_COUNT: counts, ff.FACTORS: factors}
            layer.run(ff.make_fire, layer.batch, {**kept, ff.LIMIT: limit})
            most = int(counts.max()) if counts.numel() else 0
            if plan.spikes is None and most >= ENDLESS:
                raise _no_end(plan, most)
            if most <= room:
                break
            room = most
        shown = max(1, most) if plan.spikes is None else plan.spikes
        missing = torch.arange(shown) >= counts[..., None]  # (batch, neurons, shown)
        ctx.save_for_backward(times, weights)
        ctx.layer, ctx.kept = layer, kept
        return (own_time[..., :shown] / MS).masked_fill_(missing, math.inf).to(torch.promote_types(times.dtype, weights.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        times, weights = ctx.saved_tensors
        room, shown = ctx.kept[ff.OWN], gradient.shape[2]
        g = plain(torch.nn.functional.pad(gradient.to(torch.float64) / MS, (0, room - shown)))
        of_times, of_weights = ctx.layer.back(times, g, ctx.kept)
        return of_times, of_weights.to(weights.dtype), None


class Read(torch.autograd.Function):
    """``apply(times, weights, plan, at) -> voltages`` (batch, neurons, reads). at : (batch, reads), ascending, ms, float64"""

    @staticmethod
    def forward(ctx, times, weights, plan, at):
        layer = _Layer(plan, times, weights)
        reads = at.shape[1]
        own_time = at[:, None].expand(*layer.shape, reads).contiguous()
        values = torch.empty_like(own_time)
        counts = torch.full(layer.shape, reads, dtype=torch.int64)
        kept = {ff.OWN: reads, ff.OWN_TIME: own_time, ff.OWN_COUNT: counts}
        layer.run(ff.make_read, layer.batch, {**kept, ff.VALUE: values})
        ctx.save_for_backward(times, weights)
        ctx.layer, ctx.kept = layer, kept
        return values.to(torch.promote_types(times.dtype, weights.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        times, weights = ctx.saved_tensors
        of_times, of_weights = ctx.layer.back(times, plain(gradient), ctx.kept)
        return of_times, of_weights.to(weights.dtype), None, None


class Peak(torch.autograd.Function):
    """``apply(times, weights, plan) -> (greatest voltages, when)``, both (batch, neurons); the times have no gradient."""

    @staticmethod
    def forward(ctx, times, weights, plan):
        layer = _Layer(plan, times, weights)
        at, values, slopes = layer.weights.new_empty((3, *layer.shape))
        kinks, counts = torch.empty(layer.shape, dtype=torch.int64), torch.ones(layer.shape, dtype=torch.int64)
        kept = {ff.OWN: 1, ff.OWN_TIME: at, ff.OWN_COUNT: counts, ff.KINK: kinks, ff.KINK_SLOPE: slopes}
        layer.run(ff.make_peak, layer.batch, {**kept, ff.VALUE: values})
        ctx.save_for_backward(times, weights)
        ctx.layer, ctx.kept = layer, kept
        dtype = torch.promote_types(times.dtype, weights.dtype)
        when = (at / MS).to(dtype)
        ctx.mark_non_differentiable(when)
        return values.to(dtype), when

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient, _):
        times, weights = ctx.saved_tensors
        of_times, of_weights = ctx.layer.back(times, plain(gradient), ctx.kept)
        return of_times, of_weights.to(weights.dtype), None


class FireRecurrent(torch.autograd.Function):
    """``apply(times, weights, recurrent weights, plan) -> spike times``. Shapes as in `norse_bridge.events`."""

    @staticmethod
    def forward(ctx, times, weights, recurrent, plan):
        arrivals = arrivals_of(times, plan.duration)
        (batch, events), (neurons, inputs) = arrivals.time.shape, weights.shape
        known = {
            rec.BATCH: batch,
            rec.EVENTS: events,
            rec.INPUTS: inputs,
            rec.NEURONS: neurons,
            rec.ROWS: len(plan.rows.values),
            rec.TIME: arrivals.time,
            rec.SOURCE: arrivals.source,
            rec.COUNT: arrivals.many,
            rec.WEIGHT: plain(weights.T),
            rec.RECURRENT: plain(recurrent.T),
            rec.PARAMS: plan.rows.values,
            rec.STILL: plan.rows.still,
            rec.RISES: plan.rows.rises,
            rec.NUMBERS: torch.tensor([plan.duration, plan.delay], dtype=torch.float64),
        }
        status, fire_count, step_count = torch.empty((3, batch), dtype=torch.int64)
        fires, heap, workers = 16 + 2 * neurons, 64 + 8 * neurons, workers_for(batch * neurons * max(1, events), batch)
        kernel = compile_events(rec.make_forward, plan.model)
        while True:
            steps, words = events + 2 * fires, rec.worker_words(neurons, heap)
            kept = {
                **known,
                rec.FIRES: fires,
                rec.STEPS: steps,
                rec.HEAP: heap,
                rec.WORDS: words,
                rec.FIRE_NEURON: torch.zeros((batch, fires), dtype=torch.int64),
                rec.FACTORS: torch.empty((batch, fires, 2), dtype=torch.float64),
                rec.STEP_TIME: torch.empty((batch, steps), dtype=torch.float64),
                rec.STEP: torch.empty((batch, steps), dtype=torch.int64),
                rec.STEP_COUNT: step_count,
            }
            fire_time = torch.empty((batch, fires), dtype=torch.float64)
            rank = torch.zeros((batch, fires), dtype=torch.int64)
            scratch = torch.empty((workers, words), dtype=torch.float64)
            out = {rec.STATUS: status, rec.FIRE_TIME: fire_time, rec.FIRE_RANK: rank, rec.FIRE_COUNT: fire_count}
            call(kernel, rec.SIZE, {**kept, **out, rec.SCRATCH: scratch}, batch, workers)
            if not bool(status.any()):
                break
            if bool((status == rec.NO_ROOM_FOR_SPIKES).any()):
                if fires >= ENDLESS * max(1, neurons):
                    raise _no_end(plan, fires)
                fires *= 2
            if bool((status == rec.NO_ROOM_IN_QUEUE).any()):
                heap *= 2
        neuron, valid = kept[rec.FIRE_NEURON], torch.arange(fires) < fire_count[:, None]
        shown = plan.spikes or 1 + int(torch.where(valid, rank, 0).max() if rank.numel() else 0)
        valid &= rank < shown
        place = ((torch.arange(batch)[:, None] * neurons + neuron) * shown + rank)[valid]
        spikes = fire_time.new_full((batch * neurons * shown,), math.inf)
        spikes[place] = fire_time[valid] / MS
        ctx.save_for_backward(times, weights, recurrent)
        ctx.arrivals, ctx.kept, ctx.plan, ctx.valid, ctx.place = arrivals, kept, plan, valid, place
        return spikes.reshape(batch, neurons, shown).to(torch.promote_types(times.dtype, weights.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        times, weights, recurrent = ctx.saved_tensors
        arrivals, kept = ctx.arrivals, ctx.kept
        (batch, events), (neurons, inputs) = arrivals.time.shape, weights.shape
        of_fire = torch.zeros(ctx.valid.shape, dtype=torch.float64)
        of_fire[ctx.valid] = (gradient.to(torch.float64) / MS).reshape(-1)[ctx.place]
        group, groups = groups_of(batch)
        of_time = torch.zeros((batch, events), dtype=torch.float64)
        of_weights = torch.zeros((groups, inputs, neurons), dtype=torch.float64)
        of_recurrent = torch.zeros((groups, neurons, neurons), dtype=torch.float64)
        workers = workers_for(batch * neurons * max(1, events), groups)
        words = {
            **kept,
            rec.GROUP: group,
            rec.OF_FIRE: of_fire,
            rec.OF_TIME: of_time,
            rec.OF_WEIGHT: of_weights,
            rec.OF_RECURRENT: of_recurrent,
            rec.SCRATCH: torch.empty((workers, kept[rec.WORDS]), dtype=torch.float64),
        }
        call(compile_events(rec.make_backward, ctx.plan.model), rec.SIZE, words, groups, workers)
        found = summed(of_weights).T.to(weights.dtype), summed(of_recurrent).T.to(recurrent.dtype)
        return arrivals.gradient(of_time, times), *found, None
