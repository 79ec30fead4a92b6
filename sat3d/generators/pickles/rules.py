"""The rule of what a name in a checkpoint may mean.

1. A name on the list below means a function of ours, which only makes data.
2. Any other name of Python's own library (`os`, `builtins`, `subprocess`, …) is refused where it stands, called or not.
3. Any other name is an inert `Reference`. An object made of it without a call (NEWOBJ, `copyreg._reconstructor`) is a
   class by pickle's own construction, and becomes an inert `Record`; calling it (REDUCE, INST, OBJ) is refused.

A call is what a function and a class with `__reduce__` look like alike, so both are refused: nothing that a generator
needs is written that way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sat3d.generators.pickles import tensors
from sat3d.generators.pickles.sources import Span
from sat3d.generators.pickles.tensors import ArrayRecord, Storage, StorageType, TensorRecord
from sat3d.generators.pickles.values import Budget, CheckpointError, Persistent, Record, Reference, checked_key

STANDARD = sys.stdlib_module_names | {"__builtin__", "copy_reg", "commands", "exceptions"}
# Classes of the standard library that stand in checkpoints as settings. They become records like unknown ones.
SETTINGS = {"argparse.Namespace", "types.SimpleNamespace"} | {
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("object", "dict", "list", "int", "float", "str")
}
LONGEST_NAME = 500
TENSORFLOW = ("dnnlib.tflib", "tfutil", "tensorflow")


@dataclass(frozen=True, slots=True)
class Function:
    """Stand for a name that is on the list.

    Args:
        name: of what the file asks for.
        run: what we do in its place.
        makes: whether it is a class whose empty objects are made without a call, too.
    """

    name: str
    run: Callable[..., Any]
    makes: bool = False


class CheckpointRules:
    """Decide what the names in a checkpoint mean.

    Args:
        budget: pays for what calls copy.
        nested: reads the bytes of a storage that were pickled as a file of their own.
        storage: finds a storage that the file keeps apart: takes key, type and number of elements.
    """

    def __init__(
        self,
        budget: Budget,
        nested: Callable[[bytes | Span], Any],
        storage: Callable[[str, StorageType, int], Storage] | None = None,
    ) -> None:
        self._budget, self._nested, self._storage = budget, nested, storage

    def find(self, module: str, name: str) -> Any:
        """Return what stands for a name.

        Raises:
            CheckpointError: if it is refused.
        """
        dotted = f"{module}.{name}"
        if len(dotted) > LONGEST_NAME or not dotted.isprintable():
            raise CheckpointError(f"a name of {len(dotted)} letters that are none: refused")
        if dotted == "torch.storage._load_from_bytes":
            return Function(dotted, self._load_from_bytes)
        if dotted in KNOWN:
            return KNOWN[dotted]
        if module.startswith(TENSORFLOW):
            raise CheckpointError(
                f"{dotted}: a pickle of the TensorFlow era, whose networks are Python source; convert it to a PyTorch "
                "pickle first (stylegan2-ada-pytorch has legacy.py for that)"
            )
        if dotted not in SETTINGS and module.split(".")[0] in STANDARD:
            raise CheckpointError(f"{dotted}: the file asks for it and no checkpoint needs it; refused, not executed")
        return Reference(module, name)

    def call(self, function: Any, args: Any) -> Any:
        """Return what stands for a call.

        Raises:
            CheckpointError: if the function is not on the list.
        """
        if type(args) is not tuple:
            raise CheckpointError("damaged pickle: a call without arguments")
        if isinstance(function, Function):
            for arg in args:
                self._budget.spend(_copied(arg))
            return function.run(*args)
        dotted = function.dotted if isinstance(function, Reference) else f"a {type(function).__name__}"
        raise CheckpointError(f"{dotted}: the file calls it and no checkpoint needs it; refused, not executed")

    def new(self, cls: Any, args: Any, kwargs: Any) -> Any:
        """Return what stands for a new object.

        Raises:
            CheckpointError: if `cls` is no class.
        """
        if type(args) is not tuple or type(kwargs) is not dict:
            raise CheckpointError("damaged pickle: an object without arguments")
        if isinstance(cls, Function) and cls.makes and not args and not kwargs:
            return cls.run()
        if isinstance(cls, Reference):
            return Record(cls, args, kwargs)
        dotted = cls.name if isinstance(cls, Function) else f"a {type(cls).__name__}"
        raise CheckpointError(f"{dotted}: the file makes an object of it, but it is no class; refused, not executed")

    def build(self, target: Any, state: Any) -> None:
        """Give an object its state.

        Raises:
            CheckpointError: if it takes none.
        """
        if isinstance(target, Record):
            target.state = state
        elif isinstance(target, ArrayRecord) and type(state) is tuple and len(state) == 5:
            target.build(state[1], state[2], "F" if state[3] else "C", state[4])
        elif isinstance(target, np.dtype):
            if type(state) is not tuple or state[1:2] not in (("<",), ("|",), ("=",)) or state[2:5] != (None,) * 3:
                raise CheckpointError("a numpy dtype other than plain numbers in this machine's byte order: refused")
        elif not isinstance(target, dict | TensorRecord):  # what hangs on those besides their content is dropped
            raise CheckpointError(f"damaged pickle: a {type(target).__name__} is given a state")

    def persistent(self, identity: Any) -> Any:
        """Return what the file keeps elsewhere: a storage, or the class of a module.

        Raises:
            CheckpointError: if it is neither.
        """
        if type(identity) is tuple and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # (module, class, file, source): the source is dropped unread
        if self._storage is None or type(identity) is not tuple or len(identity) < 5 or identity[0] != "storage":
            raise CheckpointError("damaged: the file keeps something elsewhere that is no storage")
        _, kind, key, _, count, *view = identity  # the device is dropped: everything goes to the CPU
        if not isinstance(kind, StorageType) or type(key) is not str or type(count) is not int or any(view):
            raise CheckpointError(f"{getattr(kind, 'dotted', 'damaged')}: a storage that is of no known type; refused")
        return self._storage(key, kind, count)

    def _load_from_bytes(self, data: Any) -> Any:
        if not isinstance(data, bytes | Span):
            raise CheckpointError("damaged: a storage without bytes")
        return self._nested(data)


def _copied(arg: Any) -> int:
    """Say what copying an argument may cost, in instructions: the file can name one long value many times."""
    if isinstance(arg, str | bytes):
        return len(arg) // 16
    return len(arg) if isinstance(arg, list | tuple | dict | set | frozenset) else 0


def _persistent(meta: Any) -> Persistent:
    if type(meta) is not dict or meta.get("type") != "class" or type(meta.get("class_name")) is not str:
        raise CheckpointError("a persistent object without class_name: refused")
    if len(meta["class_name"]) > LONGEST_NAME or not meta["class_name"].isprintable():
        raise CheckpointError(f"a class_name of {len(meta['class_name'])} letters that are none: refused")
    state = meta.get("state")
    if type(state) is not dict:
        raise CheckpointError(f"the persistent object {meta['class_name']} has no state: refused")
    return Persistent(meta["class_name"], state)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, dtype: Any = None) -> TensorRecord:
    if not isinstance(storage, Storage) or type(shape) is not tuple or type(stride) is not tuple:
        raise CheckpointError("damaged: a tensor without storage, sizes or strides")
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise CheckpointError("damaged: a tensor whose dtype is none")
    return TensorRecord(storage, offset, shape, stride, dtype or storage.dtype)


def _tensor_v2(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRecord:
    return _tensor(storage, offset, shape, stride)


def _tensor_v3(storage: Any, offset: Any, shape: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any) -> Any:
    return _tensor(storage, offset, shape, stride, dtype)


def _parameter(data: Any, *_: Any) -> TensorRecord:
    if not isinstance(data, TensorRecord):
        raise CheckpointError("damaged: a parameter that is no tensor")
    return data


def _typed(function: Any, _type: Any, args: Any, _state: Any) -> Any:
    if not (isinstance(function, Function) and function.name.startswith("torch._utils.") and type(args) is tuple):
        raise CheckpointError("damaged: a tensor of a class that is made in an unknown way")
    return function.run(*args)


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    pairs = pairs.items() if type(pairs) is dict else pairs
    return {checked_key(key): value for key, value in pairs}


def _set(items: Any = ()) -> set[Any]:
    return set(map(checked_key, items))


def _default_dict(_factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    return _dict(pairs)


def _reconstructor(cls: Any, _base: Any, state: Any) -> Any:
    if isinstance(cls, Function) and cls.makes:
        return cls.run() if state is None else cls.run(state)
    if not isinstance(cls, Reference):
        raise CheckpointError("damaged: an object without a class")
    return Record(cls, () if state is None else (state,))


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise CheckpointError("_codecs.encode: only bytes written as text are known; refused")
    return text.encode("latin-1")


def _size(sizes: Any = ()) -> tuple[Any, ...]:
    return tuple(sizes)


def _device(kind: Any, index: Any = None) -> str:
    if type(kind) is not str:
        raise CheckpointError("damaged: a device without a name")
    return kind if index is None else f"{kind}:{index}"


def _array(*_: Any) -> ArrayRecord:
    return ArrayRecord()


def _array_from_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> ArrayRecord:
    array = ArrayRecord()
    array.build(shape, dtype, "F" if order == "F" else "C", data)
    return array


def _numpy_dtype(code: Any, *_: Any) -> Any:
    return tensors.numpy_dtype(code)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent,
    "torch._utils._rebuild_tensor": _tensor_v2,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch.Size": _size,
    "torch.device": _device,
    "numpy.dtype": _numpy_dtype,
    **{
        f"{module}.{name}": run
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name, run in (("scalar", tensors.numpy_scalar), ("_reconstruct", _array))
    },
    "numpy.core.numeric._frombuffer": _array_from_bytes,
    "numpy._core.numeric._frombuffer": _array_from_bytes,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _reconstructor,
    "copy_reg._reconstructor": _reconstructor,
}
_CLASSES: dict[str, Callable[..., Any]] = {
    "dnnlib.util.EasyDict": _dict,
    "collections.OrderedDict": _dict,
    "collections.Counter": _dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.frozenset": _set,
}
KNOWN: dict[str, Any] = {
    **{name: Function(name, run) for name, run in _FUNCTIONS.items()},
    **{name: Function(name, run, makes=True) for name, run in _CLASSES.items()},
    **tensors.STORAGE_TYPES,
    **{f"torch.{name}": dtype for name, dtype in tensors.DTYPES.items()},
}
