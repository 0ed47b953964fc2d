"""A tokenizer learned from text: it writes every text, and is the same whenever it is learned."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from ultrathink_api.errors import Refused
from ultrathink_trainer.data.prepare import bpe
from unit.trainer.data.parts.corpus import texts, write_jsonl


def train(source: Path, to: Path, vocabulary: int = 320) -> int:
    return bpe.train([str(source)], str(to), vocabulary=vocabulary, min_frequency=2, field="text")


def test_it_writes_what_it_has_never_seen(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    assert train(source, tmp_path / "t.json") == 320
    tokenizer = Tokenizer.from_file(str(tmp_path / "t.json"))
    for text in ("Größe 🙂 \n\tx = 1", "日本語", texts()[0]):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    characters_a_token = len(texts()[0]) / len(tokenizer.encode(texts()[0]).ids)
    assert characters_a_token > 1.5, "even so small a vocabulary has learned something"


def test_the_same_text_gives_the_same_file(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", texts())
    train(source, tmp_path / "one.json")
    train(source, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(("content", "code"), [('{"text": ""}\n', "UTK0218"), ("nonsense\n", "UTK0218")])
def test_text_that_cannot_be_learned_from_is_refused_and_leaves_no_file(
    tmp_path: Path, content: str, code: str
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(content)
    with pytest.raises(Refused) as refused:
        train(source, tmp_path / "t.json")
    assert refused.value.problem.code == code
    assert list(tmp_path.iterdir()) == [source]


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("mine")
    with pytest.raises(Refused) as refused:
        train(write_jsonl(tmp_path / "a.jsonl", texts()), tmp_path / "t.json")
    assert refused.value.problem.code == "UTK0607"
    assert (tmp_path / "t.json").read_text() == "mine"
