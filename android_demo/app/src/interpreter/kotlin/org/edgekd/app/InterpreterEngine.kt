package org.edgekd.app

import org.edgekd.core.Bundle
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineFacts
import org.edgekd.core.Quantization
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** TensorFlow Lite's interpreter, its XNNPACK kernels, [threads] threads of the CPU. */
internal class InterpreterEngine(bundle: Bundle, threads: Int) : Engine {
    private val interpreter = opened(bundle, threads)
    private val output = interpreter.getOutputTensor(0)
    private val quantization = output.quantizationParams().let { Quantization(it.scale, it.zeroPoint) }
    private val input = direct(interpreter.getInputTensor(0).numBytes())
    private val answer = direct(output.numBytes())
    private val real = answer.asFloatBuffer() // the same bytes; used where they are float32
    private val stored = ByteArray(output.numBytes())

    override val facts = EngineFacts(NAME, BuildConfig.TENSORFLOW_LITE_VERSION, KERNELS, threads, PhoneFacts.isa())
    override val inputPx: Int = interpreter.getInputTensor(0).shape()[1]
    override val logitCount: Int = output.numElements()

    init {
        val taken = interpreter.getInputTensor(0).dataType()
        if (interpreter.inputTensorCount != 1 || taken != DataType.UINT8) {
            close()
            throw EdgekdError.EngineMismatch("one input of uint8 is expected, it takes $taken")
        }
    }

    override fun feed(pixels: ByteArray) {
        input.rewind()
        input.put(pixels)
        input.rewind()
    }

    override fun invoke() {
        answer.rewind()
        try {
            interpreter.run(input, answer)
        } catch (error: RuntimeException) {
            throw EdgekdError.EngineFailed(error.message.orEmpty(), error)
        }
    }

    override fun read(logits: FloatArray) {
        if (output.dataType() == DataType.FLOAT32) {
            real.rewind()
            real.get(logits)
        } else {
            answer.rewind()
            answer.get(stored)
            quantization.dequantize(stored, output.dataType() == DataType.INT8, logits)
        }
    }

    override fun close() = interpreter.close()

    companion object {
        const val NAME: String = "tensorflow-lite"
        private const val KERNELS = "xnnpack"

        private fun opened(bundle: Bundle, threads: Int): Interpreter {
            val model = direct(bundle.modelSizeBytes.toInt())
            bundle.files.open(bundle.modelPath).use { model.put(it.readBytes()) }
            try {
                return Interpreter(model, Interpreter.Options().setNumThreads(threads).setUseXNNPACK(true))
            } catch (error: RuntimeException) {
                throw EdgekdError.EngineFailed(error.message.orEmpty(), error)
            } catch (error: UnsatisfiedLinkError) {
                throw EdgekdError.EngineFailed("its library is not made for this processor", error)
            }
        }

        private fun direct(size: Int): ByteBuffer = ByteBuffer.allocateDirect(size).order(ByteOrder.nativeOrder())
    }
}
