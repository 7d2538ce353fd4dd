"""Figures about the running process: every name is declared at the end of this file and nowhere else.

Counters, gauges and histograms, safe from any thread, read as Prometheus text (`exposition`).
Source of the form: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
Labels never carry a person, a channel or a text: only names from settings and words from this repository.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence

SERIES_PER_METRIC_MAX = 1_000  # label values that grow without bound are a mistake in the program

Labels = tuple[str, ...]


class Registry:
    """The metrics one exposition shows, in the order they were declared."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, metric: Metric) -> None:
        assert metric.name not in self._metrics, f"metric {metric.name} is declared twice"
        self._metrics[metric.name] = metric

    def exposition(self) -> str:
        """Every metric as Prometheus text. One without a value yet shows its help and type only."""
        return "".join(f"{line}\n" for metric in self._metrics.values() for line in metric.lines())


REGISTRY = Registry()


class Metric(ABC):
    """A name with one value for each combination of label values."""

    type = "untyped"

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, registry: Registry = REGISTRY) -> None:
        self.name = name
        self._help = help
        self._labels = tuple(labels)
        self._lock = threading.Lock()
        registry.add(self)

    def lines(self) -> Iterator[str]:
        """The lines of the exposition."""
        yield f"# HELP {self.name} {_escaped(self._help)}"
        yield f"# TYPE {self.name} {self.type}"
        with self._lock:
            samples = list(self._samples())
        yield from samples

    @abstractmethod
    def _samples(self) -> Iterator[str]:
        """The lines with values; called with the lock held."""

    def _key(self, labels: dict[str, str]) -> Labels:
        assert labels.keys() == set(self._labels), f"{self.name} has the labels {self._labels}, not {tuple(labels)}"
        return tuple(labels[label] for label in self._labels)

    def _sample(self, key: Labels, value: float, *, suffix: str = "", extra: str = "") -> str:
        pairs = [f'{label}="{_escaped_label(text)}"' for label, text in zip(self._labels, key, strict=True)]
        inside = ",".join([*pairs, *([extra] if extra else [])])
        return (
            f"{self.name}{suffix}{{{inside}}} {_number(value)}" if inside else f"{self.name}{suffix} {_number(value)}"
        )


class _Single(Metric):
    """What counters and gauges share: one number a series."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, registry: Registry = REGISTRY) -> None:
        super().__init__(name, help, labels, registry=registry)
        self._values: dict[Labels, float] = {}

    def value(self, **labels: str) -> float:
        """The number now; 0 before the first change."""
        with self._lock:
            return self._values.get(self._key(labels), 0.0)

    def _samples(self) -> Iterator[str]:
        for key, value in sorted(self._values.items()):
            yield self._sample(key, value)


class Counter(_Single):
    """A number that only grows."""

    type = "counter"

    def inc(self, amount: float = 1.0, **labels: str) -> None:
        """Count `amount` more."""
        assert amount >= 0, f"{self.name} only grows"
        key = self._key(labels)
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + amount
            assert len(self._values) <= SERIES_PER_METRIC_MAX, f"{self.name} has too many series"


class Gauge(_Single):
    """A number that goes up and down."""

    type = "gauge"

    def set(self, value: float, **labels: str) -> None:
        """Replace the number."""
        key = self._key(labels)
        with self._lock:
            self._values[key] = value
            assert len(self._values) <= SERIES_PER_METRIC_MAX, f"{self.name} has too many series"


class Histogram(Metric):
    """How often a value fell at or under each bound, with sum and count."""

    type = "histogram"

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        registry: Registry = REGISTRY,
    ) -> None:
        super().__init__(name, help, labels, registry=registry)
        assert list(bounds) == sorted(set(bounds)), f"the bounds of {name} do not rise"
        self._bounds = tuple(bounds)
        self._series: dict[Labels, tuple[list[int], float]] = {}

    def observe(self, value: float, **labels: str) -> None:
        """Count one value."""
        key = self._key(labels)
        with self._lock:
            counts, total = self._series.get(key, ([0] * (len(self._bounds) + 1), 0.0))
            counts[bisect_left(self._bounds, value)] += 1
            self._series[key] = (counts, total + value)
            assert len(self._series) <= SERIES_PER_METRIC_MAX, f"{self.name} has too many series"

    def count(self, **labels: str) -> int:
        """How many values were counted."""
        with self._lock:
            counts, _ = self._series.get(self._key(labels), ([], 0.0))
            return sum(counts)

    def _samples(self) -> Iterator[str]:
        for key, (counts, total) in sorted(self._series.items()):
            reached = 0
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), counts, strict=True):
                reached += count
                yield self._sample(key, reached, suffix="_bucket", extra=f'le="{bound}"')
            yield self._sample(key, total, suffix="_sum")
            yield self._sample(key, reached, suffix="_count")


def exposition() -> str:
    """Every declared metric as Prometheus text."""
    return REGISTRY.exposition()


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escaped_label(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


# --- every name --------------------------------------------------------------------------------
MODEL_CHOICES = Counter(
    "instar_model_choices_total", "What the router did with a model in a request.", ("model", "outcome")
)
MODEL_RETRIES = Counter(
    "instar_model_retries_total", "Requests sent again before the first event, by error code.", ("model", "code")
)
MODEL_FIRST_EVENT_S = Histogram(
    "instar_model_first_event_seconds",
    "Time from the request to the first event of the reply.",
    ("model",),
    bounds=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
MODEL_RESTING = Gauge(
    "instar_model_resting", "1 while the breaker keeps requests away from a model, else 0.", ("model",)
)
