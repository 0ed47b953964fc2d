"""utk init: a commented job to start from, with a schema beside it that editors complete and check by."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ultrathink_api.errors import Refused
from utk import files
from utk.console import console

SCHEMA_FILE = "ultrathinkjob.schema.json"

TEMPLATE = """\
# yaml-language-server: $schema={schema}
apiVersion: ultrathink.io/v1alpha1
kind: UltraThinkJob
metadata:
  name: {name}
spec:
  model:
    preset: {preset}                # any size can be set beside it, as in: layers: 6
  data:
    uri: builtin://stories          # a small generated corpus: nothing to download
  training:
    steps: 200
    # globalBatchTokens: 4096       # tokens in one step over all workers
    # optimizer: {{name: adamw, lr: 3.0e-3, weightDecay: 0.1}}
    # schedule: {{name: cosine, warmupSteps: 20}}
  workers:
    count: 2                        # each worker is one pod; world size = count x max(gpus, 1)
    # gpus: 1                       # 0 trains on CPU
  # parallelism: {{tensor: 1, pipeline: 1}}      # data takes what these leave
  # checkpoint:
  #   uri: s3://bucket/prefix       # locally the folder runs; on a cluster the runtime's storage
  #   every: {{steps: 20}}
  # restart: {{budget: {{max: 8, withoutProgress: 3}}}}
"""


def main(
    preset: Annotated[str, typer.Option("--preset", metavar="PRESET", help="Model to start from.")] = "moe-tiny",
    name: Annotated[str, typer.Option("--name", help="Name of the job.")] = "my-job",
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="File to write; - writes to stdout.")
    ] = "job.yaml",
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a commented job to start from."""
    from ultrathink import Job

    schema = SCHEMA_FILE
    text = TEMPLATE.format(schema=schema, name=name, preset=preset)
    problems = Job.from_text(text, "the new job").validate()
    if problems:
        raise Refused(*problems)
    if output == "-":
        console.print(text.rstrip("\n"))
        return
    path = Path(output)
    files.create(path, text, over=force, fix=f"{files.ANOTHER}, or say --force")
    _write_schema(path.with_name(SCHEMA_FILE))
    console.done(f"{output} written, with {SCHEMA_FILE} for your editor")
    console.next(f"utk plan {output}", f"utk run --local {output}", f"utk submit {output}")


def _write_schema(path: Path) -> None:
    """Ours, and generated: one of an older version is replaced."""
    from ultrathink_api.crd import json_schema

    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
