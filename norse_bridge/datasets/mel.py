"""The mel spectrogram: the power of a sound over time in bands that are evenly spaced to the ear.

    mel(f) = 2595 log10(1 + f / 700 Hz)      band m: a triangle in f from 0 at mel m to 1 at mel m + 1 to 0 at mel m + 2

(O'Shaughnessy, 1987; the scale of HTK.) The power is that of a Fourier transform under a Hann window.
"""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError


def mel_spectrogram(waveform, sample_rate=16000, n_fft=512, hop_length=160, n_mels=80):
    """(..., samples) -> power (..., n_mels, 1 + samples // hop_length); windows of n_fft samples, centred at multiples of
    hop_length, the sound mirrored at its ends. sample_rate in Hz; bands between 0 and half of it."""
    if waveform.shape[-1] <= n_fft // 2:
        raise SimulationError(f"mel_spectrogram: {waveform.shape[-1]} samples are too few for windows of {n_fft}")
    window = torch.hann_window(n_fft, dtype=waveform.dtype, device=waveform.device)
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(flat, n_fft, hop_length, window=window, return_complex=True)  # (sounds, frequencies, frames)
    bands = mel_bands(n_fft // 2 + 1, sample_rate, n_mels).to(flat)
    power = bands @ spectrum.abs().square()  # (sounds, n_mels, frames)
    return power.reshape(*waveform.shape[:-1], *power.shape[1:])


def mel_bands(n_frequencies, sample_rate, n_mels):
    """What each frequency counts in each band: (n_mels, n_frequencies), float64."""
    frequencies = torch.linspace(0, sample_rate / 2, n_frequencies, dtype=torch.float64)  # Hz
    top = 2595.0 * torch.log10(torch.tensor(1.0 + sample_rate / 2 / 700.0, dtype=torch.float64))
    corners = 700.0 * (10.0 ** (torch.linspace(0, 1, n_mels + 2, dtype=torch.float64) * top / 2595.0) - 1.0)  # Hz
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (frequencies - left) / (centre - left), (right - frequencies) / (right - centre)
    return torch.minimum(rising, falling).clamp(min=0.0)
