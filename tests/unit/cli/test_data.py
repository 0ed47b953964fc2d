"""utk data and utk tokenizer: text to shards and back to a report, as programs and people read them."""

import json
from pathlib import Path

from unit.cli.conftest import Utk

LINES = 60


def corpus(folder: Path) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", "while", "some", "dog", "ran", "over", "every", "hill"]
    rows = [{"text": " ".join(words[(n * step) % len(words)] for step in range(1, 12)) + f" {n}"} for n in range(LINES)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_way_from_text_to_a_sound_data_set(utk: Utk, tmp_path: Path) -> None:
    corpus(tmp_path)
    learned = utk("tokenizer", "train", "corpus.jsonl", "--to", "t.json", "--vocabulary", "300", "-o", "json")
    assert learned.code == 0
    assert learned.json == {
        "apiVersion": "utk/v1",
        "kind": "Tokenizer",
        "file": "t.json",
        "vocabulary": learned.json["vocabulary"],
        "endToken": "<|endoftext|>",
    }
    words = ("corpus.jsonl", "--tokenizer", "t.json", "--to", "out", "--held-out", "0.2", "--workers", "1")
    made = utk("data", "prepare", *words, "-o", "json")
    assert made.code == 0, made.err
    assert (made.json["kind"], made.json["uri"]) == ("DataSet", f"file://{tmp_path}/out")
    assert sum(split["documents"] for split in made.json["splits"].values()) == LINES

    sound = utk("data", "check", "out", "-o", "json")
    assert (sound.code, sound.json["kind"], sound.json["sound"]) == (0, "DataCheck", True)
    assert "is sound" in utk("data", "check", "out").out

    again = utk("data", "prepare", *words, "-o", "json")
    assert (again.code, again.json["errors"][0]["code"]) == (9, "UTK0204")

    shard = next((tmp_path / "out" / "train").iterdir())
    shard.write_bytes(shard.read_bytes()[:-1])
    broken = utk("data", "check", "out", "-o", "json")
    assert (broken.code, broken.json["sound"], broken.json["problems"][0]["code"]) == (1, False, "UTK0212")


def test_refusals_are_json_with_their_code(utk: Utk, tmp_path: Path) -> None:
    assert utk("data", "check", "nowhere", "-o", "json").json["errors"][0]["code"] == "UTK0211"
    corpus(tmp_path)
    missing = utk("data", "prepare", "corpus.jsonl", "--tokenizer", "t.json", "--to", "out", "-o", "json")
    assert (missing.code, missing.json["errors"][0]["code"]) == (2, "UTK0219")
    absent = utk("tokenizer", "train", "nothing.jsonl", "--to", "t.json", "-o", "json")
    assert (absent.code, absent.json["errors"][0]["code"]) == (3, "UTK0601")
