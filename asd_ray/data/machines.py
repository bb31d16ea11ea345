"""The sounds of the built-in corpus: six kinds of machine, healthy or with a fault, from simple physics.

A turning part is a pattern that repeats once per revolution; flow and friction are coloured noise; a blow
excites a resonance that dies away. A machine is a set of constants (speeds, counts, resonances), drawn once; each
of its clips has its own load, speed drift and noise. A fault has a severity between 0 (none) and 1: it adds a
sound of its own and strains the machine, which shifts the features that are typical of the healthy machine.
Axes: T samples of one clip, F bins of its real Fourier transform.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from asd_ray.clip import CLIP_SECONDS
from asd_ray.data.acoustics import (
    FREQUENCY_F,
    TIME_T,
    Signal,
    band,
    beats,
    harmonics,
    noise,
    once_per_turn,
    revolutions,
    strikes,
)


class SoundSource(Protocol):
    """One individual machine."""

    @classmethod
    def build(cls, rng: Generator) -> Self:
        """Draw the constants of a machine."""
        ...

    def run(self, rng: Generator, *, fault: float) -> Signal:
        """Ten seconds of its sound in arbitrary units; `fault` is the severity, 0 for a healthy machine."""
        ...


def _around(rng: Generator, value: float, spread: float) -> float:
    return float(value * np.exp(spread * rng.standard_normal()))


@dataclass(frozen=True)
class Fan:
    """Blade-pass tones over the noise of the air. Faults: imbalance, a blade that rubs on the housing."""

    rotation: float  # Hz
    blades: int
    air: tuple[float, float]  # Hz: centre and width of its noise
    tone: float

    @classmethod
    def build(cls, rng: Generator) -> Self:
        air = (_around(rng, 500, 0.12), _around(rng, 450, 0.1))
        return cls(_around(rng, 24, 0.04), int(rng.integers(5, 9)), air, _around(rng, 0.8, 0.1))

    def run(self, rng: Generator, *, fault: float) -> Signal:
        strain = 1 - 0.07 * fault  # a fault costs power: the motor turns slower, the air moves slower
        turns_T = revolutions(rng, _around(rng, self.rotation * strain, 0.01))
        orders = {1: 0.15} | {self.blades * n: _around(rng, self.tone / n, 0.3) for n in range(1, 9)}
        air_T = noise(rng, band(_around(rng, self.air[0] * strain**4, 0.08), self.air[1]) + 0.03)
        if fault and rng.uniform() < 0.5:  # imbalance: the shaft shakes once per turn, and the air with it
            orders |= {1: 0.15 + 1.2 * fault, 2: 0.5 * fault, 3: 0.2 * fault}
            air_T *= 1 + 0.6 * fault * harmonics(turns_T, {1: 1.0})
        elif fault:
            air_T += 1.2 * fault * once_per_turn(turns_T, share=0.15) * noise(rng, band(3500, 1200))
        return harmonics(turns_T, orders) + air_T


@dataclass(frozen=True)
class Pump:
    """Vane-pass tones and flow noise. Faults: a damaged bearing that knocks, cavitation."""

    rotation: float
    vanes: int
    flow: tuple[float, float]
    casing: float  # Hz: the resonance that knocks excite

    @classmethod
    def build(cls, rng: Generator) -> Self:
        flow = (_around(rng, 900, 0.1), _around(rng, 500, 0.1))
        return cls(_around(rng, 47, 0.03), int(rng.integers(4, 8)), flow, _around(rng, 2800, 0.075))

    def run(self, rng: Generator, *, fault: float) -> Signal:
        rotation = _around(rng, self.rotation * (1 - 0.05 * fault), 0.01)  # a damaged pump runs slower
        turns_T = revolutions(rng, rotation)
        orders = {1: 0.4, 2: 0.3} | {self.vanes * n: _around(rng, 0.8 / n, 0.3) for n in range(1, 7)}
        sound_T = harmonics(turns_T, orders) + noise(
            rng, band(_around(rng, self.flow[0], 0.08), self.flow[1]) + 0.02
        )
        if fault and rng.uniform() < 0.5:
            times = beats(rng, 1 / (3.57 * rotation), jitter=0.02)  # 3.57: balls passing a dent in the outer race
            strengths = 1.0 * fault * np.abs(1 + 0.3 * rng.standard_normal(len(times)))
            sound_T += strikes(times, strengths, hertz=(self.casing, 1.6 * self.casing), decay=0.003)
        elif fault:  # cavitation: collapsing bubbles are dense, irregular, bright
            bubbles = int(1500 * fault)
            times, strengths = rng.uniform(0, CLIP_SECONDS, bubbles), rng.exponential(0.7, bubbles)
            sound_T += strikes(times, strengths, hertz=(4300.0, 6100.0), decay=0.001)
            sound_T += 0.2 * fault * noise(rng, band(5000, 1500))
        return sound_T


@dataclass(frozen=True)
class Slider:
    """A slide that runs to and fro: rail noise and servo whine follow its speed, and it thumps at each end.

    Faults: a rail that grinds at one place, strokes that stall.
    """

    stroke: float  # s, one way
    rail: tuple[float, float]
    whine: float  # Hz at full speed
    stop: float  # Hz: resonance of the end stops

    @classmethod
    def build(cls, rng: Generator) -> Self:
        rail = (_around(rng, 1400, 0.1), _around(rng, 700, 0.1))
        return cls(_around(rng, 0.8, 0.05), rail, _around(rng, 620, 0.075), _around(rng, 330, 0.075))

    def run(self, rng: Generator, *, fault: float) -> Signal:
        strokes_T = TIME_T / _around(rng, self.stroke * (1 + 0.2 * fault), 0.02) + rng.uniform()
        speed_T = np.abs(np.sin(np.pi * strokes_T)).astype(np.float32)
        brightness = _around(rng, self.rail[0] * (1 + 0.4 * fault), 0.08)  # a rail without grease hisses
        rail_T = noise(rng, band(brightness, self.rail[1]) + 0.02)
        if fault and rng.uniform() < 0.5:
            stalls = rng.uniform(size=CLIP_SECONDS * 10) < 0.6 * fault  # one per stroke
            speed_T *= np.where(stalls[strokes_T.astype(int)], 1 - fault, 1).astype(np.float32)
        elif fault:
            place_T = once_per_turn(strokes_T - rng.uniform(), share=0.25)
            rail_T += 4.0 * fault * place_T * noise(rng, band(2600, 500))
        servo_turns_T = revolutions(rng, self.whine * (1 - 0.1 * fault), profile_T=speed_T.astype(np.float64))
        servo_T = harmonics(servo_turns_T, {1: 0.5, 2: 0.3, 3: 0.1})
        ends = (np.arange(1, strokes_T[-1]) - strokes_T[0]) / (strokes_T[-1] - strokes_T[0]) * CLIP_SECONDS
        thumps_T = strikes(ends, rng.uniform(1.5, 2.5, len(ends)), hertz=(self.stop, 2.7 * self.stop), decay=0.03)
        return speed_T * (rail_T + servo_T) + thumps_T


@dataclass(frozen=True)
class Valve:
    """A solenoid that opens and closes: two clicks per cycle. Faults: missing and late strokes, a leak."""

    period: float  # s
    opening: float  # share of the period during which it is open
    click: tuple[float, float, float]  # Hz

    @classmethod
    def build(cls, rng: Generator) -> Self:
        click = (_around(rng, 900, 0.075), _around(rng, 2300, 0.075), _around(rng, 4600, 0.06))
        return cls(_around(rng, 0.6, 0.075), rng.uniform(0.3, 0.6), click)

    def run(self, rng: Generator, *, fault: float) -> Signal:
        times = beats(rng, _around(rng, self.period, 0.02), jitter=0.01)
        strengths = rng.uniform(2.5, 3.5, len(times))
        sound_T = 0.12 * noise(rng, band(1200, 900))
        if fault and rng.uniform() < 0.5:
            sticks = rng.uniform(size=len(times)) < 0.25 + 0.5 * fault
            times = times + sticks * 0.25 * self.period * rng.uniform(size=len(times))
            strengths = strengths * np.where(sticks, 1 - fault, 1)
        elif fault:  # gas escapes through a seat that does not close
            sound_T += 0.6 * fault * noise(rng, band(5500, 1300))
        dirt = _around(rng, 1 - 0.06 * fault, 0.02)  # dirt on the seat: heavier, duller clicks
        click = tuple(dirt * hertz for hertz in self.click)
        opened_T = strikes(times, strengths, hertz=click, decay=0.012)
        closed_T = strikes(times + self.opening * self.period, 0.6 * strengths, hertz=click[:2], decay=0.02)
        return sound_T + opened_T + closed_T


@dataclass(frozen=True)
class ToyCar:
    """A small motor and gear under a changing throttle, on wheels. Faults: a bent shaft, a wheel that knocks."""

    motor: float  # Hz at full throttle
    teeth: int
    wheel: float  # turns of a wheel per turn of the motor
    road: tuple[float, float]

    @classmethod
    def build(cls, rng: Generator) -> Self:
        road = (_around(rng, 1800, 0.1), _around(rng, 1000, 0.1))
        return cls(_around(rng, 95, 0.035), int(rng.integers(8, 13)), _around(rng, 0.08, 0.05), road)

    def run(self, rng: Generator, *, fault: float) -> Signal:
        throttle = rng.uniform(0.85, 1.0, 6)
        profile_T = np.interp(TIME_T, np.linspace(0, CLIP_SECONDS, 6), throttle)
        turns_T = revolutions(rng, self.motor * (1 - 0.08 * fault), profile_T=profile_T)
        wheel_T = self.wheel * turns_T
        orders = {1: 0.6, 2: 0.3} | {self.teeth * n: _around(rng, 0.9 / n, 0.3) for n in range(1, 6)}
        road_T = noise(rng, band(_around(rng, self.road[0], 0.08), self.road[1]) + 0.05)
        if fault and rng.uniform() < 0.5:  # a bent shaft speeds up and slows down once per turn of the wheel
            sway_T = harmonics(wheel_T, {1: 1.0})
            turns_T = turns_T + 0.06 * fault * sway_T
            return (harmonics(turns_T, orders | {3: 0.5 * fault}) + road_T) * (1 + 0.5 * fault * sway_T)
        sound_T = harmonics(turns_T, orders) + road_T
        if fault:
            knock_times = TIME_T[1:][np.diff(np.floor(wheel_T)) > 0]
            sound_T += strikes(
                knock_times, np.full(len(knock_times), 3.5 * fault), hertz=(700.0, 1900.0), decay=0.01
            )
        return sound_T


@dataclass(frozen=True)
class ToyConveyor:
    """Motor hum, rollers, and the belt's seam, which comes round. Faults: a slipping belt, a squeal."""

    motor: float
    rollers: int
    seam: float  # s
    belt: tuple[float, float]

    @classmethod
    def build(cls, rng: Generator) -> Self:
        belt = (_around(rng, 700, 0.1), _around(rng, 600, 0.1))
        return cls(_around(rng, 33, 0.035), int(rng.integers(9, 16)), _around(rng, 2.2, 0.05), belt)

    def run(self, rng: Generator, *, fault: float) -> Signal:
        slips = bool(fault) and rng.uniform() < 0.5
        sway_T = np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * TIME_T + rng.uniform()))
        turns_T = revolutions(rng, self.motor * (1 - 0.05 * fault), profile_T=1 + 0.05 * fault * slips * sway_T)
        orders = {2: 0.7, 4: 0.4, 6: 0.2} | {self.rollers * n: _around(rng, 0.7 / n, 0.3) for n in range(1, 6)}
        belt_T = noise(rng, band(_around(rng, self.belt[0], 0.08), self.belt[1]) + 0.03)
        times = beats(rng, self.seam, jitter=0.01)
        seam_T = strikes(times, np.full(len(times), 3.0), hertz=(180.0, 410.0), decay=0.04)
        if slips:  # the belt rubs while it slips
            belt_T += 0.8 * fault * np.maximum(sway_T, 0).astype(np.float32) * noise(rng, band(1500, 500))
        elif fault:
            burst_T = once_per_turn(TIME_T / rng.uniform(0.7, 1.6) + rng.uniform(), share=0.2 + 0.3 * fault)
            squeal_T = harmonics(revolutions(rng, rng.uniform(2500, 3500), drift=0.006), {1: 1.0, 2: 0.4})
            belt_T += 0.6 * fault * burst_T * squeal_T
        return harmonics(turns_T, orders) + belt_T + seam_T


KINDS: dict[str, type[SoundSource]] = {
    "fan": Fan,
    "pump": Pump,
    "slider": Slider,
    "valve": Valve,
    "ToyCar": ToyCar,
    "ToyConveyor": ToyConveyor,
}


def record(machine: SoundSource, rng: Generator, *, fault: float) -> NDArray[np.int16]:
    """A machine as a microphone in a factory records it: among other machines, at a varying distance."""
    sound_T = machine.run(rng, fault=fault)
    # The ratio refers to the machine's usual loudness (1), so that the sound of a fault keeps its true loudness.
    snr, level = rng.uniform(-2, 10), rng.uniform(-6, 6)  # dB
    hall_T = noise(rng, (FREQUENCY_F + np.float32(60)) ** np.float32(-rng.uniform(0.6, 1.0)))
    distant = {int(rng.integers(2, 5)) * n: 0.4 / n for n in range(1, 6)}
    hall_T += harmonics(revolutions(rng, rng.uniform(15, 60)), distant)
    mixed_T = sound_T + np.float32(10 ** (-snr / 20)) * hall_T
    return np.clip(mixed_T * 2000 * 10 ** (level / 20), -32768, 32767).astype(np.int16)
