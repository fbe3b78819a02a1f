package org.edgekd.jvm

import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import org.edgekd.core.EdgekdError

/**
 * The C interface of LiteRT that an engine needs, from the library `libLiteRt.so` of the Python wheel.
 *
 * Pointers and sizes are plain longs, so that a call boxes nothing and allocates nothing.
 */
@Suppress("FunctionName")
internal class LiteRt(library: String) {
    init {
        Native.register(LiteRt::class.java, NativeLibrary.getInstance(library))
    }

    external fun LiteRtCreateEnvironment(count: Int, options: Long, out: Long): Int
    external fun LiteRtDestroyEnvironment(environment: Long)
    external fun LiteRtCreateModelFromBuffer(environment: Long, bytes: Long, size: Long, out: Long): Int
    external fun LiteRtDestroyModel(model: Long)
    external fun LiteRtCreateOptions(out: Long): Int
    external fun LiteRtDestroyOptions(options: Long)
    external fun LiteRtSetOptionsHardwareAccelerators(options: Long, set: Int): Int
    external fun LiteRtCreateOpaqueOptions(identifier: Long, payload: Long, free: Long, out: Long): Int
    external fun LiteRtAddOpaqueOptions(options: Long, opaque: Long): Int
    external fun LiteRtCreateCompiledModel(environment: Long, model: Long, options: Long, out: Long): Int
    external fun LiteRtDestroyCompiledModel(compiled: Long)
    external fun LiteRtGetModelSignature(model: Long, index: Long, out: Long): Int
    external fun LiteRtGetNumSignatureInputs(signature: Long, out: Long): Int
    external fun LiteRtGetNumSignatureOutputs(signature: Long, out: Long): Int
    external fun LiteRtGetSignatureInputTensorByIndex(signature: Long, index: Long, out: Long): Int
    external fun LiteRtGetSignatureOutputTensorByIndex(signature: Long, index: Long, out: Long): Int
    external fun LiteRtGetRankedTensorType(tensor: Long, out: Long): Int
    external fun LiteRtGetQuantizationTypeId(tensor: Long, out: Long): Int
    external fun LiteRtGetPerTensorQuantization(tensor: Long, out: Long): Int
    external fun LiteRtGetCompiledModelInputBufferRequirements(
        compiled: Long,
        signature: Long,
        index: Long,
        out: Long,
    ): Int

    external fun LiteRtGetCompiledModelOutputBufferRequirements(
        compiled: Long,
        signature: Long,
        index: Long,
        out: Long,
    ): Int

    external fun LiteRtCreateManagedTensorBufferFromRequirements(
        environment: Long,
        type: Long,
        requirements: Long,
        out: Long,
    ): Int

    external fun LiteRtDestroyTensorBuffer(buffer: Long)
    external fun LiteRtLockTensorBuffer(buffer: Long, out: Long, mode: Int): Int
    external fun LiteRtUnlockTensorBuffer(buffer: Long): Int
    external fun LiteRtRunCompiledModel(
        compiled: Long,
        signature: Long,
        inputCount: Long,
        inputs: Long,
        outputCount: Long,
        outputs: Long,
    ): Int

    private val out = Memory(Native.POINTER_SIZE.toLong())

    /** The handle that a call hands out through its last argument. */
    inline fun made(what: String, call: (Long) -> Int): Long {
        check(what, call(address(out)))
        return out.getLong(0)
    }

    companion object {
        fun address(memory: Pointer): Long = Pointer.nativeValue(memory)

        fun text(value: String): Memory = Memory(value.length + 1L).also { it.setString(0, value, "US-ASCII") }

        fun check(what: String, status: Int) {
            if (status != 0) throw EdgekdError.EngineFailed("LiteRT could not $what (status $status)")
        }
    }
}
