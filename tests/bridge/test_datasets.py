"""The data sets: the rule of the store-recall task; files of sounds and spikes that the tests write themselves."""

import math
import subprocess
import sys
import wave

import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError, StorageError
from norse_bridge.datasets import mel_spectrogram
from norse_bridge.datasets.mel import mel_bands


def test_the_names_are_flat_and_in_datasets():
    for name in ("MemoryStoreRecallDataset", "SpeechCommandsDataset", "SpikingHeidelbergDigitsDataset", "prepare_dataset"):
        assert getattr(nb, name) is getattr(nb.datasets, name)


# --- store and recall ---


def test_memory_has_norses_shapes():
    data = nb.MemoryStoreRecallDataset(3)
    x, y = data[0]
    assert (x.shape, x.dtype, y.shape, y.dtype, len(data)) == ((4800, 20), torch.float32, (48, 2), torch.uint8, 3)
    assert len(list(data)) == 3


def decoded(x, data):
    """What each population does in each period: mean spikes a step and neuron, (repetitions, periods, 4)."""
    shape = (data.seq_repetitions, data.seq_periods, data.seq_length, 4, data.population_size)
    return x.reshape(shape).mean((2, 4))


@pytest.mark.parametrize("periods", [2, 5, 12])
def test_memory_recalls_the_stored_bit(periods):
    """Read back from the spikes alone: at a rate of 500 a step of 1 ms no period of 1000 neuron-steps is silent by chance."""
    data = nb.MemoryStoreRecallDataset(
        20, seq_length=100, seq_periods=periods, seq_repetitions=3, population_size=10, poisson_rate=500, seed=1
    )
    bits_seen = set()
    for n, (x, y) in enumerate(data):
        active = decoded(x, data) > 0  # (repetitions, periods, 4)
        zero, one, store, recall = active.unbind(-1)
        assert torch.equal(store.nonzero()[:, 1], data.store_indices[n]) and torch.equal(
            recall.nonzero()[:, 1], data.recall_indices[n]
        )
        assert torch.equal(zero | one, ~recall) and not (zero & one).any()
        assert (data.store_indices[n] < periods // 2).all() and (data.recall_indices[n] >= periods // 2).all()
        y = y.reshape(3, periods, 2)
        assert torch.equal(y.sum(-1).bool(), recall)
        stored = one[torch.arange(3), data.store_indices[n]]
        assert torch.equal(y[recall].argmax(-1).bool(), stored)
        bits_seen |= set(stored.tolist())
    assert bits_seen == {False, True}


def test_memory_rates():
    """A population that tells a bit fires at poisson_rate, one that commands at half of it; 5 sigma."""
    data = nb.MemoryStoreRecallDataset(30, seq_repetitions=1, poisson_rate=100, seed=2)
    rates = torch.stack([decoded(x, data) for x, _ in data])
    for population, wanted in ((slice(0, 2), 0.1), (slice(2, 4), 0.05)):
        found = rates[..., population]
        trials = int((found > 0).sum()) * data.seq_length * data.population_size
        assert found[found > 0].mean().item() == pytest.approx(wanted, abs=5 * math.sqrt(wanted * (1 - wanted) / trials))


def test_the_seed_of_memory_covers_everything():
    def all_of(seed):
        data = nb.MemoryStoreRecallDataset(4, seq_length=5, seed=seed)
        return torch.cat([x.flatten() for x, _ in data] + [y.flatten() for _, y in data])

    assert torch.equal(all_of(7), all_of(7))
    assert not torch.equal(all_of(7), all_of(8))
    data = nb.MemoryStoreRecallDataset(4, seq_length=5, seed=7)
    late, early = data[3], data[0]
    assert torch.equal(data[3][0], late[0]) and not torch.equal(early[0], late[0])
    torch.manual_seed(3)
    without = all_of(None)
    assert not torch.equal(all_of(None), without)
    torch.manual_seed(3)
    assert torch.equal(all_of(None), without)


def test_memory_refuses_what_makes_no_task():
    for name, value in (("samples", 0), ("seq_periods", 1), ("seq_length", 0), ("seq_repetitions", 0), ("population_size", 0)):
        with pytest.raises(SimulationError, match=f"{name} must be . or more, not {value}"):
            nb.MemoryStoreRecallDataset(**({"samples": 1} | {name: value}))


# --- speech commands ---

RATE = 800  # Hz: the files of the tests are short


def write_wav(path, samples, width=2, channels=1):
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(RATE)
        file.writeframes(np.asarray(samples).astype({1: "u1", 2: "<i2"}[width]).tobytes())


@pytest.fixture
def commands(tmp_path):
    """Two words that count and one that does not, from three speakers; 21 s of noise."""
    for number, speaker in enumerate(("a1", "b2", "c3")):
        for word, value in (("yes", 100), ("go", 200), ("bed", 300)):
            write_wav(tmp_path / word / f"{speaker}_nohash_{number}.wav", np.full(RATE - 10 * number, value + number))
    write_wav(tmp_path / "_background_noise_" / "hum.wav", np.repeat(np.arange(22), RATE)[: 21 * RATE + 5])
    (tmp_path / "_background_noise_" / "README.md").write_text("not a sound")
    (tmp_path / "validation_list.txt").write_text("yes/b2_nohash_1.wav\ngo/b2_nohash_1.wav\n")
    (tmp_path / "testing_list.txt").write_text("yes/c3_nohash_2.wav\nbed/c3_nohash_2.wav\n")
    return tmp_path


def test_the_lists_say_what_is_for_validation_and_for_testing(commands):
    """Norse filters its test split with the validation list."""
    splits = nb.prepare_dataset(commands)
    found = [[(word, speaker, number) for _, _, word, speaker, number in split] for split in splits]
    words = [[item for item in items if item[0] != "background"] for items in found]
    assert words[0] == [("bed", "a1", 0), ("bed", "b2", 1), ("go", "a1", 0), ("go", "c3", 2), ("yes", "a1", 0)]
    assert words[1] == [("go", "b2", 1), ("yes", "b2", 1)]
    assert words[2] == [("bed", "c3", 2), ("yes", "c3", 2)]
    noise = [[item[2] for item in items if item[0] == "background"] for items in found]
    assert noise[1:] == [[0, 10, 20], [1, 11]]
    assert sorted(sum(noise, [])) == list(range(21))


def test_sounds_are_what_the_files_hold(commands):
    training, validation, _ = nb.prepare_dataset(str(commands))
    waveform, rate, word, *_ = training[3]
    assert (word, rate, waveform.dtype) == ("go", RATE, torch.float32)
    assert torch.equal(waveform, torch.full((1, RATE - 20), 202 / 2**15))
    hum = [waveform for waveform, _, word, _, _ in validation if word == "background"]
    assert all(torch.equal(chunk, torch.full((1, RATE), second / 2**15)) for chunk, second in zip(hum, (0, 10, 20), strict=True))


def test_labels_are_contiguous_and_fixed(commands):
    """In Norse they follow the order of a set of strings, which differs from process to process, and leave 11 out."""
    words = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "background", "unknown", "bed", "zero"]
    sounds = [(torch.zeros(1, 4), 4, word, "a", 0) for word in words]
    data = nb.SpeechCommandsDataset(sounds, lambda x: x)
    assert [label for _, label in data] == [*range(12), 11, 11]
    training = nb.prepare_dataset(commands)[0]
    assert {label for _, label in nb.SpeechCommandsDataset(training, lambda x: x)} == {0, 9, 10, 11}


