"""The building blocks of the built-in corpus's sounds: turning shafts, noise, blows that ring.

Axes: T samples of one clip at SAMPLE_RATE, F bins of the real Fourier transform of T samples.
"""

from collections.abc import Iterable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asd_ray.clip import CLIP_SECONDS, NUM_SAMPLES, SAMPLE_RATE

Signal = NDArray[np.float32]
Turns = NDArray[np.float64]  # the angle of a shaft, in revolutions: float32 would lose it within seconds

TIME_T = np.arange(NUM_SAMPLES) / SAMPLE_RATE
FREQUENCY_F: Signal = np.fft.rfftfreq(NUM_SAMPLES, d=1 / SAMPLE_RATE).astype(np.float32)
_TABLE_POINTS = 8192  # per revolution


def revolutions(rng: Generator, hertz: float, *, drift: float = 0.003, profile_T: Turns | None = None) -> Turns:
    """The angle of a shaft that turns at about `hertz`, with a slow random drift; `profile_T` scales its speed."""
    knots = hertz * (1 + drift * np.cumsum(rng.standard_normal(CLIP_SECONDS + 1)))
    speed_T = np.interp(TIME_T, np.arange(CLIP_SECONDS + 1), knots)
    if profile_T is not None:
        speed_T *= profile_T
    return np.cumsum(speed_T) / SAMPLE_RATE + rng.uniform()


def harmonics(turns_T: Turns, orders: dict[int, float]) -> Signal:
    """The sound that a shaft radiates: order n sounds n times per turn, with amplitude `orders[n]`."""
    import scipy.fft  # imported here and below: only making the corpus needs it; numpy's differs in the last bit

    spectrum = np.zeros(_TABLE_POINTS // 2 + 1, np.complex64)
    for order, amplitude in orders.items():
        spectrum[order] = 0.5 * amplitude * np.exp(2.4j * order * order)  # spread the phases, to avoid sharp peaks
    return _play(scipy.fft.irfft(spectrum, n=_TABLE_POINTS, norm="forward"), turns_T)


def once_per_turn(turns_T: Turns, *, share: float) -> Signal:
    """A smooth gate that opens (to 1) for a share of each turn."""
    angle = np.arange(_TABLE_POINTS) / _TABLE_POINTS
    gate = np.where(angle < share, np.sin(np.pi * angle / share) ** 2, 0.0)
    return _play(gate.astype(np.float32), turns_T)


def _play(table: Signal, turns_T: Turns) -> Signal:
    # The number of points is a power of two, so a bit mask drops the whole turns.
    position_T = (turns_T * _TABLE_POINTS).astype(np.int32)
    sound_T: Signal = table[position_T & (_TABLE_POINTS - 1)]
    return sound_T


def band(centre: float, width: float) -> Signal:
    """The spectrum (amplitude over F) of a resonance that noise excites; all frequencies in Hz."""
    return np.float32(1) / (1 + ((FREQUENCY_F - np.float32(centre)) / np.float32(width)) ** 2)


def noise(rng: Generator, spectrum_F: Signal) -> Signal:
    """Noise of a given amplitude spectrum, with root mean square 1."""
    import scipy.fft

    white_F = rng.standard_normal(2 * len(FREQUENCY_F), dtype=np.float32).view(np.complex64)
    coloured_T: Signal = scipy.fft.irfft(white_F * spectrum_F, n=NUM_SAMPLES)
    coloured_T /= np.sqrt(np.mean(coloured_T * coloured_T))
    return coloured_T


def strikes(
    times: Iterable[float], strengths: Iterable[float], *, hertz: tuple[float, ...], decay: float
) -> Signal:
    """Blows at `times` (s), each of which rings at the resonances `hertz` and dies away within `decay` seconds."""
    ring_time = np.arange(int(6 * decay * SAMPLE_RATE)) / SAMPLE_RATE
    ring = sum(np.sin(2 * np.pi * f * ring_time) for f in hertz) * np.exp(-ring_time / decay)
    ring = np.asarray(ring, np.float32)
    sound_T = np.zeros(NUM_SAMPLES + len(ring), np.float32)
    for time, strength in zip(times, strengths, strict=True):
        start = int(time * SAMPLE_RATE)
        if 0 <= start < NUM_SAMPLES:
            sound_T[start : start + len(ring)] += np.float32(strength) * ring
    return sound_T[:NUM_SAMPLES]


def beats(rng: Generator, period: float, *, jitter: float) -> NDArray[np.float64]:
    """Times, in seconds, of an event that recurs every `period` seconds, give or take the share `jitter` of it."""
    count = int(CLIP_SECONDS / period) + 2
    return period * (np.arange(count) - rng.uniform() + jitter * rng.standard_normal(count))
