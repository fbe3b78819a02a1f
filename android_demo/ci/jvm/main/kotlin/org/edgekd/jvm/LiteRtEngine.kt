package org.edgekd.jvm

import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.NativeLibrary
import com.sun.jna.Pointer
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineFacts
import org.edgekd.core.InputTensor
import org.edgekd.core.ModelInputs
import org.edgekd.core.Quantization
import org.edgekd.jvm.LiteRt.Companion.address
import org.edgekd.jvm.LiteRt.Companion.check

/**
 * LiteRT's CPU kernels (XNNPACK) on a JVM: the C library of the Python wheel [library], version [version], with
 * the model in the bytes [model].
 *
 * Inputs: one picture and perhaps one patient vector, uint8 or int8 (bytes less 128, as in Python). Output: one
 * vector, float32, uint8 or int8.
 */
public class LiteRtEngine(library: String, version: String, model: ByteArray, threads: Int = 1) : Engine {
    private val c = LiteRt(library)
    private val bytes = Memory(model.size.toLong()).also { it.write(0, model, 0, model.size) }
    private val environment = c.made("start") { c.LiteRtCreateEnvironment(0, 0, it) }
    private val handle = c.made("read the model") {
        c.LiteRtCreateModelFromBuffer(environment, address(bytes), bytes.size(), it)
    }
    private val options = c.made("make options") { c.LiteRtCreateOptions(it) }
    private val compiled: Long
    private val ports: List<Port>
    private val image: Port
    private val person: Port?
    private val output: Port
    private val inputs: Memory
    private val outputs = Memory(Native.POINTER_SIZE.toLong())

    override val facts: EngineFacts =
        EngineFacts("ai-edge-litert", version, "xnnpack", threads, System.getProperty("os.arch"))

    init {
        check("choose the processor", c.LiteRtSetOptionsHardwareAccelerators(options, CPU))
        setThreads(threads)
        compiled = c.made("prepare the model") { c.LiteRtCreateCompiledModel(environment, handle, options, it) }
        val signature = c.made("find its signature") { c.LiteRtGetModelSignature(handle, 0, it) }
        val count = c.made("count its inputs") { c.LiteRtGetNumSignatureInputs(signature, it) }
        val answers = c.made("count its outputs") { c.LiteRtGetNumSignatureOutputs(signature, it) }
        if (count < 1 || answers != 1L) throw EdgekdError.EngineMismatch("it has $count inputs and $answers outputs")
        ports = (0 until count).map { inputPort(signature, it) }
        output = outputPort(signature)
        inputs = Memory(Native.POINTER_SIZE * count)
        ports.forEachIndexed { place, port -> inputs.setLong(place * Native.POINTER_SIZE.toLong(), port.buffer) }
        outputs.setLong(0, output.buffer)
        val places = ModelInputs.of(ports.map { InputTensor(it.dims.toList(), it.kind == INT8, it.quantization) })
        image = ports[places.image]
        person = places.patient?.let(ports::get)
        checkKinds()
    }

    override val inputPx: Int = image.dims[1]
    override val patientLength: Int = person?.count ?: 0
    override val logitCount: Int = output.count

    private val answered = ByteArray(if (output.kind == FLOAT32) 0 else output.count)

    override fun feed(pixels: ByteArray, patient: ByteArray) {
        require(pixels.size == image.count && patient.size == patientLength) {
            "${pixels.size} and ${patient.size} bytes, ${image.count} and $patientLength are expected"
        }
        image.feed(pixels)
        person?.feed(patient)
    }

    override fun invoke() {
        val count = ports.size.toLong()
        check("run the model", c.LiteRtRunCompiledModel(compiled, 0, count, address(inputs), 1, address(outputs)))
    }

    override fun read(logits: FloatArray) {
        require(logits.size == logitCount) { "${logits.size} logits, $logitCount are expected" }
        val stored = output.locked(READ)
        if (output.kind == FLOAT32) {
            stored.read(0, logits, 0, logits.size)
        } else {
            stored.read(0, answered, 0, answered.size)
            output.quantization?.dequantize(answered, output.kind == INT8, logits)
        }
        output.unlock()
    }

    override fun close() {
        for (port in ports) c.LiteRtDestroyTensorBuffer(port.buffer)
        c.LiteRtDestroyTensorBuffer(output.buffer)
        c.LiteRtDestroyCompiledModel(compiled)
        c.LiteRtDestroyOptions(options)
        c.LiteRtDestroyModel(handle)
        c.LiteRtDestroyEnvironment(environment)
    }

