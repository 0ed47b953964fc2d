"""For each code of a job's text a wrong and a right way to write it, below spec: what `utk explain` shows."""

EXAMPLES: dict[str, tuple[str, str]] = {
    "UTK0102": ("training: {stepz: 200}", "training: {steps: 200}"),
    "UTK0103": ("workers: {count: many}", "workers: {count: 2}"),
    "UTK0104": ("workers: {gpus: 8}", "workers: {count: 2, gpus: 8}"),
    "UTK0105": ("workers: {count: 0}", "workers: {count: 1}"),
    "UTK0107": (
        "workers: {count: 8}\nparallelism: {tensor: 2, pipeline: 2, data: 4}   # 16 ranks, and there are 8",
        "workers: {count: 8}\nparallelism: {tensor: 2, pipeline: 2}            # data is 2",
    ),
    "UTK0108": (
        "workers: {count: 3}\nparallelism: {tensor: 2}",
        "workers: {count: 4}\nparallelism: {tensor: 2}",
    ),
    "UTK0110": ("training: {steps: 10, tokens: 1000}", "training: {steps: 10}"),
    "UTK0111": (
        "training: {steps: 200, schedule: {warmupSteps: 201}}",
        "training: {steps: 200, schedule: {warmupSteps: 20}}",
    ),
    "UTK0112": (
        "training: {steps: 200, globalBatchTokens: 1000}\ndata: {uri: builtin://stories, sequenceLength: 64}",
        "training: {steps: 200, globalBatchTokens: 1024}\ndata: {uri: builtin://stories, sequenceLength: 64}",
    ),
    "UTK0113": (
        "training: {steps: 200, precision: fp64}\nworkers: {count: 2, gpus: 1}",
        "training: {steps: 200, precision: fp32}\nworkers: {count: 2, gpus: 1}",
    ),
    "UTK0114": ("model: {preset: moe-tiny, heads: 8, kvHeads: 3}", "model: {preset: moe-tiny, heads: 8, kvHeads: 4}"),
    "UTK0115": (
        "model: {preset: moe-tiny, heads: 3, kvHeads: 3}\nparallelism: {tensor: 2}",
        "model: {preset: moe-tiny, heads: 4, kvHeads: 4}\nparallelism: {tensor: 2}",
    ),
    "UTK0116": (
        "model: {preset: moe-tiny, layers: 2}\nworkers: {count: 4}\nparallelism: {pipeline: 4}",
        "model: {preset: moe-tiny, layers: 4}\nworkers: {count: 4}\nparallelism: {pipeline: 4}",
    ),
    "UTK0117": (
        "model: {preset: moe-tiny, moe: {experts: 4, topK: 5}}",
        "model: {preset: moe-tiny, moe: {experts: 4, topK: 2}}",
    ),
    "UTK0118": (
        "model: {preset: moe-tiny, maxPositions: 64}\ndata: {uri: builtin://stories, sequenceLength: 128}",
        "model: {preset: moe-tiny, maxPositions: 128}\ndata: {uri: builtin://stories, sequenceLength: 128}",
    ),
    "UTK0119": (
        "model: {preset: moe-tiny, tiedEmbeddings: true}\nparallelism: {pipeline: 2}",
        "model: {preset: moe-tiny, tiedEmbeddings: false}\nparallelism: {pipeline: 2}",
    ),
    "UTK0120": ("model: {preset: moe-tiny, headDim: 33}", "model: {preset: moe-tiny, headDim: 32}"),
    "UTK0121": ("model: {preset: moe-huge}", "model: {preset: moe-tiny}"),
    "UTK0122": ("model: {layers: 2, hidden: 64}", "model: {preset: dense-tiny, layers: 2, hidden: 64}"),
    "UTK0123": ("checkpoint: {uri: /home/me/runs}", "checkpoint: {uri: file:///home/me/runs}"),
    "UTK0124": ("resume: {from: yesterday}", "resume: {from: latest}"),
    "UTK0126": (
        "training: {steps: 200, microBatchSequences: 3}",
        "training: {steps: 200, microBatchSequences: 4}",
    ),
    "UTK0201": ("data: {uri: builtin://novels}", "data: {uri: builtin://stories}"),
    "UTK0214": ("data: {sequenceLength: 128}", "data: {uri: s3://corpora/web, sequenceLength: 128}"),
    "UTK0217": (
        "data: {mixture: [{uri: builtin://stories, weight: 3}, {uri: s3://corpora/web}]}",
        "data: {mixture: [{uri: s3://corpora/code, weight: 3}, {uri: s3://corpora/web}]}",
    ),
}
