"""Text becomes shards: every document once, in one split, the same whoever was killed on the way."""

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from ultrathink_api.errors import Refused
from ultrathink_trainer.data.index import HELD_OUT, TRAIN
from ultrathink_trainer.data.prepare import inputs
from ultrathink_trainer.data.prepare.documents import clean
from unit.trainer.data.parts.corpus import documents_of, prepared, texts, tokenizer, write_jsonl
from unit.trainer.data.parts.datasets import opened


def all_documents(folder: Path, index: object, to: str = "out") -> list[str]:
    uri, path = f"file://{folder / to}", tokenizer(folder)
    return [text.strip() for name in (TRAIN, HELD_OUT) for text in documents_of(uri, index, name, path)]  # type: ignore[arg-type]


def refused(folder: Path, *paths: Path, **options: object) -> str:
    with pytest.raises(Refused) as said:
        prepared(folder, *paths, **options)  # type: ignore[arg-type]
    return said.value.problem.code


def test_every_document_is_there_once_whatever_file_brought_it(tmp_path: Path) -> None:
    documents = texts()
    source = tmp_path / "source"
    source.mkdir()
    write_jsonl(source / "a.jsonl", documents[:30])
    (source / "b.jsonl.gz").write_bytes(gzip.compress(write_jsonl(tmp_path / "x", documents[20:50]).read_bytes()))
    packed = zstandard.ZstdCompressor().compress(write_jsonl(tmp_path / "x", documents[50:70]).read_bytes())
    (source / "c.jsonl.zst").write_bytes(packed)
    parquet.write_table(pyarrow.table({"text": documents[70:100]}), source / "d.parquet", row_group_size=7)
    (source / "e.txt").write_text("\n==\n".join(documents[100:]))
    index = prepared(tmp_path, source, separator="\n==\n", workers=2)
    assert sorted(all_documents(tmp_path, index)) == sorted(clean(text) for text in documents)
    assert index.made["dropped"] == {"empty": 0, "short": 0, "duplicate": 10}
    assert not (tmp_path / "out" / ".preparing").exists()


def test_a_job_reads_what_was_prepared(tmp_path: Path) -> None:
    prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", texts()))
    source = opened(f"file://{tmp_path / 'out'}", vocabulary=320)
    assert source.rows(range(8)).shape == (8, 17)
    assert source.vocabulary <= 320


def test_no_document_is_in_two_splits(tmp_path: Path) -> None:
    index = prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", texts()))
    uri, path = f"file://{tmp_path / 'out'}", tokenizer(tmp_path)
    train, held_out = (set(documents_of(uri, index, name, path)) for name in (TRAIN, HELD_OUT))
    assert train and held_out and not train & held_out


def test_a_document_stays_in_its_split_when_more_data_come(tmp_path: Path) -> None:
    path = tokenizer(tmp_path)
    held = []
    for to, count in (("small", 60), ("large", 120)):
        index = prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", texts(count)), to=to)
        held.append(set(documents_of(f"file://{tmp_path / to}", index, HELD_OUT, path)))
    assert held[0] < held[1]


def test_what_comes_out_does_not_depend_on_the_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "UNIT_BYTES", 2_000)
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    assert len(inputs.find([str(source)])) > 5
    one, two = prepared(tmp_path, source, to="one"), prepared(tmp_path, source, to="two", workers=2)
    assert one == two


KILLED = """
import os, signal, sys
from pathlib import Path
from ultrathink_trainer.data.prepare import inputs
from unit.trainer.data.parts.corpus import prepared

def killed_when_half_is_done(what, done, of):
    if (what, done) == (sys.argv[2], of // 2):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    inputs.UNIT_BYTES = 2_000
    folder = Path(sys.argv[1])
    prepared(folder, folder / "a.jsonl", on_progress=killed_when_half_is_done)
"""


@pytest.mark.parametrize("when", ["tokenise", "pack"])
def test_a_killed_run_shows_nothing_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(inputs, "UNIT_BYTES", 2_000)
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    undisturbed = prepared(tmp_path, source, to="undisturbed")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    paths = os.pathsep.join([str(Path(__file__).parents[4]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), when], env={**os.environ, "PYTHONPATH": paths}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "index.json").exists()

    seen: list[tuple[str, int]] = []
    assert prepared(tmp_path, source, on_progress=lambda what, done, of: seen.append((what, done))) == undisturbed
    assert seen[0][1] >= len(inputs.find([str(source)])) // 2, "finished units are not done again"


def test_a_text_that_spells_the_end_token_does_not_end_a_document(tmp_path: Path) -> None:
    documents = [*texts(40), "one <|endoftext|> two"]
    index = prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", documents))
    assert sum(split.documents for split in index.splits.values()) == 41
    assert "one <|endoftext|> two" in all_documents(tmp_path, index)


def test_empty_and_short_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    documents = [*texts(40), "", " \n ", "\x00\x1f", "ab"]
    index = prepared(tmp_path, write_jsonl(tmp_path / "a.jsonl", documents), min_characters=3)
    assert index.made["dropped"] == {"empty": 3, "short": 1, "duplicate": 0}


@pytest.mark.parametrize(
    ("dirty", "tidy"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a  \nb\t", "a\nb"),
        ("\n\na\n\n\n\nb\n", "a\n\nb"),
        ("a\x00b\ufeff\x7f", "ab"),
        ("e\u0301", "\u00e9"),
        ("a\ud800b", "a\ufffdb"),
        ("    indented", "    indented"),
    ],
)
def test_cleaning(dirty: str, tidy: str) -> None:
    assert clean(dirty) == tidy
    assert clean(tidy) == tidy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "x"}\nnot json\n'),
        ("a.jsonl", b'{"body": "x"}\n'),
        ("a.jsonl", b'{"text": 5}\n'),
        ("a.jsonl", b'["text"]\n'),
        ("a.jsonl", b'{"text": "\xff"}\n'),
        ("a.jsonl.gz", b"not gzip"),
        ("a.jsonl.zst", b"not zstandard"),
        ("a.parquet", b"not parquet"),
        ("a.txt", b"\xff\xfe"),
        ("a.pdf", b"%PDF"),
        ("a.jsonl", b""),
    ],
)
def test_what_cannot_be_read_is_refused_and_never_left_out(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert refused(tmp_path, tmp_path / name) == "UTK0218"
    assert not (tmp_path / "out" / "index.json").exists()


def test_the_column_must_be_there(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["a"], "number": [1]}), tmp_path / "a.parquet")
    assert refused(tmp_path, tmp_path / "a.parquet", field="body") == "UTK0218"
    assert refused(tmp_path, tmp_path / "a.parquet", field="number") == "UTK0218"


def test_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, tmp_path / "nothing.jsonl") == "UTK0601"


def test_a_finished_data_set_is_never_written_over(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    prepared(tmp_path, source)
    before = (tmp_path / "out" / "index.json").read_bytes()
    assert refused(tmp_path, source, held_out=0.4) == "UTK0204"
    assert (tmp_path / "out" / "index.json").read_bytes() == before


def test_data_without_a_held_out_part_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, write_jsonl(tmp_path / "a.jsonl", texts()), held_out=0.0) == "UTK0215"


@pytest.mark.parametrize(("content", "end"), [("{}", ""), ("not json", ""), (None, "<no-such-token>")])
def test_a_tokenizer_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None, end: str) -> None:
    from ultrathink_trainer.data.prepare.tokenise import open_recipe

    path = tokenizer(tmp_path)
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refused) as said:
        open_recipe(str(path), end)
    assert said.value.problem.code == "UTK0219"
