"""The manifest of a folder: what it names is read only as it was written."""

import hashlib
import json

import pytest

from gxsearch.data.manifest import MANIFEST, verified
from gxsearch.errors import RunError


@pytest.fixture
def folder(tmp_path):
    files = {"a.json": b"{}", "b.bin": bytes(range(9))}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    (tmp_path / MANIFEST).write_text(json.dumps(sums))
    (tmp_path / "other").write_text("not in the manifest")
    return tmp_path


def test_the_files_of_the_manifest_are_returned_and_no_others(folder):
    assert verified(folder) == {"a.json": b"{}", "b.bin": bytes(range(9))}


def test_a_file_of_which_one_byte_differs_is_refused(folder):
    (folder / "b.bin").write_bytes(bytes(range(1, 10)))

    with pytest.raises(RunError, match="E623.*b.bin: the file is damaged"):
        verified(folder)


@pytest.mark.parametrize("name", ["a.json", MANIFEST])
def test_a_folder_without_a_file_or_the_manifest_is_refused(folder, name):
    (folder / name).unlink()

    with pytest.raises(RunError, match="E622.*not a whole folder of ours"):
        verified(folder)


@pytest.mark.parametrize("text", ["[]", '{"a.json": 1, "a', '{"../other": "0"}', '"a"'])
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / MANIFEST).write_text(text)

    with pytest.raises(RunError, match="E622"):
        verified(folder)
