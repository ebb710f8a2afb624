"""`gxsearch doctor --out s3://`: an object is written, read, listed and removed; nothing is left."""

from cut_short import RUNS

from gxsearch.search.doctor import diagnose


def test_storage_that_works_is_ok_and_is_left_as_it_was(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {one.part: one for one in diagnose(out=RUNS, ray=False)}

    assert found["storage"].state in ("ok", "note") and "was written, read, listed and removed" in found["storage"].what
    assert "runs" not in found and "writing" not in found


def test_storage_that_refuses_is_wrong(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    found = {one.part: one for one in diagnose(out=RUNS, ray=False)}

    assert found["storage"].state == "wrong" and "very-secret-word" not in str(found)
