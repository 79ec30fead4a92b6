"""Every instruction of pickle, as data: none of them imports or calls anything by itself."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any

from sat3d.generators.pickles.machine import Machine, pairs_of
from sat3d.generators.pickles.values import CheckpointError, checked_key

INTEGER = 1024
TEXT, TEXT_COST = 2**24, 256
SHORT = 256

Handler = Callable[[Machine], None]
_HANDLERS: dict[bytes, Handler] = {}


def _on(code: bytes) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS[code] = handler
        return handler

    return register


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _integer(data: bytes) -> int:
    if len(data) > INTEGER:
        raise CheckpointError(f"an integer of {len(data)} bytes: refused")
    return int.from_bytes(data, "little", signed=True)


def _integer_line(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line.removesuffix(b"L"))


def _quoted_line(line: bytes) -> str:
    if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1] or b"\\" in line:
        raise CheckpointError("damaged pickle: a string without quotes, or with escapes")
    return line[1:-1].decode("latin-1")


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _register_tables() -> None:
    """Register the instructions that only put a value on the stack, or use the memo."""
    for code, value in ((pickle.NONE, None), (pickle.NEWTRUE, True), (pickle.NEWFALSE, False)):
        _HANDLERS[code] = lambda m, value=value: m.push(value)  # type: ignore[misc]
    _HANDLERS[pickle.EMPTY_TUPLE] = lambda m: m.push(())
    for code, make in ((pickle.EMPTY_LIST, list), (pickle.EMPTY_DICT, dict), (pickle.EMPTY_SET, set)):
        _HANDLERS[code] = lambda m, make=make: m.push(make())  # type: ignore[misc]
    for code, form in ((pickle.BININT, "<i"), (pickle.BININT1, "<B"), (pickle.BININT2, "<H"), (pickle.BINFLOAT, ">d")):
        packed = struct.Struct(form)
        _HANDLERS[code] = lambda m, p=packed: m.push(p.unpack(m.read(p.size))[0])  # type: ignore[misc]
    counted: tuple[tuple[bytes, int, Callable[[bytes], Any]], ...] = (
        (pickle.SHORT_BINUNICODE, 1, _text), (pickle.BINUNICODE, 4, _text), (pickle.BINUNICODE8, 8, _text),
        (pickle.SHORT_BINSTRING, 1, _latin), (pickle.BINSTRING, 4, _latin),
        (pickle.LONG1, 1, _integer), (pickle.LONG4, 4, _integer),
    )  # fmt: skip
    for code, width, convert in counted:
        _HANDLERS[code] = lambda m, w=width, c=convert: m.push(c(_bounded(m, m.number(w))))  # type: ignore[misc]
    wide = {pickle.SHORT_BINBYTES: 1, pickle.BINBYTES: 4, pickle.BINBYTES8: 8, pickle.BYTEARRAY8: 8}
    for code, width in wide.items():
        _HANDLERS[code] = lambda m, w=width: _push_bytes(m, m.number(w))  # type: ignore[misc]
    lines: tuple[tuple[bytes, Callable[[bytes], Any]], ...] = (
        (pickle.INT, _integer_line), (pickle.LONG, _integer_line), (pickle.FLOAT, float), (pickle.STRING, _quoted_line),
        (pickle.UNICODE, lambda line: line.decode("raw-unicode-escape")),
    )  # fmt: skip
    for code, read in lines:
        _HANDLERS[code] = lambda m, read=read: m.push(read(m.line()))  # type: ignore[misc]
    _HANDLERS[pickle.GET] = lambda m: _get(m, int(m.line()))
    _HANDLERS[pickle.PUT] = lambda m: _put(m, int(m.line()))
    for get, put, width in ((pickle.BINGET, pickle.BINPUT, 1), (pickle.LONG_BINGET, pickle.LONG_BINPUT, 4)):
        _HANDLERS[get] = lambda m, w=width: _get(m, m.number(w))  # type: ignore[misc]
        _HANDLERS[put] = lambda m, w=width: _put(m, m.number(w))  # type: ignore[misc]
    _HANDLERS[pickle.MEMOIZE] = lambda m: _put(m, len(m.memo))
    for code, count in ((pickle.TUPLE1, 1), (pickle.TUPLE2, 2), (pickle.TUPLE3, 3)):
        _HANDLERS[code] = lambda m, n=count: m.push(tuple(m.pop() for _ in range(n))[::-1])  # type: ignore[misc]


def _bounded(machine: Machine, count: int) -> bytes:
    if count > TEXT:
        raise CheckpointError(f"a text of {count} bytes: refused")
    machine.budget.spend(count // TEXT_COST)
    return machine.read(count)


def _push_bytes(machine: Machine, count: int) -> None:
    span = machine.span(count)
    machine.push(span.bytes() if count <= SHORT else span)


def _get(machine: Machine, index: int) -> None:
    if index not in machine.memo:
        raise CheckpointError(f"damaged pickle: value {index} is used before it is there")
    machine.push(machine.memo[index])


def _put(machine: Machine, index: int) -> None:
    machine.memo[index] = machine.top()


_register_tables()


@_on(pickle.PROTO)
def _proto(machine: Machine) -> None:
    if (version := machine.number(1)) > pickle.HIGHEST_PROTOCOL:
        raise CheckpointError(f"pickle protocol {version} is not known")


@_on(pickle.FRAME)
def _frame(machine: Machine) -> None:
    machine.data.part(machine.at, machine.number(8))


@_on(pickle.MARK)
def _mark(machine: Machine) -> None:
    machine.marks.append(len(machine.stack))


@_on(pickle.POP)
def _pop(machine: Machine) -> None:
    machine.pop()


@_on(pickle.POP_MARK)
def _pop_mark(machine: Machine) -> None:
    machine.pop_marked()


@_on(pickle.DUP)
def _dup(machine: Machine) -> None:
    machine.push(machine.top())


@_on(pickle.TUPLE)
def _tuple(machine: Machine) -> None:
    machine.push(tuple(machine.pop_marked()))


@_on(pickle.LIST)
def _list(machine: Machine) -> None:
    machine.push(machine.pop_marked())


@_on(pickle.DICT)
def _dict(machine: Machine) -> None:
    machine.push(dict(pairs_of(machine.pop_marked())))


@_on(pickle.FROZENSET)
def _frozenset(machine: Machine) -> None:
    machine.push(frozenset(map(checked_key, machine.pop_marked())))


@_on(pickle.APPEND)
def _append(machine: Machine) -> None:
    machine.extend([machine.pop()])


@_on(pickle.APPENDS)
@_on(pickle.ADDITEMS)
def _appends(machine: Machine) -> None:
    machine.extend(machine.pop_marked())


@_on(pickle.SETITEM)
def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.update([key, value])


@_on(pickle.SETITEMS)
def _set_items(machine: Machine) -> None:
    machine.update(machine.pop_marked())


@_on(pickle.GLOBAL)
def _global(machine: Machine) -> None:
    module, name = _text(machine.line()), _text(machine.line())
    machine.push(machine.rules.find(module, name))


@_on(pickle.STACK_GLOBAL)
def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if type(module) is not str or type(name) is not str:
        raise CheckpointError("damaged pickle: a name that is no text")
    machine.push(machine.rules.find(module, name))


@_on(pickle.INST)
def _inst(machine: Machine) -> None:
    function = machine.rules.find(_text(machine.line()), _text(machine.line()))
    machine.push(machine.rules.call(function, tuple(machine.pop_marked())))


@_on(pickle.OBJ)
def _obj(machine: Machine) -> None:
    function, *args = machine.pop_marked()
    machine.push(machine.rules.call(function, tuple(args)))


@_on(pickle.REDUCE)
def _reduce(machine: Machine) -> None:
    args, function = machine.pop(), machine.pop()
    machine.push(machine.rules.call(function, args))


@_on(pickle.NEWOBJ)
def _newobj(machine: Machine) -> None:
    args, cls = machine.pop(), machine.pop()
    machine.push(machine.rules.new(cls, args, {}))


@_on(pickle.NEWOBJ_EX)
def _newobj_ex(machine: Machine) -> None:
    kwargs, args, cls = machine.pop(), machine.pop(), machine.pop()
    machine.push(machine.rules.new(cls, args, kwargs))


@_on(pickle.BUILD)
def _build(machine: Machine) -> None:
    state = machine.pop()
    machine.rules.build(machine.top(), state)


@_on(pickle.BINPERSID)
def _binpersid(machine: Machine) -> None:
    machine.push(machine.rules.persistent(machine.pop()))


@_on(pickle.PERSID)
def _persid(machine: Machine) -> None:
    machine.push(machine.rules.persistent(machine.line().decode("ascii")))


def run(machine: Machine) -> Any:
    """Read one pickle as data; `machine.at` is behind its last byte then.

    Raises:
        CheckpointError: whatever is wrong with it.
    """
    while True:
        start = machine.at
        code = machine.read(1)
        machine.budget.spend()
        if code == pickle.STOP:
            return machine.pop()
        handler = _HANDLERS.get(code)
        if handler is None:
            raise CheckpointError(f"no pickle, or a damaged one: instruction {code!r} at byte {start}")
        try:
            handler(machine)
        except CheckpointError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"damaged pickle: {error} at byte {start}") from error
