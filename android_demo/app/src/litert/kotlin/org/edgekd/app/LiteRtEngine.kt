package org.edgekd.app

import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineFacts
import org.edgekd.core.Quantization

/** A model that LiteRT compiled for one accelerator; what its buffers hold, [model] says. */
internal class LiteRtEngine(
    private val environment: Environment,
    private val compiled: CompiledModel,
    private val model: TfliteFacts,
    override val facts: EngineFacts,
) : Engine {
    private val inputs = compiled.createInputBuffers()
    private val outputs = compiled.createOutputBuffers()
    private val quantization = Quantization(model.output.scale, model.output.zeroPoint)
    private var stored = ByteArray(0)
    private var real = FloatArray(0)

    override val inputPx: Int = model.places.px
    override val patientLength: Int = model.places.patientLength
    override val logitCount: Int = model.output.shape.last()

    init {
        if (model.inputs.any { it.type != TfliteFacts.UINT8 }) {
            close()
            throw EdgekdError.EngineMismatch("inputs of uint8 are expected")
        }
    }

    override fun feed(pixels: ByteArray, patient: ByteArray) = doing {
        inputs[model.places.image].writeInt8(pixels)
        model.places.patient?.let { inputs[it].writeInt8(patient) }
    }

    /** Runs and fetches the answer: on a GPU the run alone only queues the work. */
    override fun invoke() = doing {
        compiled.run(inputs, outputs)
        if (model.output.type == TfliteFacts.FLOAT32) real = outputs[0].readFloat() else stored = outputs[0].readInt8()
    }

    override fun read(logits: FloatArray) {
        if (model.output.type == TfliteFacts.FLOAT32) {
            real.copyInto(logits)
        } else {
            quantization.dequantize(stored, model.output.type == TfliteFacts.INT8, logits)
        }
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        compiled.close()
        environment.close()
    }

    private inline fun doing(step: () -> Unit) = try {
        step()
    } catch (error: LiteRtException) {
        throw EdgekdError.EngineFailed(error.message.orEmpty(), error)
    }
}
