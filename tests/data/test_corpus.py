"""A dataset folder becomes clips; what does not fit is named, what has nothing to do with it is left alone."""

import os
from collections import Counter
from pathlib import Path

import pytest

from asd_ray.clip import Clip, Machine
from asd_ray.data.corpus import Corpus, hold_out, read_corpus
from asd_ray.errors import InputError


def plant(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


TWO_FANS = ("fan/train/normal_id_00_00000000.wav", "fan/train/normal_id_02_00000000.wav")


def causes(corpus: Corpus) -> dict[str, str]:
    return {problem.path: problem.cause for problem in corpus.problems}


def test_clips_come_sorted_with_split_and_label_from_their_paths(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, "fan/test/anomaly_id_00_1.flac", "fan/test/normal_id_02_1.WAV")
    corpus = read_corpus(tmp_path)
    assert [(clip.clip_id, clip.split, clip.is_anomaly) for clip in corpus.clips] == [
        ("fan/test/anomaly_id_00_1.flac", "test", True),
        ("fan/test/normal_id_02_1.WAV", "test", False),
        ("fan/train/normal_id_00_00000000.wav", "train", False),
        ("fan/train/normal_id_02_00000000.wav", "train", False),
    ]
    assert corpus.problems == ()


def test_what_is_not_sound_or_lies_elsewhere_is_ignored(tmp_path: Path) -> None:
    plant(
        tmp_path,
        *TWO_FANS,
        "README.md",
        "SOURCES.csv",
        "fan/notes.txt",
        "fan/train/._normal_id_00_00000000.wav",
        "fan/.trash/train/x.wav",
        "__MACOSX/train/x.wav",
        "tables/results.csv",
    )
    corpus = read_corpus(tmp_path)
    assert len(corpus.clips) == 2
    assert corpus.problems == ()


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("fan/train/normal_id_00_1.mp3", ".mp3 files are not read"),
        ("fan/train/normal_id_00_00000000.flac", "another file of that name"),
        ("fan/train/anomaly_id_00_1.wav", "an anomaly in train/"),
        ("fan/train/fan_1.wav", "name"),
        ("fan/test/id_00_1.wav", "name"),
        ("fan/train/more/normal_id_00_1.wav", "lies 4 deep"),
        ("fan/normal_id_00_1.wav", "lies 2 deep"),
        ("normal_id_00_1.wav", "lies 1 deep"),
        ("fan/source_train/normal_id_00_1.wav", "folder 'source_train'"),
        ("fan/Test/normal_id_00_1.wav", "folder 'Test'"),
        ("fan/train/normal_id_00_id_02_1.wav", "its name holds several machine ids (id_00, id_02)"),
        ("fan/train/normal_id_00_1.wave", ".wave files are not read"),
        ("fan/test/normal_id_07_1.wav", "no training clips of fan id_07"),
        ("pump/test/anomaly_id_00_1.wav", "no training clips of pump id_00"),
    ],
)
def test_a_sound_file_that_cannot_be_used_is_a_problem_with_a_cause_and_a_mend(
    tmp_path: Path, path: str, cause: str
) -> None:
    corpus = read_corpus(plant(tmp_path, *TWO_FANS, path))
    # Of two files that differ by their suffix only, the one that sorts first is kept.
    problem = "fan/train/normal_id_00_00000000.wav" if "another" in cause else path
    assert list(causes(corpus)) == [problem]
    assert cause in causes(corpus)[problem]
    assert all(one.mend for one in corpus.problems)
    assert len(corpus.clips) == 2


PASSED_OVER = (
    (["pump/Train/normal_id_00_1.wav", "pump/Test/normal_id_00_1.wav"], "pump", "rename pump/Test to pump/test"),
    (["dev_pump/pump/train/normal_id_00_1.wav"], "dev_pump", "move dev_pump/pump one folder up"),
    (
        ["pump/normal_id_00_1.wav", "pump/2020/a.mp3"],
        "pump",
        "put recordings in pump/train and pump/test, or move",
    ),
    (["my pump/id_00/normal/1.wav"], "my pump", "put recordings in my pump/train and my pump/test, or move"),
)


@pytest.mark.parametrize(("paths", "folder", "mend"), PASSED_OVER)
def test_a_folder_with_sound_files_that_is_passed_over_is_a_problem(
    tmp_path: Path, paths: list[str], folder: str, mend: str
) -> None:
    corpus = read_corpus(plant(tmp_path, *TWO_FANS, *paths))
    (problem,) = corpus.problems
    assert problem.path == folder
    assert problem.cause.startswith(f"{len(paths)} sound file")
    assert problem.mend.startswith(mend)
    assert len(corpus.clips) == 2


