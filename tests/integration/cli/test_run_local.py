"""utk run --local with the real supervisor, Ray and ranks: what a person sees, and what Ctrl-C leaves."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.cli.parts.command import Utk

START_S = 300.0
"""Ray on a busy machine takes minutes to place its first worker."""
STEPS = 5_000
"""More than any test waits for."""


def test_ctrl_c_on_a_terminal_saves_and_the_run_goes_on_where_it_was(utk: "Utk", job_file: Path) -> None:
    terminal = utk.on_terminal("run", "--local", str(job_file), "--nproc", "1", "--steps", str(STEPS))
    terminal.until(f"step    1/{STEPS}", START_S)
    assert "\x1b[?25l" in terminal.text, "a bar hides the cursor"
    assert f"/{STEPS}" in terminal.text
    terminal.type(b"\x03")
    code = terminal.end(START_S)
    assert code == 130, terminal.text
    assert "Stopping: saving a checkpoint first" in terminal.text
    found = re.search(r"Stopped · checkpoint step (\d+) saved", terminal.text)
    again = re.search(r"Go on with: (utk run .* --resume [0-9a-f-]{36})", terminal.text)
    assert found and again, terminal.text
    saved = int(found[1])
    assert saved >= 1

    words = again[1].split()[1:]
    words[words.index("--steps") + 1] = str(saved + 2)
    said = utk(*words, deadline=START_S)
    assert said.code == 0, said
    assert f"from step {saved}" in said.out
    assert "✓ Succeeded in" in said.out and f"latest checkpoint step {saved + 2} verified" in said.out
    assert "held-out loss" in said.out and "entropy of the data" in said.out
    assert "\x1b" not in said.out + said.err
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ step ", said.out, re.MULTILINE)
    assert said.err.count("\n  utk ") == 3

    uri = re.search(r"^checkpoint (file://\S+)$", said.out, re.MULTILINE)
    assert uri, said
    verified = utk("checkpoints", "verify", "--uri", uri[1], "-o", "json")
    assert (verified.code, verified.json["verified"]) == (0, True), verified
    listed = utk("checkpoints", "ls", "--uri", f"file://{utk.folder}/runs", "-o", "json").json["items"]
    assert listed[0]["step"] == saved + 2 and {item["state"] for item in listed} == {"committed"}

    shard = next(Path(uri[1].removeprefix("file://")).glob("*.safetensors"))
    shard.chmod(0o600)
    with shard.open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    broken = utk("checkpoints", "verify", "--uri", uri[1], "-o", "json")
    assert (broken.code, broken.json["verified"]) == (1, False), broken