    /** LiteRT frees the text itself, so it has to be the C library's. */
    private fun setThreads(threads: Int) {
        val libc = NativeLibrary.getInstance("c")
        val payload = LiteRt.text("num_threads = $threads\n")
        val owned = libc.getFunction("strdup").invokePointer(arrayOf(payload))
        val opaque = c.made("set the threads") {
            val free = address(libc.getFunction("free"))
            c.LiteRtCreateOpaqueOptions(address(CPU_OPTIONS), address(owned), free, it)
        }
        check("set the threads", c.LiteRtAddOpaqueOptions(options, opaque))
    }

    private fun inputPort(signature: Long, place: Long): Port {
        val tensor = c.made("find an input") { c.LiteRtGetSignatureInputTensorByIndex(signature, place, it) }
        val wanted =
            c.made("size an input") { c.LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, place, it) }
        return Port(tensor, wanted)
    }

    private fun outputPort(signature: Long): Port {
        val tensor = c.made("find its output") { c.LiteRtGetSignatureOutputTensorByIndex(signature, 0, it) }
        val wanted =
            c.made("size its output") { c.LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, it) }
        return Port(tensor, wanted)
    }

    private fun checkKinds() {
        for (port in ports) {
            if (port.kind == UINT8 || port.kind == INT8) continue
            throw EdgekdError.EngineMismatch("its input is of type ${port.kind}, uint8 or int8 is expected")
        }
        if (output.kind != FLOAT32 && output.quantization == null) {
            throw EdgekdError.EngineMismatch("its output is of type ${output.kind} and has no scale")
        }
    }

    /** A tensor of the model and its buffer. */
    private inner class Port(tensor: Long, requirements: Long) {
        private val type = Memory(TYPE_BYTES)
        private val held = Memory(Native.POINTER_SIZE.toLong())
        private var content = Pointer(0)
        private var place = 0L
        val kind: Int
        val dims: IntArray
        val count: Int
        val quantization: Quantization?
        val buffer: Long

        init {
            check("tell a tensor's type", c.LiteRtGetRankedTensorType(tensor, address(type)))
            kind = type.getInt(0)
            dims = type.getIntArray(DIMENSIONS, type.getInt(RANK) and 0x7F)
            count = dims.fold(1, Int::times)
            quantization = quantization(tensor)
            buffer = c.made("make a buffer") {
                c.LiteRtCreateManagedTensorBufferFromRequirements(environment, address(type), requirements, it)
            }
        }

        private val lowered = ByteArray(if (kind == INT8) count else 0)

        /** Fills an input with [bytes], as many as it holds. */
        fun feed(bytes: ByteArray) {
            for (i in lowered.indices) lowered[i] = (bytes[i].toInt() xor 0x80).toByte()
            locked(WRITE).write(0, if (kind == INT8) lowered else bytes, 0, count)
            unlock()
        }

        /** Its content, until [unlock]; the same object as long as it stays in its place. */
        fun locked(mode: Int): Pointer {
            check("lock a buffer", c.LiteRtLockTensorBuffer(buffer, address(held), mode))
            val now = held.getLong(0)
            if (now != place) {
                place = now
                content = Pointer(now)
            }
            return content
        }

        fun unlock(): Unit = check("unlock a buffer", c.LiteRtUnlockTensorBuffer(buffer))

        private fun quantization(tensor: Long): Quantization? {
            val found = Memory(16)
            check("tell a tensor's kind", c.LiteRtGetQuantizationTypeId(tensor, address(found)))
            if (found.getInt(0) != PER_TENSOR) return null
            check("tell a tensor's scale", c.LiteRtGetPerTensorQuantization(tensor, address(found)))
            return Quantization(found.getFloat(0), found.getLong(8).toInt())
        }
    }

    private companion object {
        const val CPU = 1
        const val READ = 0
        const val WRITE = 1
        const val FLOAT32 = 1
        const val UINT8 = 3
        const val INT8 = 9
        const val PER_TENSOR = 1

        // LiteRtRankedTensorType: element type, layout (rank in 7 bits, then 8 dimensions and 8 strides).
        const val TYPE_BYTES = 72L
        const val RANK = 4L
        const val DIMENSIONS = 8L
        val CPU_OPTIONS = LiteRt.text("xnnpack")
    }
}