def test_object_storage_lists_the_same_problems_as_a_disk(tmp_path: Path, bucket: Path) -> None:
    paths = [*TWO_FANS, *(path for paths, *_ in PASSED_OVER[1:] for path in paths), "fan/source_train/x.wav"]
    paths += ["top.wav", "fan/deep/train/x.wav"]
    plant(tmp_path, *paths)
    for path in paths:
        (bucket / path).write_bytes(b"-")
    on_disk, in_store = read_corpus(tmp_path), read_corpus(bucket)
    assert len(on_disk.problems) == 6
    assert in_store.problems == on_disk.problems
    assert in_store.clips == on_disk.clips


def test_control_characters_in_a_name_are_a_problem_and_are_never_printed(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, "fan/train/normal_id_00_\r1.wav", "fan/train/normal_id_00_\x1b[2J.wav", "o\n/x.wav")
    corpus = read_corpus(tmp_path)
    assert [problem.path for problem in corpus.problems] == [
        "fan/train/normal_id_00_\\x0d1.wav",
        "fan/train/normal_id_00_\\x1b[2J.wav",
        "o\\x0a",
    ]
    assert not any(set(str(problem)) & set("\r\n\x1b") for problem in corpus.problems)


def test_a_name_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/fan/train/normal_id_00_\xff.wav")).touch()
    assert causes(read_corpus(tmp_path)) == {"fan/train/normal_id_00_\\udcff.wav": "its name is not UTF-8"}


def test_a_folder_named_like_a_recording_is_left_to_the_reader_to_refuse(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, "fan/train/normal_id_00_9.wav/inside.wav")
    assert "fan/train/normal_id_00_9.wav" in [clip.clip_id for clip in read_corpus(tmp_path).clips]


def test_linked_folders_are_followed_but_not_round_in_circles(tmp_path: Path) -> None:
    plant(tmp_path / "elsewhere", *TWO_FANS)
    root = tmp_path / "root"
    root.mkdir()
    (root / "fan").symlink_to(tmp_path / "elsewhere" / "fan")
    (tmp_path / "elsewhere/fan/train/again").symlink_to(tmp_path / "elsewhere" / "fan")
    corpus = read_corpus(root)
    assert len(corpus.clips) == 2
    assert corpus.problems == ()


def test_a_machine_type_without_test_clips_is_fine(tmp_path: Path) -> None:
    assert len(read_corpus(plant(tmp_path, *TWO_FANS)).clips) == 2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no clips; put recordings in"),
        (
            ["fan/train/fan_1.wav"],
            "no clips; 1 sound files do not fit the layout, such as fan/train/fan_1.wav: name",
        ),
        (["train/normal_id_00_1.wav"], "this is the folder of one machine type; pass the folder above it"),
        ([TWO_FANS[0]], "at least 2 machine ids are needed, found only fan id_00"),
        (["fan/test/normal_id_00_1.wav"], "at least 2 machine ids are needed, found none"),
    ],
)
def test_a_folder_that_is_no_corpus_is_refused(tmp_path: Path, paths: list[str], message: str) -> None:
    plant(tmp_path, *paths)
    with pytest.raises(InputError) as refused:
        read_corpus(tmp_path)
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}: ")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_corpus(tmp_path / "gone")


EVAL = ("fan/eval/id_00_00000000.wav", "fan/eval/id_00_00000001.wav", "fan/eval/id_02_00000000.wav")


def eval_labels(root: Path) -> list[bool | None]:
    return [clip.is_anomaly for clip in read_corpus(root).clips if clip.split == "eval"]


def test_evaluation_labels_come_from_the_published_list(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, *EVAL)
    assert eval_labels(tmp_path) == [None, None, None]
    (tmp_path / "eval_data_list.csv").write_text(
        "pump\nid_02_00000000.wav,anomaly_id_02_00000031.wav,1\n"
        "fan\nid_00_00000000.wav,anomaly_id_00_00000017.wav,1\nid_00_00000001.wav,normal_id_00_00000002.wav,0\n"
    )
    assert eval_labels(tmp_path) == [True, False, None]


def test_the_list_of_labels_is_read_without_its_third_column_and_with_other_line_ends(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, *EVAL)
    text = (
        "\ufeffFan,\r\n\r\nid_00_00000000.wav, anomaly_id_00_17.wav\r\nid_02_00000000.wav,normal_id_02_1.wav\r\n"
    )
    (tmp_path / "eval_data_list.csv").write_bytes(text.encode())
    assert eval_labels(tmp_path) == [True, None, False]


