"""An image is built anew exactly when something in it changes; a stale one would be tested in place of the sources."""

import difflib
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.cluster.settings import REPOSITORY
from tests.images.inputs import EXAMPLES, IMAGES, SOURCES, Image, example_tag, locked, tag

BY_NAME = {image.name: image for image in IMAGES}
LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    own = [path for image in IMAGES for path in (image.dockerfile, image.lock) if path]
    for path in ["pyproject.toml", "uv.lock", ".dockerignore", "README.md", "LICENSE", *own]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / path, tmp_path / path)
    for folder in SOURCES:
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def tags(clone: Path, base: str = "base") -> dict[str, str]:
    return {image.name: tag(image, base, clone) for image in IMAGES}


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_equal_inputs_give_equal_tags(clone: Path) -> None:
    (clone / SOURCES[0] / "__pycache__").mkdir()
    (clone / SOURCES[0] / "__pycache__" / "x.pyc").touch()
    append(clone / "pyproject.toml", "\n[tool.ruff.lint.mccabe]\nmax-complexity = 7\n")
    assert tags(clone) == {image.name: tag(image, "base") for image in IMAGES}


@pytest.mark.parametrize("folder", SOURCES)
def test_each_source_is_in_every_image(clone: Path, folder: str) -> None:
    before = tags(clone)
    append(clone / folder / "__init__.py", "# changed\n")
    after = tags(clone)
    assert all(after[name] != before[name] for name in before)


def test_a_renamed_source_changes_the_tag(clone: Path) -> None:
    module = clone / SOURCES[0] / "one.py"
    module.touch()
    before = tags(clone)
    module.rename(module.with_name("two.py"))
    assert tags(clone) != before


def test_the_base_is_part_of_the_tag(clone: Path) -> None:
    assert set(tags(clone, "a").values()).isdisjoint(tags(clone, "b").values())


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_dockerfile_changes_its_own_image_only(clone: Path, image: Image) -> None:
    before = tags(clone)
    append(clone / image.dockerfile, "# changed\n")
    after = tags(clone)
    assert {name for name in before if before[name] != after[name]} == {image.name}


def test_a_dependency_changes_only_the_images_that_carry_it(clone: Path) -> None:
    before = tags(clone)
    lock = clone / "uv.lock"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub(r'(name = "kopf"\nversion = ")[^"]+', r"\g<1>999", text, count=1), encoding="utf-8")
    after = tags(clone)
    assert {name for name in before if before[name] != after[name]} == {"operator"}


def test_a_lock_of_its_own_changes_only_the_image_that_has_it(clone: Path) -> None:
    before = tags(clone)
    append(clone / "operator/feast.requirements.txt", "another==1\n")
    after = tags(clone)
    assert {name for name in before if before[name] != after[name]} == {"feast"}


def test_a_lock_of_its_own_has_all_that_is_asked_for() -> None:
    """`make feast-lock` was run after the last change of the .in file."""
    folder = REPOSITORY / "operator"
    asked = [
        Requirement(line.partition("#")[0])
        for line in (folder / "feast.requirements.in").read_text().splitlines()
        if line.partition("#")[0].strip()
    ]
    pinned = re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (folder / "feast.requirements.txt").read_text(), re.MULTILINE)
    for requirement in asked:
        versions = [version for name, version in pinned if name == requirement.name]
        assert versions, requirement.name
        assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_the_closure_holds_transitive_dependencies_with_hashes_and_no_foreign_ones() -> None:
    names = {name: hashes for name, _, hashes in locked(LOCK, "server")}
    assert {"onnxruntime", "numpy", "flatbuffers"} <= names.keys()
    assert names.keys().isdisjoint({"kopf", "scikit-learn", "pytest"})
    assert all(hashes for hashes in names.values())


def test_the_closure_follows_extras_of_dependencies() -> None:
    lock = {
        "package": [
            {"name": "modelwright", "optional-dependencies": {"x": [{"name": "a", "extra": ["fast"]}]}},
            {
                "name": "a",
                "version": "1",
                "optional-dependencies": {"fast": [{"name": "b"}], "slow": [{"name": "c"}]},
                "sdist": {"hash": "sha256:a"},
            },
            {"name": "b", "version": "2", "wheels": [{"hash": "sha256:b2"}, {"hash": "sha256:b1"}]},
            {"name": "c", "version": "3"},
        ]
    }
    assert locked(lock, "x") == [["a", "1", ["sha256:a"]], ["b", "2", ["sha256:b1", "sha256:b2"]]]


def test_the_dockerfiles_differ_only_where_the_images_do() -> None:
    """Equal lines are built once and stored once."""
    texts = {image.name: (REPOSITORY / image.dockerfile).read_text(encoding="utf-8").splitlines() for image in IMAGES}
    library = next(index for index, line in enumerate(texts["training"]) if "libgomp" in line)
    del texts["training"][library - 1 : library + 1]  # of this image alone: a comment, and what it is about
    locked = [texts[image.name] for image in IMAGES if image.extra]
    differing = [lines for lines in zip(*locked, strict=True) if len(set(lines)) > 1]
    starts = [{line.split()[0] for line in lines} for lines in differing]
    assert starts == [{"#"}, {"#"}, {"--extra"}, {"LABEL"}, {"ENTRYPOINT"}]
    changed = [
        line for line in difflib.ndiff(texts["training"], texts["feast"]) if line[0] in "+-" and line[2:3] != "#"
    ]
    assert [line.split()[:2] for line in changed if line[0] == "+"] == [["+", "COPY"], ["+", "LABEL"]]
    assert [line.split()[:2] for line in changed if line[0] == "-"] == [
        ["-", "COPY"],
        ["-", "RUN"],
        ["-", "--extra"],
        ["-", "LABEL"],
    ]


def test_an_example_is_built_anew_with_its_base_and_its_files(tmp_path: Path) -> None:
    [example] = EXAMPLES
    shutil.copytree(REPOSITORY / example.folder, tmp_path / example.folder)
    before = example_tag(example, "training:1", tmp_path)
    assert before == example_tag(example, "training:1")
    assert before != example_tag(example, "training:2", tmp_path)
    append(tmp_path / example.folder / "train.py", "# changed\n")
    assert before != example_tag(example, "training:1", tmp_path)


def test_one_version_of_uv_everywhere() -> None:
    found = re.findall(r"uv==(\S+)", (REPOSITORY / IMAGES[0].dockerfile).read_text(encoding="utf-8"))
    found += re.findall(r"^UV_VERSION := (\S+)$", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 2
    assert len(set(found)) == 1
