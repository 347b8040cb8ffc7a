"""Norse's data sets, and images for its tasks: made by a rule, or read from local files; nothing is ever downloaded."""

from norse_bridge.datasets.heidelberg import SpikingHeidelbergDigitsDataset
from norse_bridge.datasets.images import read_cifar10, read_digits
from norse_bridge.datasets.mel import mel_spectrogram
from norse_bridge.datasets.memory import MemoryStoreRecallDataset
from norse_bridge.datasets.speech_commands import SpeechCommandsDataset, prepare_dataset

__all__ = [
    "MemoryStoreRecallDataset",
    "SpeechCommandsDataset",
    "SpikingHeidelbergDigitsDataset",
    "mel_spectrogram",
    "prepare_dataset",
    "read_cifar10",
    "read_digits",
]
