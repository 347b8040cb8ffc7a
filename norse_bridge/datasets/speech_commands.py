"""Speech Commands: spoken words of a second (Warden, 2018, arXiv:1804.03209), from a local folder of .wav files.

The folder is that of the published archive: one folder a word, ``_background_noise_``, ``validation_list.txt`` and
``testing_list.txt``. The task is the paper's: ten words, background noise, and everything else as unknown.
"""

from __future__ import annotations

import os
import re
import struct
import wave
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from eventsim.errors import StorageError

URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
BACKGROUND, UNKNOWN = "background", "unknown"
LABELS = (*WORDS, BACKGROUND, UNKNOWN)
NOISE_FOLDER = "_background_noise_"
LISTS = ("validation_list.txt", "testing_list.txt")
NAME = re.compile(r"(?P<speaker>.+)_nohash_(?P<number>\d+)$")
OUTSIDE_TRAINING = {0: 1, 1: 2}  # of ten chunks of noise the first is for validation, the second for testing


class Clip(NamedTuple):
    """A piece of a .wav file: its word, who spoke it, which of the speaker's it is; start in s, or None for the whole file."""

    path: Path
    label: str
    speaker: str
    number: int
    start: int | None = None


class Clips(torch.utils.data.Dataset):
    """Sounds with their words: ``(waveform float32 (1, samples) in [-1, 1), rate in Hz, word, speaker, number)``, read when asked
    for."""

    def __init__(self, clips):
        self.clips = clips

    def __len__(self):
        return len(self.clips)

    def __getitem__(self, index):
        clip = self.clips[index]
        waveform, rate = read_wav(clip.path, clip.start)
        return waveform, rate, clip.label, clip.speaker, clip.number


class SpeechCommandsDataset(torch.utils.data.Dataset):
    """Pairs ``(transform(waveform), label)`` of a data set that `prepare_dataset` returned.

    dataset : items ``(waveform (1, samples), rate, word, ...)``
    transform : a function of a waveform (1, rate), such as `mel_spectrogram`: sounds shorter than a second are silent at the end
    label : 0-9 for the words yes, no, up, down, left, right, on, off, stop, go; 10 for background noise; 11 for any other word
    """

    def __init__(self, dataset, transform):
        self.dataset, self.transform = dataset, transform

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        waveform, rate, word = self.dataset[index][:3]
        whole = torch.nn.functional.pad(waveform, (0, rate - waveform.shape[-1]))  # longer ones are cut
        return self.transform(whole), LABELS.index(word if word in LABELS else UNKNOWN)


def prepare_dataset(speech_commands):
    """The data sets (training, validation, testing) of the folder ``speech_commands``, each a `Clips`.

    validation_list.txt and testing_list.txt say what belongs to these two; the rest is for training. Of the background noise,
    in chunks of a second, a tenth goes to each of the two as well.
    """
    if not isinstance(speech_commands, (str, PathLike)):
        raise StorageError(f"prepare_dataset takes the path of a folder, not a {type(speech_commands).__name__}. {_advice()}")
    folder = Path(speech_commands)
    listed = [_listed(folder, name) for name in LISTS]
    splits = ([], [], [])
    for path in sorted(folder.glob("*/*.wav")):
        if path.parent.name == NOISE_FOLDER:
            continue
        match = NAME.match(path.stem)
        if not match:
            raise StorageError(f"file {str(path)!r}: its name must be SPEAKER_nohash_NUMBER.wav")
        place = f"{path.parent.name}/{path.name}"
        split = next((n for n, names in enumerate(listed, start=1) if place in names), 0)
        splits[split].append(Clip(path, path.parent.name, match["speaker"], int(match["number"])))
    for n, chunk in enumerate(_noise(folder)):
        splits[OUTSIDE_TRAINING.get(n % 10, 0)].append(chunk)
    if not any(splits):
        raise StorageError(f"folder {str(folder)!r} has no words: no .wav file lies in a folder in it. {_advice()}")
    training, validation, testing = (Clips(split) for split in splits)
    return training, validation, testing


def read_wav(path, start=None):
    """``(waveform float32 (channels, samples) in [-1, 1), rate in Hz)`` of a 16 bit .wav file; only the second that begins at
    ``start`` s if one is given."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width, frames = file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()
            if width != 2:
                raise StorageError(f"file {str(path)!r} has {8 * width} bits a sample; convert it to 16")
            if rate < 1 or frames * channels * width > os.path.getsize(path):
                raise StorageError(f"file {str(path)!r} declares {frames} samples at {rate} Hz, which it does not hold")
            if start is not None:
                file.setpos(start * rate)
            data = file.readframes(frames if start is None else min(rate, frames))
    except (OSError, EOFError, RuntimeError, struct.error, wave.Error) as error:  # RuntimeError: chunks out of place
        raise StorageError(f"file {str(path)!r} cannot be read as .wav: {error}") from error
    data = data[: len(data) - len(data) % (2 * channels)]
    samples = np.frombuffer(data, dtype="<i2").reshape(-1, channels).T.astype(np.float32) / np.float32(2**15)
    return torch.from_numpy(samples), rate


def _noise(folder):
    """The whole seconds of all background noise, in a fixed order."""
    for path in sorted((folder / NOISE_FOLDER).glob("*.wav")):
        waveform, rate = read_wav(path)
        for second in range(waveform.shape[-1] // rate):
            yield Clip(path, BACKGROUND, path.stem, second, second)


def _listed(folder, name):
    """The entries ``word/file.wav`` of a list."""
    try:
        return set((folder / name).read_text().split())
    except OSError as error:
        raise StorageError(f"file {str(folder / name)!r} cannot be read ({error.strerror}). {_advice()}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"file {str(folder / name)!r} is no text ({error}). {_advice()}") from error


def _advice():
    return f"Give the folder in which the published archive, {URL}, was unpacked; nothing is downloaded here"
