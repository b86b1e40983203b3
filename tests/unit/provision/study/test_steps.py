"""What files of steps promise: the right ones are read, and each mistake is refused with its file, line and key."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.errors import OptionError
from provision.study import steps

from ..engine.any_input import ANY, TEXT

MINE = """\
about: Two steps
roles: [mrtrix3]
steps:
  - name: mask
    inputs: [dwi]
    outputs:
      mask: mask.nii.gz
    commands:
      - dwi2mask {in.dwi} {out.mask} -nthreads {threads}
  - name: mean
    about: The mean in the mask
    inputs: [dwi, mask]
    outputs:
      mean: mean.txt
    commands:
      - mrstats {in.dwi} -mask '{in.mask}' > {out.mean}
"""


@pytest.fixture
def read(tmp_path):
    """Read a file with this text."""

    def read(text):
        (tmp_path / "mine.yml").write_text(text, "utf-8")
        return steps.read([str(tmp_path / "mine.yml")])

    return read


def changed(before, after):
    assert MINE.count(before) == 1
    return MINE.replace(before, after)


def test_a_file_becomes_steps_in_its_order(read):
    mask, mean = read(MINE)
    assert (mask.name, mask.level, mask.data, mask.roles) == ("mask", "participant", "any", ("mrtrix3",))
    assert (mean.inputs, mean.outputs) == (("dwi", "mask"), {"mean": "mean.txt"})
    assert mean.commands == (("mrstats", "{in.dwi}", "-mask", "{in.mask}", ">", "{out.mean}"),)


def test_built_in_files_go_together_in_their_order():
    found = [step.name for step in steps.read(["denoise", "preproc", "bias", "csd", "tracks"])]
    assert found[:3] == ["denoise", "preproc", "bias"] and found[-1] == "tckmap"


@pytest.mark.parametrize("names", [["denoise"], ["preproc"], ["bias"], ["csd"], ["csd", "tracks"]], ids=" ".join)
def test_each_built_in_file_can_be_used_without_those_that_are_not_needed(names):
    assert all(step.roles and step.definition for step in steps.read(names))


def test_there_is_no_built_in_file_that_is_not_tried_here():
    assert steps.built_in() == ["bias", "csd", "denoise", "preproc", "tracks"]


@pytest.mark.parametrize(
    ("before", "after", "line", "values"),
    [
        ("roles: [", "rolls: [", 2, ["'rolls'", "'roles'?"]),
        ("    inputs: [dwi]", "    input: [dwi]", 5, ["'input'", "'inputs'?"]),
        ("  - name: mask\n", "  - about: mask\n", 4, ["'name'"]),
        ("  - name: mask\n", "  - mask\n  - name: mask\n", 4, ["step"]),
        ("    inputs: [dwi]\n", "", 4, ["'inputs'"]),
        ("name: mean", "name: My Mean", 10, ["'name'", "'My Mean'"]),
        ("name: mean", "name: [mean]", 10, ["'name'"]),
        ("roles: [mrtrix3]", "roles: mrtrix3", 2, ["'roles'"]),
        ("inputs: [dwi]", "inputs: dwi", 5, ["'inputs'"]),
        ("inputs: [dwi]", "inputs:", 5, ["'inputs'"]),
        ("inputs: [dwi]", "inputs: [[dwi]]", 5, ["'inputs'"]),
        ("inputs: [dwi]", "inputs: [dwi]\n    level: session", 6, ["'level'", "'session'", "participant", "group"]),
        ("inputs: [dwi]", "inputs: [dwi]\n    data: [any]", 6, ["'data'", "multi-shell", "single-shell"]),
        ("      mean: mean.txt\n", "      - mean.txt\n", 13, ["'outputs'"]),
        ("      mean: mean.txt\n", "      {}\n", 13, ["'outputs'"]),
        ("mean: mean.txt", "Mean: mean.txt", 14, ["'Mean'"]),
        ("mean: mean.txt", "1: mean.txt", 14, ["'1'"]),
        ("mean: mean.txt", "? [a]\n      : mean.txt", 14, []),
        ("mean: mean.txt", "mean: mean.txt\n      same: mean.txt", 13, ["'outputs'"]),
        ("mean: mean.txt", "mean: ../mean.txt", 14, ["'mean'", "'../mean.txt'"]),
        ("mean: mean.txt", "mean: a/mean.txt", 14, ["'mean'", "'a/mean.txt'"]),
        ("mean: mean.txt", "mean: .mean.txt", 14, ["'mean'", "'.mean.txt'"]),
        ("mean: mean.txt", 'mean: "mean.txt\\n"', 14, ["'mean'"]),
        ("'{in.mask}'", "'{in.mask}", 16, ["quote"]),
        ("{in.mask}", "{in.msk}", 16, ["{in.msk}", "'in.mask'?"]),
        ("{in.mask}", "{mask}", 16, ["{mask}"]),
        ("{threads}", "{cores}", 9, ["{cores}"]),
        ("{out.mean}", "mean.txt", 15, ["{out.mean}"]),
        ("      - mrstats", "      - ''\n      - mrstats", 16, ["command"]),
        ("    commands:\n      - mrstats", "    commands: []\n    level: mrstats", 15, ["'commands'"]),
        ("inputs: [dwi, mask]", "inputs: [dwi, mask, fod_wm]", 10, ["'mean'", "'fod_wm'", "'csd'"]),
        ("inputs: [dwi, mask]", "inputs: [dwi, mask, msk]", 10, ["'mean'", "'msk'", "'mask'?"]),
        ("name: mean", "name: mask", 10, ["'mask'", "line 4"]),
        ("name: mean", "name: mask\n    data: single-shell", 10, ["'mask'", "line 4"]),
        ("mean: mean.txt", "mean: mask.nii.gz", 10, ["'mean'", "'mask'", "mask.nii.gz"]),
        ("mean: mean.txt", "mean: provenance.json", 14, ["'mean'", "provenance.json"]),
        ("mean: mean.txt\n    commands:\n", "mean: desc-x_dwi.json\n      dwi: desc-x_dwi.nii.gz\n    commands:\n"
         "      - cp {in.dwi} {out.dwi}\n", 14, ["'mean'", "desc-x_dwi.json"]),
        ("mean: mean.txt", "mean: desc-imported_dwi.json", 10, ["'mean'", "desc-imported_dwi.json"]),
        ("mask: mask.nii.gz", "mask: mask.nii.gz\n      mask: b.nii", 8, ["'mask'"]),
        ("roles: [mrtrix3]", "roles: &r [mrtrix3]", 2, ["anchors"]),
        ("roles: [mrtrix3]", "roles: !!python/tuple [mrtrix3]", 2, ["tags"]),
        ("roles: [mrtrix3]", "roles: [mrtrix3", 3, ["YAML"]),
        ("roles: [mrtrix3]", "roles:\t[mrtrix3]", 2, ["YAML"]),
        ("roles: [mrtrix3]", "---", 2, ["YAML"]),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_file_line_and_key(read, tmp_path, before, after, line, values):
    with pytest.raises(OptionError) as raised:
        read(changed(before, after))
    assert raised.value.code == "bad-steps"
    assert str(raised.value).startswith(f"{tmp_path}/mine.yml, line {line}: ")
    assert [value for value in values if value not in str(raised.value)] == []


@pytest.mark.parametrize("word", ["--all={in.mask}", "{in.mask}{in.mask}"])
def test_a_step_of_the_group_cannot_have_its_files_within_a_word(read, word):
    text = changed("about: The mean in the mask", "level: group").replace("'{in.mask}'", word)
    with pytest.raises(OptionError, match=r"mine\.yml, line 16: ") as raised:
        read(text)
    assert raised.value.code == "bad-steps" and "{in.mask}" in str(raised.value)
    assert read(text.replace(word, "{in.mask}"))[1].level == "group"


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "steps", "5", "steps: []", "steps: {}", "about: nothing"])
def test_a_file_without_steps_is_refused(read, text):
    with pytest.raises(OptionError, match=r"mine\.yml, line 1: ") as raised:
        read(text)
    assert raised.value.code == "bad-steps"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"about: \x00", 1000 * b"[" + 1000 * b"]"])
def test_a_file_that_is_no_text_or_too_deep_is_refused(tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    with pytest.raises(OptionError, match=r"mine\.yaml") as raised:
        steps.read([str(tmp_path / "mine.yaml")])
    assert raised.value.code == "bad-steps"


def test_aliases_that_would_fill_the_memory_are_refused(read):
    lists = [f"a{number}: &a{number} [{', '.join(9 * [f'*a{number - 1}'])}]" for number in range(1, 30)]
    with pytest.raises(OptionError, match="line 1: anchors"):
        read("\n".join(["a0: &a0 [x]", *lists]))


def test_a_list_that_contains_itself_is_refused(read):
    with pytest.raises(OptionError) as raised:
        read("steps: &a [*a]")
    assert raised.value.code == "bad-steps"


def test_nothing_in_a_file_is_executed(read, tmp_path):
    with pytest.raises(OptionError, match=r"line 2: .*tags"):
        read(f"about: x\nsteps: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]")
    assert not (tmp_path / "made").exists()


def test_words_that_yaml_takes_for_something_else_are_texts(read):
    first, _ = read(MINE.replace("mask:", "no:").replace(".mask}", ".no}").replace("[dwi, mask]", "[dwi, no]"))
    assert first.outputs == {"no": "mask.nii.gz"}


@pytest.mark.parametrize("word", ["{print $1}", "{}", "{in.mask", "in.mask}", "{ in.mask }"])
def test_braces_that_are_no_placeholder_are_left_alone(read, word):
    assert read(changed("{in.mask}", word))[1].commands[0][3] == word


def test_steps_for_one_shell_and_for_several_may_share_a_name_and_files(read):
    one = MINE[MINE.index("  - name: mean") :].replace("name: mean", "name: mean\n    data: single-shell")
    several = one.replace("single-shell", "multi-shell")
    found = read(MINE[: MINE.index("  - name: mean")] + one + several)
    assert [step.suits((0, 1000)) for step in found] == [True, True, False]
    assert [step.suits((0, 1000, 2000)) for step in found] == [True, False, True]


def test_an_image_cannot_be_replaced_after_it_was_used(read, tmp_path):
    with pytest.raises(OptionError) as raised:
        read(MINE.replace("mean: mean.txt", "dwi: mean.txt").replace("{out.mean}", "{out.dwi}").replace(
            "mask]", "mask, bvec]"))  # fmt: skip
    assert raised.value.code == "bad-steps" and "'mask'" in raised.value.message
    with pytest.raises(OptionError, match="'denoise'") as raised:
        steps.read(["csd", "denoise"])
    assert raised.value.hint and "denoise.yml, line 4" in raised.value.message


@pytest.mark.parametrize("dwi_first", [True, False])
def test_a_step_cannot_write_what_describes_the_images_of_another(read, dwi_first):
    image = "  - {name: a, inputs: [bval], outputs: {dwi: x_dwi.nii.gz}, commands: ['make {out.dwi}']}"
    text = "  - {name: b, inputs: [bval], outputs: {about: x_dwi.json}, commands: ['make {out.about}']}"
    with pytest.raises(OptionError, match=r"line 3: .*x_dwi\.json") as raised:
        read("\n".join(["steps:", *([image, text] if dwi_first else [text, image])]))
    assert raised.value.code == "bad-steps"


def test_a_step_of_the_group_may_call_its_output_as_it_likes(read):
    text = "{name: a, level: group, inputs: [], outputs: {a: provenance.json}, commands: ['a {out.a}']}"
    (step,) = read(f"steps:\n- {text}")
    assert step.outputs == {"a": "provenance.json"}


def test_a_file_cannot_be_given_twice():
    with pytest.raises(OptionError, match="'denoise'"):
        steps.read(["denoise", "denoise"])


@pytest.mark.parametrize(
    ("names", "code", "value"),
    [
        (["cds"], "no-steps", "'csd'?"),
        (["./csd.yml"], "no-file", "csd.yml"),
        (["mine.yaml"], "no-file", "mine.yaml"),
        ([], "bad-value", "csd"),
        (["tracks"], "bad-steps", "'csd'"),
    ],
)
def test_steps_that_are_not_there_are_named_with_those_that_are(tmp_path, monkeypatch, names, code, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError) as raised:
        steps.read(names)
    assert raised.value.code == code and value in str(raised.value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{in.dwi} {out.mask}", "-x {in.dwi} {out.mask}"),
        ("{in.dwi} {out.mask}", "'{in.dwi} {out.mask}'"),
        ("mask: mask.nii.gz", "mask: desc-brain_mask.nii.gz"),
        ("inputs: [dwi]", "inputs: [dwi, bvec]"),
    ],
)
def test_the_definition_changes_with_what_is_computed(read, before, after):
    assert read(changed(before, after))[0].definition != read(MINE)[0].definition


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("inputs: [dwi]\n", "inputs: [dwi]\n    about: The brain\n"),
        ("roles: [mrtrix3]", "roles: [mrtrix3, fsl]"),
        ("{in.dwi} {out.mask}", "  '{in.dwi}'   {out.mask}"),
        ("inputs: [dwi]", "inputs: # of the series\n      - dwi"),
        ("about: Two steps\n", ""),
    ],
)
def test_the_definition_stays_when_only_words_about_it_change(read, before, after):
    assert [step.definition for step in read(changed(before, after))] == [step.definition for step in read(MINE)]


KEYS = st.sampled_from(["name", "inputs", "outputs", "commands", "level", "data", "about"]) | TEXT
VALUES = st.sampled_from(["mask", ["dwi"], {"mask": "mask.nii"}, ["a {in.dwi} {out.mask}"], "group", "any"]) | ANY
FILES = st.fixed_dictionaries(
    {"steps": st.lists(st.dictionaries(KEYS, VALUES, max_size=8), max_size=3) | ANY}, optional={"roles": VALUES}
)
bounded = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@bounded
@given(FILES.map(json.dumps) | st.text(max_size=60))
def test_any_file_is_read_or_refused(read, text):
    try:
        assert read(text.encode(errors="replace").decode())
    except OptionError as error:
        assert error.code == "bad-steps" and "mine.yml" in error.message


@bounded
@given(st.integers(0, MINE.count("\n") - 1), st.text(st.sampled_from("-:{}[]'\"!&*#|>% \tab.?"), max_size=12))
def test_any_line_of_a_file_may_be_wrong(read, number, line):
    lines = MINE.splitlines()
    lines[number] = line
    try:
        read("\n".join(lines))
    except OptionError as error:
        assert error.code == "bad-steps" and "mine.yml" in error.message
