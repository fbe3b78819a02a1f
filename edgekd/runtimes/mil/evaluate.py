"""`Evaluator`: the output of an ML Program, its operations computed one after another in NumPy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ModelError
from edgekd.runtimes.mil.constexpr import CONSTEXPR
from edgekd.runtimes.mil.limits import MAX_LIVE_ELEMENTS, Work, check_size
from edgekd.runtimes.mil.operations import OPERATIONS, PRODUCTS
from edgekd.runtimes.mil.package import Package
from edgekd.runtimes.mil.spec import Dtype, Operation, Program, TensorType, Value
from edgekd.runtimes.mil.values import Values

CONST = "const"
_BROKEN = (
    *(ArithmeticError, AttributeError, IndexError, KeyError, MemoryError, OverflowError),
    *(RuntimeError, TypeError, ValueError),
)
"""What NumPy and Python raise when an operation's inputs are not what they should be."""


def unknown_operations(program: Program) -> tuple[str, ...]:
    """The operations of `program` that `Evaluator` cannot compute, sorted."""
    known = PRODUCTS.keys() | OPERATIONS.keys() | CONSTEXPR.keys() | {CONST}
    return tuple(sorted({operation.type for operation in program.operations} - known))


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation that depends on the input; `frees` are the values nobody needs after it."""

    operation: Operation
    constants: Mapping[str, Any]
    live: Mapping[str, tuple[str, ...]]
    frees: tuple[str, ...]


class Evaluator:
    """A program with its constants, ready to be computed for one input at a time.

    All arithmetic is float32, whatever the program declares. With `half`, every value that it declares
    float16 is rounded to half precision after it was computed (sums inside an operation are not).
    """

    def __init__(self, package: Package, program: Program, *, half: bool = False) -> None:
        """
        Raises:
            ModelError: an operation is not known, or a constant is damaged; the message names it.
        """
        self._name = str(package.folder)
        self._half = half
        self._held, self._work = 0, Work()
        self._constants: dict[str, Any] = {}
        self._types = dict(program.inputs)
        unknown = unknown_operations(program)
        if unknown:
            raise ModelError(f"{self._name}: cannot evaluate the operation {', '.join(unknown)}")
        values = Values(package)
        live = {name for name, _ in program.inputs}
        steps = [step for operation in program.operations if (step := self._prepare(operation, values, live))]
        self._outputs = program.outputs
        self._steps = _with_frees(steps, self._outputs)

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """The outputs for `inputs`, by name.

        Raises:
            ModelError: an operation failed, gave another shape than the program declares, or the program
                takes more memory or work than any image classifier.
        """
        work, values = Work(), dict(inputs)
        for name, type_ in self._types.items():
            _check(name, values[name], type_)
        held = sum(value.size for value in values.values())
        for step in self._steps:
            live = {
                key: [values[name] if name in values else self._constants[name] for name in names]
                for key, names in step.live.items()
            }
            results = self._compute(step.operation, step.constants, live, work)
            for (name, _), result in zip(step.operation.outputs, results, strict=True):
                values[name] = result
                held += result.size
            if held > MAX_LIVE_ELEMENTS:
                raise ModelError(f"{self._name}: more than {MAX_LIVE_ELEMENTS} elements at one time")
            held -= sum(values.pop(name).size for name in step.frees if name in values)
        return {name: self._output(name, values) for name in self._outputs}

    def _output(self, name: str, values: Mapping[str, Any]) -> NDArray[np.float32]:
        if name not in values and name not in self._constants:
            raise ModelError(f"{self._name}: nothing computes its output {name!r:.100}")
        return np.asarray(values[name] if name in values else self._constants[name], np.float32)

    def _prepare(self, operation: Operation, values: Values, live: set[str]) -> _Step | None:
        """The step of `operation`; None when it is constant and computed now."""
        try:
            constants, waiting = self._arguments(operation, values, live)
            if waiting:
                live.update(name for name, _ in operation.outputs)
                return _Step(operation, constants, waiting, ())
            results: tuple[Any, ...]
            if operation.type == CONST:
                results = (constants["val"],)
            elif operation.type in CONSTEXPR:
                results = (CONSTEXPR[operation.type](constants),)
            else:
                results = self._compute(operation, constants, {}, self._work)
            self._keep(operation, results)
        except (*_BROKEN, ModelError) as error:
            raise self._failure(operation, error) from error
        return None

    def _keep(self, operation: Operation, results: tuple[Any, ...]) -> None:
        for (name, _), result in zip(operation.outputs, results, strict=True):
            self._constants[name] = result
            self._held += np.size(result)
        if self._held > MAX_LIVE_ELEMENTS:
            raise ModelError(f"more than {MAX_LIVE_ELEMENTS} elements of constants")

    def _arguments(
        self, operation: Operation, values: Values, live: set[str]
    ) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
        constants: dict[str, Any] = {name: values.load(value) for name, value in operation.attributes.items()}
        waiting = {}
        for key, bindings in operation.inputs.items():
            names = [binding for binding in bindings if isinstance(binding, str)]
            if live.intersection(names):
                waiting[key] = self._named(bindings, values, live)
            else:
                found = [self._constant(binding, values) for binding in bindings]
                constants[key] = found if len(found) > 1 or key == "values" else found[0]
        return constants, waiting

    def _named(self, bindings: tuple[str | Value, ...], values: Values, live: set[str]) -> tuple[str, ...]:
        """Names only: a constant among live values gets a name of its own."""
        names = []
        for binding in bindings:
            if isinstance(binding, str) and binding in live:
                names.append(binding)
            else:
                names.append(f"\0constant {len(self._constants)}")
                self._constants[names[-1]] = self._constant(binding, values)
        return tuple(names)

    def _constant(self, binding: str | Value, values: Values) -> Any:
        if isinstance(binding, Value):
            return values.load(binding)
        if binding not in self._constants:
            raise ModelError(f"nothing computes {binding!r:.100} before it is used")
        return self._constants[binding]

    def _compute(
        self, operation: Operation, constants: Mapping[str, Any], live: Mapping[str, list[Any]], work: Work
    ) -> tuple[Any, ...]:
        arguments = dict(constants)
        for key, found in live.items():
            arguments[key] = found if len(found) > 1 or key == "values" else found[0]
        try:
            with np.errstate(all="ignore"):
                result = _apply(operation.type, arguments, work)
            results = result if isinstance(result, tuple) else (result,)
            if len(results) != len(operation.outputs):
                raise ModelError(f"{len(results)} results for {len(operation.outputs)} outputs")
            for value, (name, type_) in zip(results, operation.outputs, strict=True):
                work.spend(elements=np.size(value))
                _check(name, value, type_)
        except (*_BROKEN, ModelError) as error:
            raise self._failure(operation, error) from error
        return tuple(
            self._rounded(value, type_) for value, (_, type_) in zip(results, operation.outputs, strict=True)
        )

    def _rounded(self, value: Any, type_: TensorType) -> Any:
        if np.asarray(value).dtype == np.float64:
            value = value.astype(np.float32)
        if not self._half or type_.dtype is not Dtype.FLOAT16:
            return value
        with np.errstate(over="ignore"):
            return value.astype(np.float16).astype(np.float32)

    def _failure(self, operation: Operation, error: Exception) -> ModelError:
        text = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        if text.startswith(self._name):
            return ModelError(text)
        name = operation.outputs[0][0] if operation.outputs else ""
        return ModelError(f"{self._name}: operation {operation.type} {name!r:.100}: {text:.300}")


def _check(name: str, value: Any, type_: TensorType) -> None:
    check_size(np.shape(value))
    if np.shape(value) != type_.shape:
        raise ModelError(
            f"{name!r:.100} has shape {list(np.shape(value))}, the program declares {list(type_.shape)}"
        )


def _apply(kind: str, arguments: Mapping[str, Any], work: Work) -> Any:
    return PRODUCTS[kind](arguments, work) if kind in PRODUCTS else OPERATIONS[kind](arguments)


def _with_frees(steps: list[_Step], outputs: tuple[str, ...]) -> tuple[_Step, ...]:
    """The steps, each knowing which of its inputs and outputs nobody uses later."""
    uses = Counter(name for step in steps for names in step.live.values() for name in names)
    uses.update(outputs)
    planned = []
    for step in steps:
        taken = [name for names in step.live.values() for name in names]
        uses.subtract(taken)
        here = {*taken, *(name for name, _ in step.operation.outputs)}
        frees = tuple(sorted(name for name in here if uses[name] <= 0))
        planned.append(_Step(step.operation, step.constants, step.live, frees))
    return tuple(planned)
