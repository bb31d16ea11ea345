"""One sound file -> ten seconds of checked 16 kHz PCM, or the reason why it cannot be used.

libsndfile forgives much: it reads half a wav file without a word, passes NaN on, and calls a missing file a
"System error." So this module checks what libsndfile does not, once, before anything is learnt from a recording.
Axes: T samples, C channels.
"""

import errno
import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.errors import InputError

LONGEST_READ_SECONDS = 60  # the window is 10 s; an hour-long recording need not be decoded to its end
ZERO_RUN_SAMPLES = SAMPLE_RATE  # a second of exact zeros: no microphone is so quiet, but a broken recorder is
PLAUSIBLE_RATES = range(4_000, 384_001)  # Hz; a damaged header can say anything
# A program that streams a wav cannot go back to its header, so it states a length near 2 or 4 GiB beforehand:
# 0x7FFFF000 (sox), 0x80000000 (arecord), 0xFFFFFFFF (ffmpeg). So a cut in a recording of a day or more is missed.
_STREAMED_FROM = 0x7FFF0000
_FRAMES_NOT_STATED = 2**62  # what libsndfile reports for a streamed FLAC
LOUDEST = 4.0  # times full scale: up to 12 dB of overshoot we clip and note; beyond it, the file has another scale
FEWEST_LEVELS = 64  # of 65,536: peaks below -60 dB of full scale, where rounding to 16 bits is audible as noise
SATURATED_SHARE = 0.001  # share of samples at full scale: a click stays below it, an overdriven input does not
SILENT = "silent"