def test_every_sound_lasts_a_second_and_is_transformed(commands):
    training = nb.prepare_dataset(commands)[0]
    data = nb.SpeechCommandsDataset(training, lambda x: 2 * x)
    assert len(data) == len(training)
    for n in range(len(data)):
        raw, _, _, _, _ = training[n]
        assert data[n][0].shape == (1, RATE)
        assert torch.equal(data[n][0][:, : raw.shape[1]], 2 * raw) and data[n][0][:, raw.shape[1] :].count_nonzero() == 0
    long = nb.SpeechCommandsDataset([(torch.arange(12.0)[None], 8, "go")], lambda x: x)
    assert torch.equal(long[0][0], torch.arange(8.0)[None])
    batch, labels = next(iter(torch.utils.data.DataLoader(data, batch_size=4)))
    assert batch.shape == (4, 1, RATE) and labels.shape == (4,)


def test_folders_and_sounds_that_are_none_are_refused(commands, tmp_path_factory):
    with pytest.raises(
        StorageError, match=r"validation_list.txt' cannot be read.*speech_commands_v0.02.tar.gz.*nothing is downloaded"
    ):
        nb.prepare_dataset(tmp_path_factory.mktemp("empty"))
    with pytest.raises(StorageError, match="path of a folder, not a list"):
        nb.prepare_dataset([])
    bare = tmp_path_factory.mktemp("bare")
    for name in ("validation_list.txt", "testing_list.txt"):
        (bare / name).write_text("")
    with pytest.raises(StorageError, match="has no words"):
        nb.prepare_dataset(bare)
    write_wav(commands / "go" / "d4_nohash_0.wav", np.zeros(10), width=1)
    training = nb.prepare_dataset(commands)[0]
    place = next(n for n, clip in enumerate(training.clips) if clip.speaker == "d4")
    with pytest.raises(StorageError, match="8 bits a sample"):
        training[place]
    (commands / "go" / "d4_nohash_0.wav").write_bytes(b"RIFF")
    with pytest.raises(StorageError, match="cannot be read as .wav"):
        training[place]
    write_wav(commands / "go" / "noname.wav", np.zeros(10))
    with pytest.raises(StorageError, match="SPEAKER_nohash_NUMBER.wav"):
        nb.prepare_dataset(commands)


