package org.edgekd.app

import org.edgekd.core.Bundle
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineFacts
import org.edgekd.core.InputTensor
import org.edgekd.core.ModelInputs
import org.edgekd.core.Quantization
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** TensorFlow Lite's interpreter, its XNNPACK kernels, [threads] threads of the CPU. */
internal class InterpreterEngine(bundle: Bundle, threads: Int) : Engine {
    private val interpreter = opened(bundle, threads)
    private val places = places()
    private val output = interpreter.getOutputTensor(0)
    private val quantization = output.quantizationParams().let { Quantization(it.scale, it.zeroPoint) }
    private val image = direct(interpreter.getInputTensor(places.image).numBytes())
    private val person = places.patient?.let { direct(interpreter.getInputTensor(it).numBytes()) }
    private val inputs = Array<Any?>(interpreter.inputTensorCount) { if (it == places.image) image else person }
    private val answer = direct(output.numBytes())
    private val answers = mapOf<Int, Any>(0 to answer)
    private val real = answer.asFloatBuffer() // the same bytes; used where they are float32
    private val stored = ByteArray(output.numBytes())

    override val facts = EngineFacts(NAME, BuildConfig.TENSORFLOW_LITE_VERSION, KERNELS, threads, PhoneFacts.isa())
    override val inputPx: Int = places.px
    override val patientLength: Int = places.patientLength
    override val logitCount: Int = output.numElements()

    override fun feed(pixels: ByteArray, patient: ByteArray) {
        fill(image, pixels)
        person?.let { fill(it, patient) }
    }

    override fun invoke() {
        answer.rewind()
        try {
            interpreter.runForMultipleInputsOutputs(inputs, answers)
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

    private fun fill(buffer: ByteBuffer, bytes: ByteArray) {
        buffer.rewind()
        buffer.put(bytes)
        buffer.rewind()
    }

    /** Which input takes what; closes the interpreter where they are not what this engine can feed. */
    private fun places(): ModelInputs = try {
        ModelInputs.of((0 until interpreter.inputTensorCount).map { input(interpreter.getInputTensor(it)) })
    } catch (error: EdgekdError.EngineMismatch) {
        close()
        throw error
    }

    private fun input(tensor: Tensor): InputTensor {
        val taken = tensor.dataType()
        if (taken != DataType.UINT8) throw EdgekdError.EngineMismatch("inputs of uint8 are expected, it takes $taken")
        val steps = tensor.quantizationParams()
        val quantization = if (steps.scale == 0f) null else Quantization(steps.scale, steps.zeroPoint)
        return InputTensor(tensor.shape().toList(), signed = false, quantization)
    }

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