class BadRecording(InputError):  # noqa: N818  (it names the recording, not the error)
    """A recording that cannot be used: `path`, the `cause`, and how to `mend` it."""

    def __init__(self, path: Path, cause: str, mend: str) -> None:
        super().__init__(path, cause, mend)
        self.path, self.cause, self.mend = path, cause, mend

    def __str__(self) -> str:
        return f"{self.path}: {self.cause}; {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """`pcm` is exactly NUM_SAMPLES of int16. `num_samples` is the length at 16 kHz before cropping or
    repeating. `notes` says what was odd but usable, in fixed phrases so that they can be counted."""

    pcm: NDArray[np.int16]
    num_samples: int
    notes: tuple[str, ...]


def read_recording(path: Path, *, resample: bool = False) -> Recording:
    """Decode and check one recording.

    A recording longer than 10 s is cut to its first 10 s; a shorter one is repeated to 10 s. Of several channels,
    channel 0 is used, as DCASE does. Raises BadRecording: also where channel 0 alone is silent, where the samples
    have another scale, and where the sample rate differs, unless `resample` is set.
    """
    _check_file(path)
    _check_riff_lengths(path)
    pcm_TC, stated, rate, kind = _decode(path)
    notes = (
        []
        if kind in ("WAV", "WAVEX", "RF64") or path.suffix.lower() == f".{kind.lower()}"
        else [f"{kind} data in a file named {path.suffix.lower()}"]
    )
    if pcm_TC.shape[1] > 1:
        _refuse_dead_channel(path, pcm_TC)
        notes.append(f"{pcm_TC.shape[1]} channels: channel 0 used")
    wave_T = pcm_TC[:, 0]
    if not np.isfinite(wave_T).all():
        raise BadRecording(path, "holds NaN or infinite samples", "record or export it again")
    _refuse_other_scale(path, wave_T)
    if rate != SAMPLE_RATE:
        wave_T = _resampled(path, wave_T, rate=rate, allowed=resample)
        notes.append(f"resampled from {rate} Hz")
    pcm_T, clipped = _to_int16(wave_T)
    if clipped:
        notes.append("samples beyond full scale: clipped")
    window, remark = fit_window(pcm_T)
    notes += [*remark, *_loudness(window), *_silence(pcm_T[:NUM_SAMPLES])]
    return Recording(pcm=window, num_samples=-(-stated * SAMPLE_RATE // rate), notes=tuple(notes))


def fit_window(pcm_T: NDArray[np.int16]) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """Exactly NUM_SAMPLES of a recording, and notes on how it was cut or repeated."""
    if len(pcm_T) > NUM_SAMPLES:
        return pcm_T[:NUM_SAMPLES], ("longer than 10 s: its first 10 s used",)
    if len(pcm_T) < NUM_SAMPLES:
        return np.resize(pcm_T, NUM_SAMPLES), ("shorter than 10 s: repeated",)
    return pcm_T, ()


def _refuse_dead_channel(path: Path, pcm_TC: NDArray[Any]) -> None:
    """We read channel 0 only. Where it is silent and another is not, the microphone was on the other one."""
    if (pcm_TC[:, 0] != pcm_TC[0, 0]).any():
        return
    sounding = np.flatnonzero((pcm_TC != pcm_TC[0]).any(axis=0))
    if len(sounding):
        raise BadRecording(
            path,
            f"its channel 0, which is the one that is read, is silent, and channel {sounding[0]} is not",
            f"export channel {sounding[0]} alone",
        )


def _refuse_other_scale(path: Path, wave_T: NDArray[Any]) -> None:
    """Refuse float samples on an integer scale: guessing the scale of each file would make quiet ones loud."""
    peak = float(np.abs(wave_T).max()) if wave_T.dtype != np.int16 else 0.0
    if peak > LOUDEST:
        raise BadRecording(
            path,
            f"its samples reach {peak:.6g}, and full scale of a float file is 1",
            "divide them by the full scale of the recorder (32768 for 16 bits), and export it again",
        )


def _check_file(path: Path) -> None:
    """Name the faults that libsndfile would call a system error or an unknown format."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadRecording(path, "is a folder", "move it away or rename it")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BadRecording(path, "is not a regular file", "put a sound file there")
        if status.st_size == 0:
            raise BadRecording(path, "is empty", "copy or download it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise _system_error(path, error) from error


def _system_error(path: Path, error: OSError) -> BadRecording:
    if error.errno == errno.ENOENT:
        if path.is_symlink():
            return BadRecording(path, f"is a link to {path.readlink()}, which is missing", "restore it")
        return BadRecording(path, "is missing", "copy or download it again")
    if error.errno == errno.ELOOP:
        return BadRecording(path, "is a link that leads back to itself", "point it to a sound file")
    if error.errno in (errno.EACCES, errno.EPERM):
        return BadRecording(path, "cannot be read (permission denied)", f"chmod u+r {path.name}")
    return BadRecording(path, f"cannot be read ({error.strerror or error})", "check the disk, copy it again")


def _check_riff_lengths(path: Path) -> None:
    """Compare the length that a wav header promises with what the file holds."""
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return  # RF64 (beyond 4 GiB) and other formats: left to the decoder
        size = os.fstat(file.fileno()).st_size
        again = "copy or download it again"
        promised = _data_chunk(file, size)
        if promised is None:
            raise BadRecording(path, f"its wav header is cut or damaged (the file holds {size} bytes)", again)
        start, length = promised
        if length < _STREAMED_FROM and length > size - start:
            raise BadRecording(
                path, f"is cut: its header says {length} bytes of sound, the file has {size - start}", again
            )


def _data_chunk(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Start and stated length of the data chunk of a RIFF file; None if the file ends before it."""
    at = 12  # the chunks follow "RIFF", the length and "WAVE": each has a name, a length, that many bytes, padding
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            return at + 8, length
        at += 8 + length + length % 2
    return None


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is read once, from its beginning.

    After reading, soundfile seeks to where it stopped, which libsndfile refuses in a streamed FLAC.
    """

    def seekable(self) -> bool:
        return False


def _decode(path: Path) -> tuple[NDArray[Any], int, int, str]:
    """Samples (int16 for 16-bit PCM, else float32), their stated number, their rate, and the file's format."""
    again = "copy or download it again"
    try:
        with _Forward(path) as file:
            rate, stated, kind = int(file.samplerate), int(file.frames), str(file.format)
            if rate not in PLAUSIBLE_RATES:
                raise BadRecording(path, f"its header says {rate} Hz", f"use recordings of {SAMPLE_RATE} Hz")
            wanted = min(stated, LONGEST_READ_SECONDS * rate)
            dtype = "int16" if file.subtype == "PCM_16" else "float32"
            pcm_TC = file.read(wanted, dtype=dtype, always_2d=True)
    except soundfile.SoundFileError as error:
        raise BadRecording(path, _undecodable(path, error), f"{again}, or convert it to wav or FLAC") from error
    if stated >= _FRAMES_NOT_STATED:
        stated = wanted = len(pcm_TC)
    if len(pcm_TC) == 0:
        raise BadRecording(path, "holds no samples (a header only)", again)
    if len(pcm_TC) < wanted:
        raise BadRecording(path, f"is cut: {stated} samples stated, {len(pcm_TC)} found", again)
    return pcm_TC, stated, rate, kind


def _undecodable(path: Path, error: soundfile.SoundFileError) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head.startswith((b"RIFF", b"RIFX", b"RF64", b"fLaC", b"ID3", b"\xff\xfb", b"OggS", b"FORM")):
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        return f"is cut or damaged ({reason})"
    return f"is not a sound file (it begins with {head!r})"


def _resampled(path: Path, wave_T: NDArray[Any], *, rate: int, allowed: bool) -> NDArray[np.float32]:
    if not allowed:
        raise BadRecording(path, f"has {rate} Hz, not {SAMPLE_RATE} Hz", "convert it, or prepare with --resample")
    from scipy.signal import resample_poly  # takes two seconds to import, and few recordings need it

    scale = 32768.0 if wave_T.dtype == np.int16 else 1.0
    common = math.gcd(rate, SAMPLE_RATE)
    resampled: NDArray[np.float64] = resample_poly(wave_T / scale, SAMPLE_RATE // common, rate // common)
    return resampled.astype(np.float32)


def _to_int16(wave_T: NDArray[Any]) -> tuple[NDArray[np.int16], bool]:
    """Scale [-1, 1) to int16, the inverse of libsndfile's mapping, and say whether samples were clipped."""
    if wave_T.dtype == np.int16:
        return np.ascontiguousarray(wave_T), False
    scaled_T = np.rint(wave_T * np.float32(32768.0))
    # A float file with peaks of +1.0 reaches 32768: one step beyond int16, which is no real clipping.
    clipped = bool((scaled_T > 32768).any() or (scaled_T < -32768).any())
    return np.clip(scaled_T, -32768, 32767).astype(np.int16), clipped


def _loudness(pcm_T: NDArray[np.int16]) -> list[str]:
    low, high = int(pcm_T.min()), int(pcm_T.max())
    notes = []
    if np.count_nonzero((pcm_T == 32767) | (pcm_T == -32768)) >= SATURATED_SHARE * len(pcm_T):
        notes.append("saturated: one sample in a thousand, or more, is at full scale")
    if low < high and high - low < FEWEST_LEVELS:
        notes.append(f"so quiet that 16 bits keep fewer than {FEWEST_LEVELS} levels of it")
    return notes


def _silence(pcm_T: NDArray[np.int16]) -> list[str]:
    if (pcm_T == pcm_T[0]).all():
        return [SILENT]
    # A run of 2n zeros holds at least one whole block of n. Most recordings have none, and are done here.
    block = ZERO_RUN_SAMPLES // 2
    blocks = pcm_T[: len(pcm_T) // block * block].reshape(-1, block)
    if len(blocks) == 0 or blocks.any(axis=1).all():
        return []
    sounding = np.concatenate(([-1], np.flatnonzero(pcm_T), [len(pcm_T)]))
    longest = int(np.diff(sounding).max()) - 1
    return ["a second or more of exact zeros"] if longest >= ZERO_RUN_SAMPLES else []
