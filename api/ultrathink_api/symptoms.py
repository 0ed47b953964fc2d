"""What a user sees, in the order of a job's way, with the reasons and codes that it can be: each code stands once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

DIAGNOSE = "utk diagnose NAME"
VALIDATE = "utk validate FILE"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One trouble in the words of who has it, and the one command that tells which of its causes it is."""

    title: str
    look: str
    about: str
    codes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Of conditions, phases and attempts, each with its meaning; a reason that is the name of a code stands there."""


def _codes(text: str) -> tuple[str, ...]:
    """Of the four digits of each."""
    return tuple(f"UTK{digits}" for digits in text.split())


SYMPTOMS: tuple[Symptom, ...] = (
    Symptom(
        "utk does not understand me",
        "utk help exit-codes",
        "The command line itself, or a file beside it. Nothing was sent to a cluster.",
        _codes("0600 0601 0602 0603 0604 0605 0607 0608"),
    ),
    Symptom(
        "My file is refused: it is not a job",
        VALIDATE,
        "YAML, names and types of fields. The message shows the line.",
        _codes("0100 0101 0102 0103 0104 0105 0109"),
    ),
    Symptom(
        "My file is refused: the model",
        VALIDATE,
        "Sizes, experts, adaptive compute, or a model that a job starts from or is written to.",
        _codes(
            "0114 0117 0118 0120 0121 0122 0129 0140 0142 0150 0151 0152 0153 0154 0194 "
            "0220 0221 0222 0223 0224 0225 0226 0227 0228"
        ),
    ),
    Symptom(
        "My file is refused: it does not divide",
        "utk plan FILE",
        "The model, the batch and the workers have to divide evenly. The plan shows mesh, stages and batch.",
        _codes("0107 0108 0112 0115 0116 0119 0126 0127 0141 0143 0180"),
    ),
    Symptom(
        "My file is refused: training, health or restarts",
        VALIDATE,
        "Settings that contradict each other.",
        _codes("0110 0111 0113 0170 0171 0172 0173 0181 0182 0183 0196 0197 0198"),
    ),
    Symptom(
        "My data are refused",
        "utk data check URI",
        "Token shards, and what they are made from. An attempt that reads a damaged block ends with cause DataError.",
        _codes("0192 0201 0202 0204 0211 0212 0213 0214 0215 0217 0218 0219 0229 0230"),
        {"DataError": "the data cannot be read, or are not what they were"},
    ),
    Symptom(
        "I cannot submit: the cluster does not take it",
        "utk doctor",
        "Way to the cluster, sign-in, rights, installation, admission.",
        _codes("0160 0161 0501 0502 0503 0504 0505 0506 0510 0511 0512"),
    ),
    Symptom(
        "I cannot change or delete my job",
        "utk status NAME",
        "A job that has started keeps its model and data, one that has ended keeps its end, one that is deleted goes "
        "when its operator has let it save.",
        _codes("0125 0130 0508 0514 0515"),
    ),
    Symptom(
        "utk finds no such job, or waits in vain",
        "utk list -A",
        "Names, namespaces, and what can still come.",
        _codes("0507 0513 0609 0611"),
    ),
    Symptom(
        "My job is Pending",
        DIAGNOSE,
        "It has no cluster yet: nobody looks at it, or its spec or runtime is not admitted. Conditions Valid and "
        "Admitted say why.",
        _codes("0128 0216 0509 0520 0521 0540"),
        {
            "Invalid": "the spec is refused; the message begins with the code",
            "RuntimeNotFound": "the runtime that the job names is not there",
            "RuntimeInvalid": "the runtime is refused; the message says the field",
            "NoData": "the data cannot be there in a pod",
            "DependencyMissing": "a kind of object is not served by the cluster",
            "NameConflict": "an object that is not the job's bears the name of one of its own",
            "Rejected": "the API server refuses an object of the job, in its own words",
        },
    ),
    Symptom(
        "My job is Queued or Scheduling: its pods get no node",
        DIAGNOSE,
        "Condition Scheduled is false. The message is the scheduler's or the quota's own. No attempt is spent.",
        (),
        {
            "Creating": "its objects are being made",
            "Placing": "some pods do not run yet, and nobody said why",
            "Unschedulable": "no node has room",
            "QuotaExceeded": "the quota of the namespace refuses the pods; it is asked again every 30 s",
            "GangReleased": "only a part of the pods fitted, so the workers were given back and are tried again",
            "FailedCreate": "the StatefulSet may not make its pods",
            "DeadlineExceeded": "a limit of spec.deadlines was reached, and the job has ended",
        },
    ),
    Symptom(
        "The image is not pulled",
        DIAGNOSE,
        "Condition Scheduled is false; the message is kubelet's own and names the image.",
        (),
        {"ImagePullError": "wrong name, no right to pull, or a registry that is not reached"},
    ),
    Symptom(
        "A Secret or volume is missing",
        DIAGNOSE,
        "Condition Scheduled is false; the message is kubelet's own.",
        (),
        {"FailedMount": "a Secret, ConfigMap or volume that a pod needs is not there"},
    ),
    Symptom(
        "It starts and makes no first step",
        DIAGNOSE,
        "All pods run. Condition Running is false.",
        _codes("0405 0411"),
        {
            "Starting": "supervisor, Ray and ranks are being started",
            "CrashLoop": "a pod's first process ends again and again",
        },
    ),
    Symptom(
        "It fails at once, and is not tried again",
        DIAGNOSE,
        "A rank that ends with exit code 64 says that the job itself is wrong; a rule of spec.restart.rules may say so "
        "of other ends.",
        _codes("0401 0407 0412"),
    ),
    Symptom(
        "It restarts again and again",
        DIAGNOSE,
        "utk diagnose counts how many of the last failures had one cause. A budget ends the job before it has burnt "
        "what it was given.",
        _codes("0402 0403"),
        {
            "RankLost": "a rank ended by a signal or without a word",
            "WorkerLost": "a worker's pod, or the Ray node in it, went away",
            "DriverLost": "Ray Train's driver ended",
            "HeadLost": "the head's pod went away; its replacement goes on from the newest checkpoint",
            "ClusterLost": "the cluster's objects were deleted; another one goes on, if restart.ladder has that rung",
            "Internal": "a rank raised an exception that is none of the others",
            "Recovering": "the next attempt is being started",
        },
    ),
    Symptom(
        "It is killed: out of memory, exit code 137",
        DIAGNOSE,
        "Each attempt after it computes half as many sequences at once. If one at a time is too many, the job ends.",
        _codes("0408"),
    ),
    Symptom(
        "Loss is NaN",
        DIAGNOSE,
        "Steps that are not finite are skipped; then training goes back to a checkpoint and around their data; then "
        "the job ends.",
        _codes("0409"),
        {"NaN": "steps were not finite; the next attempt begins at a checkpoint before them"},
    ),
    Symptom(
        "It hangs: no step is made, or nobody knows",
        DIAGNOSE,
        "A silence much longer than the job's own pace ends the attempt; the rank that the others wait for is named.",
        (),
        {
            "Hang": "no rank made a step for too long",
            "ProgressUnknown": "the supervisor does not answer the operator; training needs neither",
            "PodsNotReady": "some pods are not ready",
        },
    ),
    Symptom(
        "No checkpoint is saved",
        DIAGNOSE,
        "Training goes on. Condition CheckpointFresh is false and its reason is the name of one of these codes; it "
        "heals by itself when the store does.",
        _codes("0301 0302 0303 0304 0305 0306 0307 0308 0315 0316 0317"),
        {
            "CheckpointStale": "three intervals have gone by without a checkpoint",
            "CheckpointFailed": "the save failed in a rank",
            "StoreSlow": "a save takes much longer than those before it",
            "StoreError": "an attempt ended because of the store",
        },
    ),
    Symptom(
        "A checkpoint does not load",
        "utk checkpoints verify --uri URI",
        "Where a job starts from, and whether what is there is whole and of this job. The command reads every byte.",
        _codes("0123 0124 0190 0191 0203 0310 0311 0312 0313 0314 0318"),
    ),
    Symptom(
        "A checkpoint cannot be removed",
        "utk checkpoints ls --uri URI",
        "What a run that goes on may still need is held.",
        _codes("0319"),
    ),
    Symptom(
        "A run cannot be reproduced",
        "utk reproduce URI",
        "Each attempt writes down what it is made from as it begins. The command says which run or attempt has no such "
        "record.",
        _codes("0320"),
    ),
    Symptom(
        "It stopped, and I did not stop it",
        "utk events NAME",
        "None of these spends the restart budget.",
        (),
        {
            "Drained": "its node is being emptied: it saved, and goes on elsewhere",
            "SpecChanged": "the spec was changed in a field that takes a new attempt or another cluster",
            "Suspending": "spec.suspend is true: it saves, then gives its pods back",
            "Suspended": "spec.suspend is true: it holds no pods",
            "Cancelling": "spec.cancel is true: it is being ended",
            "Cancelled": "spec.cancel was true: it has ended",
            "Deleting": "the job is being deleted: it saves first",
        },
    ),
    Symptom(
        "It does not run on my laptop",
        "utk doctor",
        "utk run --local needs the trainer on this machine.",
        _codes("0404 0406 0410 0606"),
    ),
)
