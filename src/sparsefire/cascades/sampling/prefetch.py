"""Ask for memory before it is needed: large graphs do not fit into the caches, and who comes next is known."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

AHEAD = 3  # rows that are asked for before their turn


def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Begin to load ``array[index]`` (one axis, contiguous) into the caches; changes nothing else."""
    signature = types.void(array, index)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        call = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0i8"
        )
        place = builder.bitcast(builder.gep(values.data, [arguments[1]]), byte)
        builder.call(call, [place, number(0), number(3), number(1)])  # to read, keep, data
        return context.get_dummy_value()

    return signature, code


prefetch: Any = intrinsic(_prefetch)