def test_a_list_of_labels_that_is_no_text_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, *EVAL)
    (tmp_path / "eval_data_list.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match=r"eval_data_list\.csv: cannot be read as a list of labels"):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["fan", "id_00_00000000.wav;anomaly_id_00_1.wav;1"],
            r":2: 'id_00_00000000\.wav;.* has no label; .* a comma",
        ),
        (["fan", "id_00_00000000.wav"], r":2: 'id_00_00000000\.wav' has no label"),
        (["fan", "id_00_00000000.wav,broken"], r":2: 'broken' is not one label"),
        (["fan", "id_00_00000000.wav,anomaly_id_00_1.wav,0"], r":2: 'anomaly_id_00_1\.wav,0' is not one label"),
        (
            ["fan", "id_00_00000000.wav,normal", "", "id_02_00000000.wav,normal", "id_00_00000000.wav,anomaly"],
            r":5: labels id_00_00000000 of fan otherwise than line 2",
        ),
        (["fann", "id_00_00000000.wav,normal"], r": labels none of the clips in eval/, such as fan/eval/id_00_0"),
        (["file,label", "id_00_00000000.wav,normal"], r": labels none of the clips in eval/"),
        (
            ["fan", "section_00_0000.wav,normal"],
            r":2: section_00_0000 and the other fan clips of the list are not in",
        ),
        ([], r": labels none of the clips in eval/"),
    ],
)
def test_a_list_that_labels_nothing_or_contradicts_itself_is_refused_with_the_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    plant(tmp_path, *TWO_FANS, *EVAL)
    (tmp_path / "eval_data_list.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"eval_data_list\.csv" + message):
        read_corpus(tmp_path)


def test_a_list_that_contradicts_the_name_of_a_clip_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, "fan/eval/anomaly_id_00_1.wav")
    (tmp_path / "eval_data_list.csv").write_text("fan\nanomaly_id_00_1.wav,0\n")
    with pytest.raises(InputError, match=r":2: contradicts the name of fan/eval/anomaly_id_00_1\.wav"):
        read_corpus(tmp_path)


def test_a_list_may_have_headings_and_more_clips_and_machine_types_than_there_are(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, *EVAL)
    (tmp_path / "eval_data_list.csv").write_text(
        "pump\nid_00_00000000.wav,anomaly\nid_00_00000000.wav,normal\nfan\nfile,label\n"
        "id_00_00000000.wav,normal,0\nid_00_00000000.wav,normal,0\nid_04_00000000.wav,normal\n"
    )
    assert eval_labels(tmp_path) == [False, None, None]
    (tmp_path / "other").mkdir()
    plant(tmp_path / "other", *TWO_FANS)  # no clip there needs a label
    (tmp_path / "other/eval_data_list.csv").write_text("fan\nid_00_00000000.wav,normal\n")
    assert len(read_corpus(tmp_path / "other").clips) == 2


def test_evaluation_clips_may_carry_their_label_in_their_name(tmp_path: Path) -> None:
    plant(tmp_path, *TWO_FANS, "fan/eval/anomaly_id_00_1.wav", "fan/eval/normal_id_00_2.wav")
    assert eval_labels(tmp_path) == [True, False]


def clips_of(machine_id: str, count: int) -> list[Clip]:
    return [
        Clip(
            clip_id=f"fan/train/normal_{machine_id}_{number:08d}.wav",
            machine_type="fan",
            machine_id=machine_id,
            split="train",
            is_anomaly=False,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("count", "held"), [(3, 0), (4, 1), (29, 1), (40, 2), (1000, 50)])
def test_a_twentieth_of_each_machine_is_held_out_and_at_least_one_clip_of_four(count: int, held: int) -> None:
    clips = hold_out(clips_of("id_00", count) + clips_of("id_02", 4), fraction=0.05)
    machine = Machine("fan", "id_00")
    assert Counter(clip.split for clip in clips if clip.machine == machine)["valid"] == held
    assert len(clips) == count + 4


def test_holding_out_keeps_order_and_ids_and_does_not_depend_on_other_clips() -> None:
    alone = hold_out(clips_of("id_00", 40), fraction=0.1)
    with_others = hold_out(clips_of("id_02", 9) + list(reversed(clips_of("id_00", 40))), fraction=0.1)
    held = {clip.clip_id for clip in alone if clip.split == "valid"}
    assert held == {clip.clip_id for clip in with_others if clip.split == "valid" and clip.machine_id == "id_00"}
    assert [clip.clip_id for clip in alone] == [clip.clip_id for clip in clips_of("id_00", 40)]


def test_nothing_is_held_out_at_fraction_zero_nor_from_other_splits() -> None:
    assert {clip.split for clip in hold_out(clips_of("id_00", 40), fraction=0)} == {"train"}
    tested = [
        Clip(clip_id=str(n), machine_type="fan", machine_id="id_00", split="test", is_anomaly=False)
        for n in range(9)
    ]
    assert {clip.split for clip in hold_out(tested, fraction=0.5)} == {"test"}


@pytest.mark.skipif("ASD_SAMPLE" not in os.environ, reason="ASD_SAMPLE: folder of the real sample corpus, not set")
def test_the_real_sample_has_its_published_counts() -> None:
    corpus = read_corpus(Path(os.environ["ASD_SAMPLE"]))
    assert Counter(clip.split for clip in corpus.clips) == {"train": 110, "test": 105}
    fans = [clip for clip in corpus.clips if clip.machine == Machine("fan", "id_00")]
    assert Counter((clip.split, clip.is_anomaly) for clip in fans) == {
        ("train", False): 48,
        ("test", False): 8,
        ("test", True): 20,
    }
    assert [problem.path for problem in corpus.problems] == ["edge_cases"]