def test_mel_bands_cover_every_frequency_once():
    bands = mel_bands(257, 16000, 80)
    assert bands.shape == (80, 257)
    assert (bands.sum(1) > 0).all()
    frequencies = torch.linspace(0, 8000, 257, dtype=torch.float64)
    top = 2595 * math.log10(1 + 8000 / 700)
    centres = [700 * (10 ** (m * top / 81 / 2595) - 1) for m in range(1, 81)]
    inner = (frequencies >= centres[0]) & (frequencies <= centres[-1])
    assert torch.allclose(bands.sum(0)[inner], torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("frequency", [440.0, 1000.0, 3000.0])
def test_mel_spectrogram_of_a_tone(frequency):
    """The power of a tone of amplitude 1 in the middle of a Hann window is (sum of the window / 2)^2 at its frequency."""
    n_fft, rate = 512, 16000
    frequency = round(frequency * n_fft / rate) * rate / n_fft  # on the grid of the transform
    tone = torch.sin(2 * math.pi * frequency * torch.arange(rate, dtype=torch.float64) / rate)
    power = mel_spectrogram(tone[None])
    assert power.shape == (1, 80, 101)
    mel = 2595 * math.log10(1 + frequency / 700)
    band = mel / (2595 * math.log10(1 + 8000 / 700)) * 81 - 1
    assert abs(power[0, :, 50].argmax().item() - band) < 1
    window = torch.hann_window(n_fft, dtype=torch.float64)
    peak = (window.sum() / 2) ** 2
    bands = mel_bands(n_fft // 2 + 1, rate, 80)
    k = round(frequency * n_fft / rate)
    # The Hann window leaks a quarter of the power into either neighbour.
    wanted = peak * (bands[:, k] + 0.25 * (bands[:, k - 1] + bands[:, k + 1]))
    assert torch.allclose(power[0, :, 50], wanted, atol=1e-6 * peak.item())


def test_mel_spectrogram_of_a_batch_and_of_too_short_a_sound():
    sounds = torch.randn(2, 3, 1000)
    power = mel_spectrogram(sounds, n_mels=20, hop_length=100)
    assert power.shape == (2, 3, 20, 11)
    assert torch.allclose(power[1, 2], mel_spectrogram(sounds[1, 2], n_mels=20, hop_length=100))
    with pytest.raises(SimulationError, match="256 samples are too few"):
        mel_spectrogram(torch.zeros(256))


# --- spiking Heidelberg digits ---

TIMES = ([0.0005, 0.0125, 0.0126, 0.7005], [], [1.3999])  # s
UNITS = ([0, 699, 699, 5], [], [10])
LABELS = [3, 19, 0]


def write_digits(path, times=TIMES, units=UNITS, labels=LABELS):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, rows, kind in (("times", times, np.float32), ("units", units, np.uint16)):
            stored = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(kind))
            for n, row in enumerate(rows):
                stored[n] = np.array(row, kind)
        file["labels"] = np.array(labels, np.uint16)


def test_digits_are_what_the_file_holds(tmp_path):
    """In Norse iterating raises an AttributeError, and training would read the test file."""
    write_digits(tmp_path / "shd_train.h5")
    write_digits(tmp_path / "shd_test.h5", TIMES[:1], UNITS[:1], [7])
    data = nb.SpikingHeidelbergDigitsDataset(tmp_path, dt=0.001)
    assert len(data) == 3 and len(nb.SpikingHeidelbergDigitsDataset(tmp_path, train=False)) == 1
    wanted = [[[0, 0], [12, 699], [700, 5]], [], [[1399, 10]]]  # two spikes of a channel in a step are one
    for (spikes, label), where, digit in zip(data, wanted, LABELS, strict=True):
        assert spikes.is_sparse and spikes.shape == (1400, 700) and spikes.dtype == torch.uint8
        assert spikes.coalesce().indices().T.tolist() == where
        assert label.dtype == torch.uint8 and label.item() == digit
    dense, _ = nb.SpikingHeidelbergDigitsDataset(tmp_path / "shd_train.h5", dt=0.1, sparse=False)[0]
    assert dense.shape == (14, 700) and not dense.is_sparse
    assert dense.nonzero().tolist() == [[0, 0], [0, 699], [7, 5]]
    with pytest.raises(IndexError):
        data[3]
    assert data[-1][1].item() == 0


def test_digits_can_be_shuffled(tmp_path):
    write_digits(tmp_path / "shd_train.h5")
    loader = torch.utils.data.DataLoader(nb.SpikingHeidelbergDigitsDataset(tmp_path, sparse=False), batch_size=3, shuffle=True)
    spikes, labels = next(iter(loader))
    assert spikes.shape == (3, 1400, 700) and sorted(labels.tolist()) == sorted(LABELS)
    stacked = torch.stack([spikes for spikes, _ in nb.SpikingHeidelbergDigitsDataset(tmp_path)])
    assert stacked.is_sparse and stacked.to_dense().sum() == 4


def test_files_that_are_no_digits_are_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    for download in (False, True):
        with pytest.raises(
            StorageError, match=r"shd_test.h5' does not exist. Nothing is downloaded here: get shd_test.h5.gz from http"
        ):
            nb.SpikingHeidelbergDigitsDataset(tmp_path, train=False, download=download)
    path = tmp_path / "shd_train.h5"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(StorageError, match="not a whole HDF5 file"):
        nb.SpikingHeidelbergDigitsDataset(tmp_path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(StorageError, match="labels: is missing"):
        nb.SpikingHeidelbergDigitsDataset(tmp_path)
    write_digits(path, labels=[1])
    with pytest.raises(StorageError, match=r"\[1, 3, 3\] labels, times and units"):
        nb.SpikingHeidelbergDigitsDataset(tmp_path)
    for times, units in (([[1.5]], [[0]]), ([[-0.1]], [[0]]), ([[0.1]], [[700]]), ([[0.1, 0.2]], [[1]])):
        write_digits(path, times, units, [0])
        with pytest.raises(StorageError, match="every spike of sample 0 must have a time"):
            nb.SpikingHeidelbergDigitsDataset(path)[0]


def test_nothing_optional_is_imported_before_it_is_needed():
    optional = {"matplotlib", "tensorboard", "h5py", "nir", "gymnasium", "lightning", "torchvision", "torchaudio", "sklearn"}
    code = f"import sys, norse_bridge; print(sorted({optional!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
