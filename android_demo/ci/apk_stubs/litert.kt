/**
 * The part of LiteRT's Kotlin interface that app/src/litert calls, as signatures alone: nothing here runs and
 * nothing of it is packed. The library comes from Google's Maven repository only; where that cannot be reached,
 * this lets the compiler check our own code. Written by hand after com.google.ai.edge.litert 2.3; it cannot
 * prove that the library still looks so: a Gradle build does.
 */
@file:Suppress("unused", "UNUSED_PARAMETER")

package com.google.ai.edge.litert

import android.content.res.AssetManager

class LiteRtException(message: String) : Exception(message)

enum class Accelerator { NONE, CPU, GPU, NPU }

abstract class JniHandle : AutoCloseable {
    external override fun close()
}

class Environment private constructor() : JniHandle() {
    external fun getAvailableAccelerators(): Set<Accelerator>

    companion object {
        @JvmStatic
        external fun create(): Environment
    }
}

class TensorBuffer private constructor() : JniHandle() {
    external fun writeInt8(data: ByteArray)

    external fun readInt8(): ByteArray

    external fun readFloat(): FloatArray
}

class CompiledModel private constructor() : JniHandle() {
    class CpuOptions(val numThreads: Int?, val xnnPackFlags: Int?, val xnnPackWeightCachePath: String?)

    class Options(vararg accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
    }

    external fun createInputBuffers(): List<TensorBuffer>

    external fun createOutputBuffers(): List<TensorBuffer>

    external fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>)

    companion object {
        @JvmStatic
        external fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options,
            optionalEnv: Environment?,
        ): CompiledModel
    }
}
