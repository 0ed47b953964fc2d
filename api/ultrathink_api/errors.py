"""The registry of refusals: every UTKnnnn code once, and the shape in which all of UltraThink says no."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of refusal. Ranges: 01 spec, 02 data and model, 03 store, 04 running, 05 cluster, 06 command line."""

    code: str
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal: what, where, why and how to fix it."""

    code: str
    field: str
    message: str
    fix: str
    why: str = ""

    def dump(self) -> dict[str, str]:
        """JSON for programs."""
        return {
            "code": self.code,
            "field": self.field,
            "message": self.message,
            "fix": self.fix,
            **({"why": self.why} if self.why else {}),
        }

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{self.code} {where}{self.message} (fix: {self.fix})"


class Refused(Exception):
    """What was asked cannot be done; says why and what to do. Never shown as a traceback."""

    def __init__(self, *problems: Problem) -> None:
        assert problems, "a refusal needs a reason"
        super().__init__("; ".join(str(p) for p in problems))
        self.problems = problems

    @property
    def problem(self) -> Problem:
        """The first reason."""
        return self.problems[0]

    @classmethod
    def of(cls, code: str, *, message: str, fix: str, field: str = "", why: str = "") -> "Refused":
        """A refusal for one reason; the code must be in the registry."""
        assert code in CODES, f"{code} is not in the registry"
        return cls(Problem(code=code, field=field, message=message, fix=fix, why=why))


CODES: dict[str, Code] = {
    c.code: c
    for c in (
        Code("UTK0100", "NotYaml", "The file is not one YAML object"),
        Code("UTK0101", "WrongKind", "The object is not an UltraThinkJob"),
        Code("UTK0102", "UnknownField", "A field does not exist"),
        Code("UTK0103", "WrongType", "A field has the wrong type"),
        Code("UTK0104", "MissingField", "A field that has no default is missing"),
        Code("UTK0105", "OutOfRange", "A value is outside its limits"),
        Code("UTK0107", "ParallelismMismatch", "Parallelism does not match the number of workers"),
        Code("UTK0108", "WorldIndivisible", "The workers cannot be divided into tensor and pipeline groups"),
        Code("UTK0109", "NameUnfit", "The job's name does not fit the names made from it"),
        Code("UTK0110", "StepsOrTokens", "Training needs either steps or tokens"),
        Code("UTK0111", "WarmupTooLong", "Warm-up is longer than training"),
        Code("UTK0112", "BatchIndivisible", "The global batch is not a whole number of rows"),
        Code("UTK0113", "PrecisionNeedsCpu", "fp64 runs on CPU only"),
        Code("UTK0114", "KvHeadsIndivisible", "kvHeads does not divide heads"),
        Code("UTK0115", "TensorIndivisible", "Tensor parallelism does not divide the model"),
        Code("UTK0116", "PipelineTooDeep", "More pipeline stages than layers"),
        Code("UTK0117", "TopKTooLarge", "More experts a token than there are"),
        Code("UTK0118", "SequenceTooLong", "Rows are longer than the model's positions"),
        Code("UTK0119", "TiedPipeline", "Tied embeddings cannot be cut into pipeline stages yet"),
        Code("UTK0120", "HeadDimOdd", "Rotary embedding needs an even headDim"),
        Code("UTK0121", "PresetUnknown", "The preset does not exist"),
        Code("UTK0122", "SizesMissing", "Without a preset every size must be given"),
        Code("UTK0123", "CheckpointUriUnfit", "The checkpoint URI cannot be used"),
        Code("UTK0124", "ResumeUnfit", "resume.from cannot be understood"),
        Code("UTK0125", "ImmutableField", "A field cannot change once the job has started"),
        Code("UTK0126", "MicroBatchIndivisible", "The rows of a rank are not a whole number of micro-batches"),
        Code("UTK0127", "VocabularyUnfit", "The vocabulary cannot be cut over the tensor ranks"),
        Code("UTK0128", "CheckpointFileOnCluster", "A cluster cannot keep checkpoints in files"),
        Code("UTK0129", "RouterCannotLearn", "The router would get no gradient"),
        Code("UTK0130", "CancelIsFinal", "A cancelled job cannot go on"),
        Code("UTK0140", "GroupsUnfit", "The groups of experts do not fit"),
        Code("UTK0141", "ExpertIndivisible", "Expert parallelism does not divide the experts or the ranks of a stage"),
        Code("UTK0142", "EffortUnfit", "The budget of adaptive compute does not fit the model"),
        Code("UTK0143", "ContextIndivisible", "The rows cannot be cut over the context ranks"),
        Code("UTK0150", "RopeScalingUnfit", "The scaling of rotary positions is not whole"),
        Code("UTK0151", "ExpertLayersUnfit", "The blocks with experts are not blocks of the model"),
        Code("UTK0152", "ModelSaidTwice", "A model is either a preset or what a folder holds"),
        Code("UTK0153", "ModelFromUnfit", "model.from cannot be understood"),
        Code("UTK0154", "ModelFromContradicted", "A field contradicts the model that the job starts from"),
        Code("UTK0160", "RuntimeNotPermitted", "Who submits the job may not use the runtime that it names"),
        Code("UTK0161", "SubmitterForged", "The job says that somebody else has submitted it"),
        Code("UTK0170", "RuleWithoutCase", "A restart rule names no failure"),
        Code("UTK0171", "UserErrorRetried", "A restart rule would retry what is the job's own fault"),
        Code("UTK0172", "LogPatternUnfit", "A log pattern is not of the kind that is matched in linear time"),
        Code("UTK0173", "LadderUnfit", "The rungs of the ladder are not in order, or workers is missing"),
        Code("UTK0180", "EngineAxes", "The engine cannot cut the model along this axis"),
        Code("UTK0181", "EngineOptimizer", "The engine has not this optimizer"),
        Code("UTK0182", "EnginePrecision", "The engine does not compute in this precision"),
        Code("UTK0183", "ZeroWithoutDeepSpeed", "ZeRO is a setting of the engine deepspeed"),
        Code("UTK0190", "CheckpointUriUnclean", "The checkpoint URI holds an empty part"),
        Code("UTK0191", "ResumeClimbs", "resume.from climbs out of its folder"),
        Code("UTK0192", "MixtureRepeats", "A mixture names the same data twice"),
        Code("UTK0194", "EffortRepeats", "An effort is named twice"),
        Code("UTK0196", "NoMemory", "A worker is given no memory"),
        Code("UTK0197", "HangLimitsCrossed", "The longest silence allowed is below the shortest"),
        Code("UTK0198", "CopiesTooRare", "Copies in memory are rarer than checkpoints"),
        Code("UTK0201", "DataUnknown", "The data cannot be had"),
        Code("UTK0202", "VocabularyTooSmall", "The data has token ids that the model does not know"),
        Code("UTK0203", "DataChanged", "The checkpoint was made on other data"),
        Code("UTK0204", "DataExists", "A data set is there already"),
        Code("UTK0211", "DataIndexUnfit", "There is no finished data set"),
        Code("UTK0212", "ShardUnfit", "A token shard is missing or damaged"),
        Code("UTK0213", "TokenizersDiffer", "Data were made with another tokenizer"),
        Code("UTK0214", "DataUnsaid", "Data are either one URI or a mixture"),
        Code("UTK0215", "DataTooSmall", "The data have not one whole row"),
        Code("UTK0216", "DataFileOnCluster", "A cluster cannot read data from files"),
        Code("UTK0217", "MixtureUnfit", "A data set of the mixture cannot be read"),
        Code("UTK0218", "InputUnfit", "A file cannot be read as documents"),
        Code("UTK0219", "TokenizerUnfit", "The tokenizer cannot be used"),
        Code("UTK0220", "FamilyUnknown", "No family of models has this name"),
        Code("UTK0221", "ConfigUnfit", "The model says something that cannot be computed"),
        Code("UTK0222", "TensorLeft", "A file holds a tensor that the model has no place for"),
        Code("UTK0223", "TensorMissing", "A file lacks a tensor that the model needs"),
        Code("UTK0224", "TensorShape", "A tensor has another shape than the model's"),
        Code("UTK0225", "FamilyCannotExpress", "No family can say what this model is"),
        Code("UTK0226", "ModelFilesUnfit", "The folder holds no model in Hugging Face's layout"),
        Code("UTK0227", "ModelFolderOnCluster", "A cluster cannot read a model from a folder"),
        Code("UTK0230", "DataOther", "The data are not those that the job names"),
        Code("UTK0229", "CurriculumUnfit", "A stage of the curriculum does not fit the mixture"),
        Code("UTK0228", "ModelFolderChanged", "The folder holds another model than when the job was planned"),
        Code("UTK0301", "StoreLibraryMissing", "The library for this kind of store is not installed"),
        Code("UTK0302", "BucketMissing", "The bucket or folder does not exist"),
        Code("UTK0303", "WrongCredentials", "The store does not know these credentials"),
        Code("UTK0304", "StoreNotPermitted", "The store does not permit what a job must do there"),
        Code("UTK0305", "StoreUnreachable", "The store does not answer"),
        Code("UTK0306", "StoreFull", "The store has no space left"),
        Code("UTK0307", "StoreUnfit", "The store lacks something that safe checkpoints need"),
        Code("UTK0308", "StoreFailed", "The store refused a request"),
        Code("UTK0310", "CheckpointsExist", "The folder belongs to another job of this name"),
        Code("UTK0311", "CheckpointCorrupt", "Checkpoints exist and none of them is valid"),
        Code("UTK0312", "CheckpointMissing", "The checkpoint that was named does not exist"),
        Code("UTK0313", "LedgerCorrupt", "A record of the job in the store cannot be read"),
        Code("UTK0314", "CheckpointForeign", "The checkpoint belongs to another namespace"),
        Code("UTK0315", "AttemptSuperseded", "A newer attempt or owner has taken over"),
        Code("UTK0316", "CheckpointImmutable", "A checkpoint is never written twice"),
        Code("UTK0317", "CheckpointIncomplete", "The checkpoint cannot be committed as it is"),
        Code("UTK0318", "CheckpointOfAnotherModel", "The checkpoint belongs to another model"),
        Code("UTK0319", "CheckpointInUse", "The checkpoint is held on to"),
        Code("UTK0320", "LineageUnknown", "What a run was made from is not recorded"),
        Code("UTK0401", "UserError", "The job itself is wrong: a rank ended with exit code 64"),
        Code("UTK0402", "NoProgress", "The job failed again and again without a new checkpoint"),
        Code("UTK0403", "RestartBudgetSpent", "The job failed more often than its restart budget allows"),
        Code("UTK0404", "ChaosUnfit", "The fault to inject is unknown, or not there yet"),
        Code("UTK0405", "RayNotReady", "Ray did not start, or placed no worker, in time"),
        Code("UTK0406", "RunUnknown", "There is no local run with this uid to go on with"),
        Code("UTK0407", "SupervisorFailed", "The supervisor itself failed"),
        Code("UTK0408", "OutOfMemory", "Memory was short with one sequence at a time"),
        Code("UTK0409", "Diverged", "Steps were not finite again and again"),
        Code("UTK0410", "NotToRun", "The job says of itself that it is not to run"),
        Code("UTK0411", "RayTooOld", "The image's Ray is too old to be safe"),
        Code("UTK0412", "FailedByRule", "A restart rule of the job ends it"),
        Code("UTK0501", "KubeconfigMissing", "No cluster is configured"),
        Code("UTK0502", "ContextUnknown", "The kubeconfig cannot be used"),
        Code("UTK0503", "ClusterUnreachable", "The cluster does not answer"),
        Code("UTK0504", "Unauthorized", "The cluster does not know these credentials"),
        Code("UTK0505", "Forbidden", "The cluster does not permit this"),
        Code("UTK0506", "CrdMissing", "UltraThink is not installed on the cluster"),
        Code("UTK0507", "JobMissing", "There is no such job"),
        Code("UTK0508", "JobConflict", "Somebody else has changed the job"),
        Code("UTK0509", "NoOperator", "No operator watches the namespace"),
        Code("UTK0510", "AdmissionRefused", "The cluster refused the job"),
        Code("UTK0511", "ClusterFailed", "The cluster could not do what was asked"),
        Code("UTK0512", "NamespaceMissing", "The namespace does not exist"),
        Code("UTK0513", "NameAmbiguous", "The name fits more than one job"),
        Code("UTK0514", "JobEnded", "The job has ended"),
        Code("UTK0515", "JobHeld", "The job is not to be let go by hand"),
        Code("UTK0520", "NoStorage", "The job has no place for its checkpoints"),
        Code("UTK0521", "OperatorMisconfigured", "The operator was started with settings that cannot work"),
        Code("UTK0540", "OperatorOverstepped", "The operator asked for what no job needs"),
        Code("UTK0600", "CommandFailed", "The command itself failed"),
        Code("UTK0601", "FileMissing", "The file does not exist"),
        Code("UTK0602", "FileUnfit", "The file cannot be read as a job"),
        Code("UTK0603", "SetUnfit", "A value cannot be set there"),
        Code("UTK0604", "Usage", "The command line cannot be understood"),
        Code("UTK0605", "ConfirmationNeeded", "Nobody can be asked to confirm"),
        Code("UTK0606", "TrainerMissing", "The trainer is not installed on this machine"),
        Code("UTK0607", "FileExists", "The file exists already"),
        Code("UTK0608", "CodeUnknown", "There is no such code or topic"),
        Code("UTK0609", "TimedOut", "It did not happen in time"),
        Code("UTK0611", "GoalUnreachable", "What is waited for will never come"),
    )
}
