"""How far a fault would get: `canaryfleet forecast --output json`."""

from typing import Annotated, Literal

from msgspec import Meta

from canaryfleet.models.base import ApiVersion, Model


class Estimate(Model, frozen=True, kw_only=True):
    """The mean of simulated runs."""

    value: float
    error: Annotated[
        float, Meta(description="Half of the interval that has the true mean in 95 of 100 forecasts.")
    ]


class Assumptions(Model, frozen=True, kw_only=True):
    """What the forecast supposes; times in seconds."""

    rate: Annotated[float, Meta(description="Requests a second of the fleet, shared by capacity.")]
    baseline: Annotated[float, Meta(description="Share of requests that fails anyway.")]
    errorsTimes: Annotated[float, Meta(description="By how much the fault multiplies that.")]
    after: Annotated[float, Meta(description="From a cluster's first requests until the fault shows.")]
    reaction: Annotated[float, Meta(description="From proof on a cluster until the others are back.")]
    startup: Annotated[float, Meta(description="Until a cluster's pods take requests.")]
    runs: int
    seed: int


class WaveForecast(Model, frozen=True, kw_only=True):
    """The runs that were stopped in a wave."""

    wave: str
    stopped: Annotated[Estimate, Meta(description="Probability that it is stopped there.")]
    share: Annotated[
        Estimate | None, Meta(description="Of all requests until all are back, those that the fault met.")
    ] = None
    shareP95: float | None = None
    requests: Annotated[Estimate | None, Meta(description="How many these are.")] = None
    seconds: Annotated[Estimate | None, Meta(description="From the first wave on until it is proven.")] = None
    secondsP95: float | None = None


class ThresholdForecast(Model, frozen=True, kw_only=True):
    """One threshold in one stage, on a cluster of the middle capacity of a wave, from the stage's start on."""

    wave: str
    stage: Annotated[str, Meta(examples=["5%", "bake"])]
    metric: str
    rollback: str | None = None
    cluster: str
    requests: Annotated[float, Meta(description="Mean of those behind one measurement.")]
    measurement: Annotated[
        float, Meta(description="Probability that one measurement notices the fault; exact.")
    ]
    falseAlarm: Annotated[float, Meta(description="The same without a fault; exact.")]
    stageNotices: Annotated[
        Estimate, Meta(description="Probability that the stage notices, background included.")
    ]


class Forecast(Model, frozen=True, kw_only=True):
    """How far a fault of a release would get. Each run ends stopped in a wave, held, or missed."""

    apiVersion: ApiVersion
    kind: Literal["Forecast"]
    app: str
    release: str
    assumptions: Assumptions
    waves: tuple[WaveForecast, ...]
    held: Annotated[
        Estimate,
        Meta(description="Probability that too little is proven: it stands, and goes back at its deadline."),
    ]
    missed: Annotated[
        Estimate, Meta(description="Probability that nothing notices, and all clusters have it.")
    ]
    share: Annotated[Estimate, Meta(description="Over all runs: of all requests, those that the fault met.")]
    shareP95: float
    canary: Annotated[Estimate, Meta(description="The same of the new version's requests.")]
    thresholds: tuple[ThresholdForecast, ...]
    unknown: Annotated[
        tuple[str, ...],
        Meta(description="Metrics whose distribution nobody knows: taken to be good at once."),
    ] = ()
    manual: Annotated[
        tuple[str, ...], Meta(description="Stages that wait for a person: taken to go on at once.")
    ] = ()
