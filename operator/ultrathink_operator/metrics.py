"""The operator's own metrics, and the jobs' state as the stores hold it when somebody scrapes."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ultrathink_operator.observe import JobView
from ultrathink_operator.reflect import Reflector

QUEUE = "jobs"
"""The one queue, under the names that controller-runtime's dashboards look for."""
CONTROLLER = "ultrathinkjob"
JOB = ("namespace", "job")


class Metrics:
    """Counters that the rest of the operator moves."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        build = Gauge("ultrathink_operator_build_info", "This operator.", ["version"], registry=self.registry)
        build.labels(version("ultrathink")).set(1)
        self.leader = Gauge("ultrathink_operator_leader", "Whether this replica leads.", registry=self.registry)
        self.status_writes = self._counter("ultrathink_operator_status_writes", "Writes of a job's status.")
        self.requests = self._counter("rest_client_requests", "Requests to the API server.", "code", "method")
        self.request_seconds = self._histogram("rest_client_request_duration_seconds", "Time to an answer.", "method")
        self.adds = self._counter("workqueue_adds", "Wake-ups of jobs.", "name").labels(QUEUE)
        self.retries = self._counter("workqueue_retries", "Passes tried again.", "name").labels(QUEUE)
        self.queued = self._histogram("workqueue_queue_duration_seconds", "Wake-up to pass.", "name").labels(QUEUE)
        self.work = self._histogram("workqueue_work_duration_seconds", "Time of a pass.", "name").labels(QUEUE)
        self.depth = self._gauge("workqueue_depth", "Jobs that wait for a pass.", "name").labels(QUEUE)
        longest = "workqueue_longest_running_processor_seconds"
        self.longest = self._gauge(longest, "Age of the oldest pass under way.", "name").labels(QUEUE)
        self.passes = self._counter("controller_runtime_reconcile", "Passes.", "controller", "result")
        errors = self._counter("controller_runtime_reconcile_errors", "Failed passes.", "controller")
        self.errors = errors.labels(CONTROLLER)
        seconds = self._histogram("controller_runtime_reconcile_time_seconds", "Time of a pass.", "controller")
        self.pass_seconds = seconds.labels(CONTROLLER)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry)

    def count_request(self, method: str, code: str, seconds: float) -> None:
        self.requests.labels(code, method).inc()
        self.request_seconds.labels(method).observe(seconds)

    def count_pass(self, result: str, seconds: float) -> None:
        self.passes.labels(CONTROLLER, result).inc()
        self.work.observe(seconds)
        self.pass_seconds.observe(seconds)


class StateCollector(Collector):
    """Reads the stores at scrape time, so nothing has to be kept in step with them."""

    def __init__(
        self,
        jobs: Callable[[], Iterable[JobView]],
        reflectors: Iterable[Reflector],
        heard: Callable[[Reflector], float],
    ) -> None:
        self._jobs, self._reflectors, self._heard = jobs, tuple(reflectors), heard

    def collect(self) -> Iterable[Metric]:
        yield from self._of_watches()
        yield from self._of_jobs()

    def _of_watches(self) -> Iterable[Metric]:
        restarts = CounterMetricFamily("ultrathink_operator_watch_restarts", "Watches begun again.", labels=["kind"])
        stalls = CounterMetricFamily("ultrathink_operator_watch_stalls", "Watches that fell silent.", labels=["kind"])
        heard = GaugeMetricFamily(
            "ultrathink_operator_watch_last_event_timestamp_seconds", "Last event or bookmark.", labels=["kind"]
        )
        for one in self._reflectors:
            restarts.add_metric([one.name], one.restarts)
            stalls.add_metric([one.name], one.stalls)
            heard.add_metric([one.name], self._heard(one))
        yield from (restarts, stalls, heard)

    def _of_jobs(self) -> Iterable[Metric]:
        info = GaugeMetricFamily("ultrathink_job_info", "A job.", labels=[*JOB, "uid", "model", "parallelism"])
        phase = GaugeMetricFamily("ultrathink_job_phase", "Its phase.", labels=[*JOB, "phase"])
        condition = GaugeMetricFamily("ultrathink_job_condition", "What is true of it.", labels=[*JOB, "condition"])
        workers = GaugeMetricFamily("ultrathink_job_workers", "Its workers.", labels=[*JOB, "state"])
        attempts = CounterMetricFamily(
            "ultrathink_job_attempts", "Attempts by what ended them, of the last ten.", labels=[*JOB, "cause"]
        )
        for job in self._jobs():
            name, status = [job.meta.namespace, job.meta.name], job.status
            mesh = status.plan.mesh if status.plan else None
            axes = ("pipeline", "data", "context", "tensor")
            cut = ",".join(f"{axis}={getattr(mesh, axis)}" for axis in axes) if mesh else ""
            parameters = str(status.plan.parameters.total) if status.plan else ""
            info.add_metric([*name, job.meta.uid, parameters, cut], 1)
            if status.phase:
                phase.add_metric([*name, status.phase.value], 1)
            for one in status.conditions:
                if one.status == "True":
                    condition.add_metric([*name, one.type], 1)
            if status.workers:
                workers.add_metric([*name, "ready"], status.workers.ready)
                workers.add_metric([*name, "desired"], status.workers.desired)
            history = status.restarts.history if status.restarts else ()
            for cause, count in Tally(r.cause.value for r in history if r.cause).items():
                attempts.add_metric([*name, cause], count)
        yield from (info, phase, condition, workers, attempts)
