package org.edgekd.core

/**
 * The program and the hardware that compute: what has to stand beside every figure.
 *
 * [kernels] is the set of implementations ([name] of LiteRT on a processor: "xnnpack"), [isa] the machine and
 * its instruction sets, [accelerator] what **really** does the work: "cpu", or the name of the GPU.
 */
public class EngineFacts(
    public val name: String,
    public val version: String,
    public val kernels: String,
    public val threads: Int,
    public val isa: String,
    public val accelerator: String = "cpu",
)

/**
 * An engine that holds one model with one image input, perhaps a patient vector beside it, and one output vector.
 *
 * The three steps are apart so that each can be timed by itself. They allocate nothing: buffers are made when
 * the engine is opened. One thread at a time.
 *
 * An engine that cannot do what was asked for throws [EdgekdError.AcceleratorUnavailable] when it is opened;
 * it never falls back to another one.
 */
public interface Engine : AutoCloseable {
    public val facts: EngineFacts

    /** The side of the square input, in pixels. */
    public val inputPx: Int

    /** The length of the patient vector that the second input takes; 0 for a model of pictures alone. */
    public val patientLength: Int

    /** The number of outputs. */
    public val logitCount: Int

    /**
     * Places a picture, RGB bytes [inputPx, inputPx, 3], into the one input and the [patientLength] bytes of
     * [patient], as [PatientInput] makes them, into the other.
     */
    public fun feed(pixels: ByteArray, patient: ByteArray)

    /**
     * Runs the network once; returns when the answer can be read. A GPU that only queues the work has to be
     * waited for here, or its time would be missing from every figure.
     *
     * @throws EdgekdError.EngineFailed an operation failed
     */
    public fun invoke()

    /** Writes the answer of the last run to [logits]: real values, after dequantization. */
    public fun read(logits: FloatArray)

    override fun close()
}

/** The quantization of a tensor: real value = [scale] · (stored − [zeroPoint]). */
public class Quantization(public val scale: Float, public val zeroPoint: Int) {
    /** Writes the real values of [stored] bytes ([signed] or not) to [into], in Python's float32 arithmetic. */
    public fun dequantize(stored: ByteArray, signed: Boolean, into: FloatArray) {
        val mask = if (signed) -1 else 0xFF
        for (i in into.indices) into[i] = ((stored[i].toInt() and mask) - zeroPoint).toFloat() * scale
    }
}

/** Opens an engine on the model of a bundle; the benchmark opens one for every round. */
public interface EngineOpener {
    /** @throws EdgekdError the engine, its accelerator or the model cannot be had */
    public fun open(): Engine
}
