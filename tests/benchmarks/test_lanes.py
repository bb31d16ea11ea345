"""The arithmetic of the rows, on numbers that can be checked by hand; nothing is measured."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data.corpus import read_corpus
from benchmarks.footprint import sum_pss
from benchmarks.lanes import SCRIPT, epoch_row, first_batch_row, memory_row, search_row, two_row
from benchmarks.sounds import SMALLEST, rounded, write_sounds

PLAIN = {
    "seconds": 90.0,
    "epochs": 9,
    "worker_s": [9.0, 9.0, 9.0],
    "first_batch_s": [10.0, 12.0, 11.0],
    "training_s": [1.0, 2.0, 3.0],
}
OURS = {
    "seconds": 30.0,
    "epochs": 9,
    "start_s": 8.0,
    "first_batch_s": [8.0, 0.1, 0.2],
    "lane": ["a", "a", "a"],
    "training_s": [1.0, 1.0, 1.0],
}


def test_the_first_trial_of_a_lane_which_waits_for_it_to_start_does_not_count() -> None:
    row = first_batch_row([PLAIN], [OURS])
    assert (row["plain"], row["ours"], row["ratio"]) == (11.0, 0.15, 73.33)
    assert (row["ours_longest"], row["plain_shortest"], row["trials"]) == (0.2, 10.0, [3, 2])


def test_two_searches_are_compared_by_their_whole_time_and_only_over_the_same_epochs() -> None:
    row = search_row([PLAIN, PLAIN], [OURS, {**OURS, "seconds": 60.0}])
    assert (row["plain"], row["ours"], row["ratio"]) == (90.0, 45.0, 2.0)
    assert (row["plain_training"], row["ours_training"]) == (6.0, 3.0)
    with pytest.raises(ValueError, match="different numbers of epochs"):
        search_row([PLAIN], [{**OURS, "epochs": 8}])


def test_memory_per_clip_comes_from_the_difference_of_two_sizes_and_a_second_lane_may_add_only_itself() -> None:
    few = {
        "clips": 100,
        "plain_mb_per_clip": 0.9,
        "memory": [{"store_pages_mb": 40, "workers_mb": 500}, {"store_pages_mb": 40, "workers_mb": 1000}],
    }
    many = {
        "clips": 1100,
        "memory": [{"store_pages_mb": 440, "workers_mb": 510}, {"store_pages_mb": 440, "workers_mb": 1020}],
    }
    row = memory_row(few, many)
    assert (row["ours"], row["ours_one_lane"]) == (0.42, 0.41)
    assert (row["plain"], row["ratio"], row["store_mb_per_clip"]) == (1.8, 4.29, 0.4)
    assert row["second_lane_adds_mb"] == [500, 510]


def test_two_lanes_that_take_no_longer_than_one_are_twice_as_fast() -> None:
    row = two_row({"two": {"one_s": [2.0, 2.0, 2.0], "two_s": [2.0, 2.5, 4.0]}})
    assert (row["ratio"], row["single"]) == (1.6, [2.0, 1.6, 1.0])
    assert (row["plain"], row["ours"]) == (0.5, 0.8)


def test_epochs_are_compared_by_their_medians() -> None:
    row = epoch_row({"epoch": {"clips": 64, "shared_s": [0.1, 0.2, 0.9], "stream_s": [1.0, 1.0, 9.0]}})
    assert (row["ours"], row["plain"], row["ratio"]) == (0.2, 1.0, 5.0)


def test_the_script_of_the_search_prunes_two_thirds_of_the_trials_at_its_rung() -> None:
    assert len(SCRIPT) == 12
    assert (SCRIPT.count(6), SCRIPT.count(2)) == (4, 8)


def test_quick_sounds_are_recordings_of_every_machine_that_differ(tmp_path: Path) -> None:
    corpus = read_corpus(write_sounds(tmp_path / "machines", train=SMALLEST, test=rounded(5)))
    assert not corpus.problems
    by_split = [clip.split for clip in corpus.clips]
    assert (by_split.count("train"), by_split.count("test")) == (SMALLEST, SMALLEST)
    assert len({clip.machine for clip in corpus.clips}) == 12
    paths = [corpus.root / clip.clip_id for clip in corpus.clips]
    sounds = [soundfile.read(path, dtype="int16") for path in paths]
    assert all(rate == SAMPLE_RATE and len(pcm_T) == NUM_SAMPLES for pcm_T, rate in sounds)
    assert len({pcm_T.tobytes() for pcm_T, _ in sounds}) == len(sounds)
    assert max(np.abs(pcm_T.astype(int)).max() for pcm_T, _ in sounds) < 32767  # none is clipped
    with pytest.raises(ValueError, match="multiples of 24"):
        write_sounds(tmp_path / "other", train=25, test=24)


def test_the_object_store_is_left_out_of_the_memory_of_a_process() -> None:
    store = "7f0-7f1 rw-s 00000000 00:19 2   /dev/shm/plasma8xKq (deleted)\nPss:  5000 kB\nVmFlags: rd wr sh\n"
    heap = "7f2-7f3 rw-p 00000000 00:00 0   [heap]\nPss:   100 kB\nPss_Anon:  100 kB\n"
    library = "7f4-7f5 r-xp 00000000 08:01 77   /usr/lib/libc.so.6\nPss:    10 kB\n"
    assert sum_pss(heap + store + library) == pytest.approx(110 * 1.024)
