"""How a training is spread over devices and processes: the strategies of tf.distribute, by name.

Every replica of the network takes an equal part of each batch; the update is that of the whole batch, within
the rounding of float32 sums in another order. What a layer or a loss reads off a *batch* it reads off its
replica's part: batch normalization, and the correlations of the loss `dist`. The moving averages of batch
normalization become the mean of the replicas' at the end of every epoch.

Workers (`edgekd.training.workers`) all draw the same schedule, and each prepares its own part of each batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd import lazy
from edgekd.config import Strategy
from edgekd.console import log
from edgekd.data.batches import Draws
from edgekd.errors import DeviceError, UsageError
from edgekd.training.workers import read_place


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """The replicas a network is trained on: those of `strategy`, or the network itself (None).

    This process is number `worker` (from 0) of `workers`.
    """

    strategy: Any = None
    worker: int = 0
    workers: int = 1

    @property
    def replicas(self) -> int:
        """How many copies of the network learn together, over all workers."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy else 1

    def scope(self) -> AbstractContextManager[Any]:
        """Within it variables are made on every replica."""
        return self.strategy.scope() if self.strategy else nullcontext()

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch of `batch_size` that are this worker's.

        Raises:
            UsageError: the batch cannot be divided evenly over the replicas.
        """
        if batch_size % self.replicas:
            raise UsageError(
                f"batch_size {batch_size} cannot be divided evenly over {self.replicas} replicas: set it to "
                f"a multiple of {self.replicas}"
            )
        size = batch_size // self.workers
        return slice(self.worker * size, (self.worker + 1) * size)

    def own(self, shown: Draws, batch_size: int) -> Draws:
        """The part of the draws `shown`, in whole batches of `batch_size`, that is this worker's.

        Raises:
            UsageError: the batch cannot be divided evenly over the replicas.
        """
        rows = self.rows(batch_size)
        index, variant = (
            part.reshape(-1, batch_size)[:, rows].ravel() for part in (shown.index, shown.variant)
        )
        return Draws(index=index, variant=variant)

    def copy(self, model: Any) -> Any:
        """`model` on every replica, with its weights; `model` itself where there is no strategy."""
        if self.strategy is None:
            return model
        with self.scope():
            copied = lazy.keras().models.clone_model(model)
        for target, source in zip(copied.weights, model.weights, strict=True):
            target.assign(source.numpy())
        return copied

    def values(self, *arrays: NDArray[Any]) -> tuple[Any, ...]:
        """This worker's part of a batch as `run` takes it: rows in order, divided over its replicas."""
        if self.strategy is None:
            return arrays
        return tuple(self._divided(array) for array in arrays)

    def _divided(self, array: NDArray[Any]) -> Any:
        here = self.replicas // self.workers
        parts = np.split(array, here)
        return self._placed(lambda replica: parts[replica - self.worker * here])

    def run(self, step: Callable[..., Mapping[str, Any]], fed: Sequence[Any]) -> Mapping[str, Any]:
        """The scalars of `step`, which runs on every replica with its part of `fed`; summed over replicas."""
        if self.strategy is None:
            return step(*fed)
        found = self.strategy.run(step, args=tuple(fed))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in found.items()}

    def from_chief(self, array: NDArray[Any]) -> NDArray[Any]:
        """The chief's `array` (32 or 64 bits a number) on every worker; all give one of its shape."""
        if self.workers == 1:
            return array
        nothing = np.zeros_like(array)
        told = self._placed(lambda replica: nothing if replica else array)
        heard: NDArray[Any] = self.strategy.reduce("SUM", told, axis=None).numpy()
        return heard

    def bytes_from_chief(self, data: bytes) -> bytes:
        """The chief's `data` on every worker, whatever the others give."""
        if self.workers == 1:
            return data
        size = int(self.from_chief(np.array(len(data), np.int64)))
        if not size:  # TensorFlow 2.21 crashes when workers exchange an empty tensor
            return b""
        words = np.zeros(-(-size // 4), np.int32)
        if self.worker == 0:
            words = np.frombuffer(data.ljust(4 * len(words), b"\0"), np.int32)
        return self.from_chief(words).tobytes()[:size]

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Within it, losing another worker is a `DeviceError` of one line."""
        if self.workers == 1:
            yield
            return
        errors = lazy.tensorflow().errors
        lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.InternalError)
        try:
            yield
        except lost as error:
            raise DeviceError(
                f"worker {self.worker} of {self.workers} lost another one ({_first(error)}): start all of "
                "them again, training goes on after its last whole epoch"
            ) from error

    def _placed(self, value: Callable[[int], NDArray[Any]]) -> Any:
        """`value(replica)` on each replica of this worker; replicas are numbered over all workers."""
        constant = lazy.tensorflow().constant
        return self.strategy.experimental_distribute_values_from_function(
            lambda place: constant(value(place.replica_id_in_sync_group))
        )


ALONE = Spread()
"""One process, one network: no strategy at all."""


def open_strategy(name: Strategy) -> Spread:
    """The replicas that `name` stands for, on this machine or with the other workers.

    Raises:
        UsageError: TF_CONFIG is missing or malformed.
        DeviceError: there is no TPU, or the workers do not find each other.
    """
    return _OPEN[name]()


def announce(spread: Spread, batch_size: int) -> None:
    """Say in the log how a batch is divided, and what that changes.

    Raises:
        UsageError: it cannot be divided evenly over the replicas.
    """
    spread.rows(batch_size)
    if spread.strategy is not None:
        log.info(
            "%d replica(s) of %d images a batch each; batch normalization and the loss dist see theirs only",
            spread.replicas,
            batch_size // spread.replicas,
        )


@functools.cache  # a second strategy would number its exchanges like the first
def _mirrored() -> Spread:
    tf = lazy.tensorflow()
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    if not devices:
        devices = [device.name for device in tf.config.list_logical_devices("CPU")]
        log.info("mirrored: no GPU on this machine, %d replica(s) on the CPU", len(devices))
    return Spread(strategy=tf.distribute.MirroredStrategy(devices))


@functools.cache  # a process joins its cluster once
def _multiworker() -> Spread:
    worker, workers = read_place()
    log.info("worker %d of %d: waiting for the others", worker, workers)
    tf = lazy.tensorflow()
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise DeviceError(f"worker {worker} of {workers} cannot join the others: {_first(error)}") from error
    return Spread(strategy=strategy, worker=worker, workers=workers)


@functools.cache  # a TPU is initialized once
def _tpu() -> Spread:
    tf = lazy.tensorflow()
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Spread(strategy=tf.distribute.TPUStrategy(resolver))
    except (tf.errors.OpError, ImportError, RuntimeError, ValueError) as error:
        raise DeviceError(
            f"no TPU is to be found ({_first(error)}): name one in TPU_NAME, or choose another --strategy"
        ) from error


_OPEN: Mapping[Strategy, Callable[[], Spread]] = {
    Strategy.SINGLE: lambda: ALONE,
    Strategy.MIRRORED: _mirrored,
    Strategy.MULTIWORKER: _multiworker,
    Strategy.TPU: _tpu,
}


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0][:200]
