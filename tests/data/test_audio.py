"""Each thing that goes wrong with a recording, and what libsndfile would have said about it: nothing."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data.audio import BadRecording, fit_window, read_recording
from asd_ray.errors import InputError


def tone(seconds: float = 10.0, *, rate: int = SAMPLE_RATE, hertz: float = 440.0) -> NDArray[np.int16]:
    time_T = np.arange(round(seconds * rate)) / rate
    return np.rint(8000 * np.sin(2 * np.pi * hertz * time_T + 0.1)).astype(np.int16)


def wav(path: Path, pcm: NDArray[np.generic] | None = None, *, rate: int = SAMPLE_RATE, **how: str) -> Path:
    soundfile.write(path, tone() if pcm is None else pcm, rate, **({"subtype": "PCM_16"} | how))
    return path


def cut(path: Path, size: int) -> None:
    wav(path)
    os.truncate(path, size)


def flac_without_end(path: Path) -> None:
    wav(path)
    os.truncate(path, path.stat().st_size // 2)


def wav_with_rate(path: Path, rate: int) -> None:
    wav(path)
    with path.open("r+b") as file:
        file.seek(24)  # the sample rate in a plain RIFF header
        file.write(rate.to_bytes(4, "little"))


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("x.wav", lambda path: None, "is missing"),
    "link to nothing": ("x.wav", lambda path: path.symlink_to("gone.wav"), "link to gone.wav, which is missing"),
    "link to itself": ("x.wav", lambda path: path.symlink_to(path), "leads back to itself"),
    "folder": ("x.wav", lambda path: path.mkdir(), "is a folder"),
    "pipe": ("x.wav", os.mkfifo, "is not a regular file"),
    "empty": ("x.wav", lambda path: path.touch(), "is empty"),
    "text": ("x.wav", lambda path: path.write_text("not found, sorry\n"), "is not a sound file"),
    "header cut": ("x.wav", lambda path: cut(path, 20), "header is cut or damaged (the file holds 20 bytes)"),
    "samples cut": (
        "x.wav",
        lambda path: cut(path, 160_022),
        "header says 320000 bytes of sound, the file has 159978",
    ),
    "header only": ("x.wav", lambda path: wav(path, tone(0)), "holds no samples"),
    "header of a cut file": (
        "x.wav",
        lambda path: cut(path, 44),
        "header says 320000 bytes of sound, the file has 0",
    ),
    "FLAC cut": ("x.flac", flac_without_end, "is cut or damaged"),
    "44.1 kHz": ("x.wav", lambda path: wav(path, rate=44_100), "has 44100 Hz, not 16000 Hz"),
    "4 GHz": ("x.wav", lambda path: wav_with_rate(path, 4_000_000_000), "is cut or damaged"),
    "1 Hz": ("x.wav", lambda path: wav_with_rate(path, 1), "its header says 1 Hz"),
    "NaN": ("x.wav", lambda path: wav(path, np.full(100, np.nan), subtype="FLOAT"), "NaN"),
    "infinite": ("x.wav", lambda path: wav(path, np.full(100, np.inf), subtype="FLOAT"), "NaN or infinite"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recording_is_refused_with_its_path_and_cause(tmp_path: Path, name: str) -> None:
    file, make, cause = BAD[name]
    path = tmp_path / file
    make(path)
    with pytest.raises(BadRecording) as bad:
        read_recording(path)
    assert cause in bad.value.cause
    assert bad.value.path == path
    assert str(bad.value) == f"{path}: {bad.value.cause}; {bad.value.mend}"
    assert isinstance(bad.value, InputError)
    assert str(pickle.loads(pickle.dumps(bad.value))) == str(bad.value)


def test_an_unreadable_file_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wav(tmp_path / "x.wav")
    if os.geteuid() == 0:  # root may read everything

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    else:
        path.chmod(0)
    with pytest.raises(BadRecording, match=r"permission denied\); chmod u\+r x\.wav"):
        read_recording(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bit_samples_arrive_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    recording = read_recording(wav(tmp_path / f"x{suffix}"))
    assert np.array_equal(recording.pcm, tone())
    assert recording.pcm.dtype == np.int16
    assert (recording.num_samples, recording.notes) == (NUM_SAMPLES, ())


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_finer_samples_are_rounded_to_sixteen_bits(tmp_path: Path, subtype: str) -> None:
    path = wav(tmp_path / "x.wav", tone() / 32768, subtype=subtype)
    recording = read_recording(path)
    assert np.array_equal(recording.pcm, tone())
    assert recording.notes == ()


def test_coarser_samples_are_accepted(tmp_path: Path) -> None:
    for subtype in ("PCM_U8", "ULAW"):
        recording = read_recording(wav(tmp_path / "x.wav", tone() / 32768, subtype=subtype))
        assert np.corrcoef(recording.pcm, tone())[0, 1] > 0.99


def test_a_long_recording_keeps_its_first_ten_seconds(tmp_path: Path) -> None:
    eleven = tone(11, hertz=3.0)
    recording = read_recording(wav(tmp_path / "x.wav", eleven))
    assert np.array_equal(recording.pcm, eleven[:NUM_SAMPLES])
    assert recording.num_samples == 176_000
    assert recording.notes == ("longer than 10 s: its first 10 s used",)


def test_the_length_of_a_very_long_recording_is_known_though_it_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert read_recording(wav(tmp_path / "x.wav", tone(90))).num_samples == 90 * SAMPLE_RATE


def test_a_short_recording_is_repeated_to_length(tmp_path: Path) -> None:
    recording = read_recording(wav(tmp_path / "x.wav", tone(3)))
    assert np.array_equal(recording.pcm, np.tile(tone(3), 4)[:NUM_SAMPLES])
    assert recording.num_samples == 48_000
    assert recording.notes == ("shorter than 10 s: repeated",)
    assert fit_window(np.array([1, 2, 3], np.int16))[0][:7].tolist() == [1, 2, 3, 1, 2, 3, 1]


def test_resampling_keeps_pitch_and_length(tmp_path: Path) -> None:
    recording = read_recording(wav(tmp_path / "x.wav", tone(rate=44_100), rate=44_100), resample=True)
    assert recording.num_samples == NUM_SAMPLES
    assert recording.notes == ("resampled from 44100 Hz",)
    strongest = np.argmax(np.abs(np.fft.rfft(recording.pcm)))
    assert strongest / 10 == pytest.approx(440, abs=0.1)
    inner = slice(1000, -1000)  # the filter needs its neighbours
    assert np.allclose(recording.pcm[inner], tone()[inner], atol=40)


def test_channel_zero_of_several_is_used(tmp_path: Path) -> None:
    eight = np.stack([tone(hertz=100.0 * (c + 1)) for c in range(8)], axis=1)
    recording = read_recording(wav(tmp_path / "x.wav", eight))
    assert np.array_equal(recording.pcm, tone(hertz=100.0))
    assert recording.notes == ("8 channels: channel 0 used",)


def test_samples_beyond_full_scale_are_clipped_and_noted(tmp_path: Path) -> None:
    loud = np.float32([0.25, 1.5, -1.5] * 60_000)
    recording = read_recording(wav(tmp_path / "x.wav", loud, subtype="FLOAT"))
    assert recording.pcm[:3].tolist() == [8192, 32767, -32768]
    assert "samples beyond full scale: clipped" in recording.notes
    peaks = np.float32([0.5, -0.5] * 80_000)
    peaks[:2] = 1.0, -1.0
    assert read_recording(wav(tmp_path / "y.wav", peaks, subtype="FLOAT")).notes == ()


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_a_float_recording_of_another_scale_is_refused(tmp_path: Path, subtype: str) -> None:
    path = wav(tmp_path / "x.wav", tone().astype(np.float32), subtype=subtype)
    with pytest.raises(BadRecording, match=r"reach 8000, and full scale of a float file is 1; divide them by"):
        read_recording(path)
    assert len(read_recording(wav(path, tone() / np.float32(2500), subtype=subtype)).pcm) == NUM_SAMPLES


@pytest.mark.parametrize(("share", "noted"), [(0.0009, False), (0.0011, True)])
@pytest.mark.parametrize("full_scale", [32767, -32768])
def test_a_saturated_recording_is_noted(tmp_path: Path, share: float, noted: bool, full_scale: int) -> None:
    pcm = tone()
    pcm[: round(share * len(pcm))] = full_scale
    notes = read_recording(wav(tmp_path / "x.wav", pcm)).notes
    assert [note.split(":")[0] for note in notes] == ["saturated"] * noted


@pytest.mark.parametrize(("amplitude", "noted"), [(31, True), (33, False)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_of_how_few_levels_a_quiet_recording_is_left_is_noted(
    tmp_path: Path, amplitude: int, noted: bool, subtype: str
) -> None:
    quiet = tone() / 8000 * amplitude / 32768
    recording = read_recording(wav(tmp_path / "x.wav", quiet, subtype=subtype))
    assert recording.notes == (("so quiet that 16 bits keep fewer than 64 levels of it",) if noted else ())


def test_a_recording_of_which_channel_zero_alone_is_silent_is_refused(tmp_path: Path) -> None:
    dead, other = np.zeros(NUM_SAMPLES, np.int16), tone()
    with pytest.raises(
        BadRecording, match=r"channel 0, which is the one that is read, is silent, and channel 2 is"
    ):
        read_recording(wav(tmp_path / "x.wav", np.stack([dead, dead, other], axis=1)))
    silent = read_recording(wav(tmp_path / "y.wav", np.stack([dead, dead], axis=1)))
    assert silent.notes == ("2 channels: channel 0 used", "silent")


@pytest.mark.parametrize("constant", [0, 77])
def test_silence_is_noted(tmp_path: Path, constant: int) -> None:
    recording = read_recording(wav(tmp_path / "x.wav", np.full(NUM_SAMPLES, constant, np.int16)))
    assert recording.notes == ("silent",)


@pytest.mark.parametrize(("zeros", "noted"), [(SAMPLE_RATE, True), (SAMPLE_RATE - 1, False)])
@pytest.mark.parametrize("start", [0, 12_345, NUM_SAMPLES - SAMPLE_RATE])
def test_a_second_of_exact_zeros_is_noted(tmp_path: Path, zeros: int, noted: bool, start: int) -> None:
    pcm = np.full(NUM_SAMPLES, 50, np.int16)
    pcm[::2] = -50
    pcm[start : start + zeros] = 0
    notes = read_recording(wav(tmp_path / "x.wav", pcm)).notes
    assert notes == (("a second or more of exact zeros",) if noted else ())


@pytest.mark.parametrize("kind", ["FLAC", "MP3"])
def test_another_format_named_wav_is_read_and_noted(tmp_path: Path, kind: str) -> None:
    subtype = "PCM_16" if kind == "FLAC" else "MPEG_LAYER_III"
    with (tmp_path / "x.wav").open("wb") as file:
        soundfile.write(file, tone() / 32768, SAMPLE_RATE, format=kind, subtype=subtype)
    recording = read_recording(tmp_path / "x.wav")
    assert recording.notes[0] == f"{kind} data in a file named .wav"


def test_names_in_any_script_and_suffixes_in_any_case_are_read(tmp_path: Path) -> None:
    wav(tmp_path / "x.wav").rename(tmp_path / "ファン 1 ü.WAV")
    assert read_recording(tmp_path / "ファン 1 ü.WAV").notes == ()


@pytest.mark.parametrize("length", [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF])
def test_a_wav_whose_writer_could_not_state_its_length_is_read(tmp_path: Path, length: int) -> None:
    path = wav(tmp_path / "x.wav")
    with path.open("r+b") as file:
        file.seek(40)
        file.write(length.to_bytes(4, "little"))
    recording = read_recording(path)
    assert np.array_equal(recording.pcm, tone())
    assert (recording.num_samples, recording.notes) == (NUM_SAMPLES, ())


@pytest.mark.parametrize("seconds", [10, 3, 70])
def test_a_flac_whose_writer_could_not_state_its_length_is_read(tmp_path: Path, seconds: int) -> None:
    path = wav(tmp_path / "x.flac", tone(seconds))
    with path.open("r+b") as file:
        file.seek(21)  # the last 36 bits of this group of bytes count the samples
        first = file.read(1)[0]
        file.seek(21)
        file.write(bytes([first & 0xF0, 0, 0, 0, 0]))
    recording = read_recording(path)
    assert np.array_equal(recording.pcm, fit_window(tone(seconds))[0])
    assert recording.num_samples == min(seconds, 60) * SAMPLE_RATE


def test_chunks_before_the_samples_are_skipped(tmp_path: Path) -> None:
    plain = wav(tmp_path / "x.wav").read_bytes()
    odd = b"LIST" + (5).to_bytes(4, "little") + b"INFO!\0"  # a chunk of odd length is padded
    (tmp_path / "y.wav").write_bytes(plain[:36] + odd + plain[36:])
    assert np.array_equal(read_recording(tmp_path / "y.wav").pcm, tone())
    (tmp_path / "z.wav").write_bytes((plain[:36] + odd + plain[36:])[:-2])
    with pytest.raises(BadRecording, match="header says 320000 bytes of sound, the file has 319998"):
        read_recording(tmp_path / "z.wav")
