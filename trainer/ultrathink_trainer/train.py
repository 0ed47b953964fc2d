"""The training loop, as an algorithm.

How the model is cut over ranks, where data come from and where checkpoints go is said elsewhere; here is only what
happens, and in which order.
"""

import math
from dataclasses import replace

from .checkpoint.checkpoints import Failed
from .checkpoint.progress import Progress
from .data.feed import Feed
from .data.loader import Cursor, Loader
from .data.rows import Source
from .data.source import open_source
from .optim.schedule import learning_rate
from .parallel.engine import Engine
from .run import Finish, Run

HELD_OUT_BATCHES = 2
"""Global batches in a measurement of held-out loss: always the same rows."""


LARGEST_EXPONENT = 709.0
"""Of what a float's exponential can hold; a run that diverged is past it."""


def train(run: Run) -> Finish:
    """Train from the newest checkpoint, or from scratch, to the last step or until asked to stop."""
    plan, world = run.plan, run.world
    source = open_source(
        plan.data,
        seed=plan.seed,
        length=plan.batch.sequence_length,
        vocabulary=plan.model.vocabulary,
        access=run.access,
        curriculum=plan.curriculum,
        fingerprint=plan.fingerprint,
    )
    loader = Loader(source, plan.batch.rows, rank=world.at("data"), ranks=world.size("data"))
    feed = Feed(loader, run.clock)
    engine = Engine(plan, world)
    progress = restore(run, engine, source)

    while not progress.ended(plan):
        step = progress.step + 1
        run.begin(step, engine.model)

        first_row = progress.cursor.i
        rows, cursor = feed.next(progress.cursor)
        measured = engine.forward_backward(rows, step)
        word = run.agree(step, measured, feed.waited)
        lr = learning_rate(step, peak=plan.optimizer.lr, steps=plan.steps, schedule=plan.schedule)
        explained = word.skip and engine.skip(measured.loss)
        if not word.skip:  # a non-finite step changes nothing, on any rank
            run.checkpoints.settle()
            engine.update(lr, measured.grad_norm)
        engine.clear()

        tokens, held_out = progress.tokens + plan.batch.tokens, progress.held_out
        progress = Progress(step, tokens, engine.updates, cursor, engine.scaler.dump(), held_out)
        run.report_step(step, measured, word, lr=lr, tokens=progress.tokens)
        if not explained:
            run.bear(word, step, (first_row, cursor.i))

        if step % plan.validation_every == 0 or step == plan.steps:
            loss = validate(run, engine, loader, source, step)
            progress = replace(progress, held_out=held_out.after(loss))
        run.report_saved(run.checkpoints.result())
        if word.stop or progress.ended(plan):
            break
        copy(run, engine, progress)
        if word.save and not word.skip:  # whoever goes back must find what was before
            save(run, engine, progress, busy=word.busy)

    feed.close()
    run.report_early_end(progress)
    save_last(run, engine, progress)
    return Finish("completed" if progress.ended(plan) else "stopped", progress.step)


def copy(run: Run, engine: Engine, progress: Progress) -> None:
    """Keep the state in memory too, where that is asked for."""
    due = run.checkpoints.copy_is_due(progress.step)
    if due and not run.keeps_copies(run.checkpoints.copy(engine.tensors(), progress)):
        run.report({"event": "copiesLeftOut", "step": progress.step, "message": run.checkpoints.copies_left_out})


def restore(run: Run, engine: Engine, source: Source) -> Progress:
    """Where the last attempt came to, or the beginning."""
    began, tensors = run.clock(), engine.tensors()
    recalled = run.checkpoints.recall(tensors, source.fingerprint, run.parent)
    progress, ref = (
        (recalled, "memory") if recalled is not None else run.checkpoints.restore(tensors, source.fingerprint)
    )
    if progress is None or ref is None:
        run.checkpoints.begin(tensors)
        engine.take(tensors)
        return Progress(step=0, tokens=0, updates=0, cursor=Cursor(source.fingerprint).without(run.skips))
    engine.take(tensors, progress.updates)
    engine.scaler.load(progress.scaler)
    run.report_restored(progress.step, ref, run.clock() - began)
    return replace(progress, cursor=progress.cursor.without(run.skips))


def validate(run: Run, engine: Engine, loader: Loader, source: Source, step: int) -> float:
    """Loss on held-out rows, beside the entropy of the data where that is known."""
    loss = engine.evaluate([loader.held_out(batch) for batch in range(HELD_OUT_BATCHES)])
    perplexity = math.exp(loss) if loss < LARGEST_EXPONENT else math.inf
    record = {"event": "eval", "step": step, "loss": loss, "perplexity": perplexity}
    run.report(record if source.entropy is None else {**record, "entropy": source.entropy})
    return loss


def save(run: Run, engine: Engine, progress: Progress, *, busy: bool) -> None:
    """Start a checkpoint, unless the last one is still being written somewhere: then this one is left out."""
    if busy:
        run.checkpoints.skipped += 1
        run.report({"event": "checkpointSkipped", "step": progress.step})
    else:
        run.report({"event": "checkpointBegan", "step": progress.step})
        run.checkpoints.save(engine.tensors(), progress)
    run.note_save(begun=not busy)


def save_last(run: Run, engine: Engine, progress: Progress) -> None:
    """The end of a run waits for its checkpoint: without it the run did not end well."""
    run.report_saved(run.checkpoints.result(wait=True))
    if progress.step == run.checkpoints.newest_step:
        return  # nothing was done since
    run.checkpoints.save(engine.tensors(), progress)
    result = run.checkpoints.result(wait=True)
    run.report_saved(result)
    if isinstance(result, Failed):
        raise result.refused()
