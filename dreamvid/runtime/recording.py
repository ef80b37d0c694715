"""Record the operators that a function of tensors calls, and call them again without Python.

A gradient of a small image is some 250 operators of a few microseconds each; a third of its time passes in Python,
which also keeps other threads from running. So the operators are recorded once for each shape of the arguments, as a
graph of TorchScript, and later calls are one call of its interpreter: the same operators in the same order, and so the
same bits. TorchScript is deprecated as a language, and what builds its graphs is private to PyTorch. Where it is gone
or fails, the function is called as before.
"""

import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.jit import optimized_execution  # type: ignore[attr-defined]
from torch.utils._python_dispatch import TorchDispatchMode

from dreamvid.runtime.device import out_of_memory

# Each is a graph of some 250 nodes; a live session may go through many sizes.
_MOST_RECORDINGS = 32

_Shapes = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype], ...]


class Unrecordable(Exception):
    """A call depends on more than its arguments and the constants, or TorchScript cannot hold one of its operators."""


class RecordedCalls:
    """Calls a function of tensors that returns a new tensor; its third call with equal shapes is the first replayed.

    function: its operators depend on the shapes of its arguments alone. constants: returns the tensors that it reads
    besides its arguments; asked after a first call with the same shapes. A function that reads others is called as
    usual, and so is one whose replay does not give the same bits.
    """

    def __init__(self, function: Callable[..., Tensor], constants: Callable[[], Iterable[Tensor]]) -> None:
        self._function = function
        self._constants = constants
        self._replays: dict[_Shapes, Callable[..., Tensor] | None] = {}
        self._works: bool | None = None  # not known before the first recording

    def __call__(self, *arguments: Tensor) -> Tensor:
        """Compute function(*arguments), without gradients."""
        key = tuple((tuple(each.shape), each.stride(), each.dtype) for each in arguments)
        with torch.no_grad():
            if self._works is False:
                return self._function(*arguments)
            if key not in self._replays:
                self._remember(key, None)
                return self._function(*arguments)
            replay = self._replays.pop(key)
            if replay is None:
                return self._record(key, arguments)
            self._remember(key, replay)
            return replay(*arguments)

    def _remember(self, key: _Shapes, replay: Callable[..., Tensor] | None) -> None:
        self._replays[key] = replay  # the latest comes last
        if len(self._replays) > _MOST_RECORDINGS:
            del self._replays[next(iter(self._replays))]

    def _record(self, key: _Shapes, arguments: Sequence[Tensor]) -> Tensor:
        """Record a call and return its result."""
        try:
            recorder = _Recorder([*arguments, *self._constants()])
            with recorder:
                result = self._function(*arguments)
            replay = recorder.replay(result, len(arguments))
            if self._works is None:
                self._works = torch.equal(replay(*arguments), result)
        except (Unrecordable, AttributeError, RuntimeError, TypeError) as error:
            if out_of_memory(error):
                raise
            self._works = False
            warnings.warn(f"gradients are slower: PyTorch's operators cannot be recorded ({error})", stacklevel=2)
            return self._function(*arguments)
        self._remember(key, replay)
        return result


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds each operator that is called within the context to a graph; `known`: what the operators may read."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._graph: Any = torch._C.Graph()
        self._known = list(known)
        # By identity. An identity may be used again for another tensor, so the value counts only while its own lives.
        self._values: dict[int, tuple[weakref.ref[Tensor], Any]] = {}
        self._constants: dict[tuple[str, ...], Any] = {}
        for tensor in self._known:
            self._name(tensor, self._graph.addInput())

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # to be skipped by it, PyTorch would import its compiler: 1.3 seconds and 150 MB

    def replay(self, result: Tensor, arguments: int) -> Callable[..., Tensor]:
        """Return a function of the arguments, the first of what is known, that computes the result again."""
        self._graph.registerOutput(self._value_of(result))
        script: Any = torch._C._create_function_from_graph("recorded", self._graph)
        constants = tuple(self._known[arguments:])

        def call(*given: Tensor) -> Tensor:
            # Its optimizer would try variants in the first calls, and might choose other operators.
            with optimized_execution(False):
                found: Tensor = script(*given, *constants)
            return found

        return call

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        schema = func._schema
        for argument, value in zip(schema.arguments, args, strict=False):
            given[argument.name] = value
        inputs = [
            self._input(given.get(argument.name, argument.default_value), argument.type)
            for argument in schema.arguments
        ]
        result = func(*args, **(kwargs or {}))
        node = self._graph.create(schema.name, inputs, len(schema.returns))
        self._graph.appendNode(node)
        values, results = list(node.outputs()), result if isinstance(result, tuple) else (result,)
        for returned, value, tensor in zip(schema.returns, values, results, strict=True):
            if isinstance(tensor, Tensor):
                self._name(tensor, value)
            elif isinstance(tensor, list):
                value.setType(returned.type)
                unpacked = self._append("prim::ListUnpack", [value], len(tensor))
                for part, each in zip(tensor, unpacked, strict=True):
                    self._name(part, each)
            elif tensor is not None:
                raise Unrecordable(f"{schema.name} returns no tensor")
        return result

    def _append(self, kind: str, inputs: Sequence[Any], outputs: int = 1) -> list[Any]:
        node = self._graph.create(kind, list(inputs), outputs)
        self._graph.appendNode(node)
        return list(node.outputs())

    def _name(self, tensor: Tensor, value: Any) -> None:
        self._values[id(tensor)] = weakref.ref(tensor), value

    def _value_of(self, tensor: Tensor) -> Any:
        found = self._values.get(id(tensor))
        if found is None or found[0]() is not tensor:
            raise Unrecordable("a tensor comes from elsewhere")
        return found[1]

    def _input(self, given: Any, kind: Any) -> Any:
        """Return the graph's value for an argument of an operator."""
        if isinstance(given, Tensor):
            return self._value_of(given)
        if isinstance(given, list | tuple) and any(isinstance(each, Tensor) for each in given):
            (value,) = self._append("prim::ListConstruct", [self._input(each, None) for each in given])
            value.setType(torch._C.ListType.ofTensors())
            return value
        key = type(given).__name__, repr(given), str(kind)
        if key not in self._constants:
            self._constants[key] = self._constant(given, kind)
        return self._constants[key]

    def _constant(self, given: Any, kind: Any) -> Any:
        if isinstance(given, list | tuple):
            if "Scalar" not in str(kind) and "number" not in str(kind):
                return self._graph.insertConstant(list(given))
            (value,) = self._append("prim::ListConstruct", [self._input(each, None) for each in given])
            value.setType(kind)
            return value
        return self._graph.insertConstant(_MEMORY_FORMATS.get(given, given))


# As operators of TorchScript number them (c10/core/MemoryFormat.h).
_MEMORY_FORMATS: dict[object, int] = {
    torch.contiguous_format: 0,
    torch.preserve_format: 1,
    torch.channels_last: 2,
    torch.channels_last_3d: 3,
}
