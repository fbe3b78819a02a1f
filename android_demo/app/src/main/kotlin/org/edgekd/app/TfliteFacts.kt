package org.edgekd.app

import org.edgekd.core.EdgekdError
import org.edgekd.core.InputTensor
import org.edgekd.core.ModelInputs
import org.edgekd.core.Quantization
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * What LiteRT's Kotlin interface does not tell of a `.tflite` file: types, shapes and quantization of the
 * [inputs], in the order of LiteRT's buffers (the first signature's, else the first graph's), and of the first
 * [output]; which input takes what is in [places].
 *
 * The file is a FlatBuffer (https://flatbuffers.dev/internals): tables whose fields are found through a table of
 * offsets; the numbers of the fields below are those of TensorFlow's schema.fbs.
 */
internal class TfliteFacts private constructor(val inputs: List<Tensor>, val output: Tensor) {
    val places: ModelInputs = ModelInputs.of(inputs.map(Tensor::asInput))

    /** One tensor; [scale] is 0 where it is not quantized. */
    class Tensor(val type: Int, val shape: List<Int>, val scale: Float, val zeroPoint: Int) {
        fun asInput(): InputTensor =
            InputTensor(shape, type == INT8, if (scale == 0f) null else Quantization(scale, zeroPoint))
    }

    private class Reader(bytes: ByteArray) {
        private val file = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

        fun root(): Int = follow(0)

        fun follow(at: Int): Int = at + file.getInt(at)

        /** Where field [number] of [table] lies; null where it is left out. */
        fun field(table: Int, number: Int): Int? {
            val offsets = table - file.getInt(table)
            val entry = HEADER + 2 * number
            if (entry >= file.getShort(offsets)) return null
            return file.getShort(offsets + entry).toInt().takeIf { it != 0 }?.let { table + it }
        }

        fun vector(table: Int, number: Int): Int? = field(table, number)?.let(::follow)

        fun size(vector: Int?): Int = vector?.let(file::getInt) ?: 0

        fun int(vector: Int, index: Int): Int = file.getInt(vector + INT * (index + 1))

        fun tableIn(vector: Int, index: Int): Int = follow(vector + INT * (index + 1))

        fun number(at: Int?): Int = at?.let(file::getInt) ?: 0

        fun byte(at: Int?): Int = at?.let { file.get(it).toInt() } ?: 0

        fun float(vector: Int): Float = file.getFloat(vector + INT)

        fun long(vector: Int): Long = file.getLong(vector + INT)
    }

    companion object {
        const val FLOAT32: Int = 0
        const val UINT8: Int = 3
        const val INT8: Int = 9

        private const val HEADER = 4
        private const val INT = 4
        private const val SUBGRAPHS = 2
        private const val SIGNATURES = 7
        private const val SIGNATURE_INPUTS = 0
        private const val TENSOR_INDEX = 1
        private const val TENSORS = 0
        private const val INPUTS = 1
        private const val OUTPUTS = 2
        private const val SHAPE = 0
        private const val TYPE = 1
        private const val QUANTIZATION = 4
        private const val SCALE = 2
        private const val ZERO_POINT = 3

        /**
         * The facts of the model in [bytes].
         *
         * @throws EdgekdError.EngineFailed it is no such file
         * @throws EdgekdError.EngineMismatch its inputs are not a picture and at most one person
         */
        fun of(bytes: ByteArray): TfliteFacts = try {
            read(Reader(bytes))
        } catch (error: IndexOutOfBoundsException) {
            throw EdgekdError.EngineFailed("its file is damaged", error)
        } catch (error: IllegalStateException) {
            throw EdgekdError.EngineFailed("its file is damaged", error)
        }

        private fun read(file: Reader): TfliteFacts {
            val graph = file.tableIn(checkNotNull(file.vector(file.root(), SUBGRAPHS)), 0)
            val tensors = checkNotNull(file.vector(graph, TENSORS))
            val inputs = signed(file) ?: graphInputs(file, checkNotNull(file.vector(graph, INPUTS)))
            val outputs = checkNotNull(file.vector(graph, OUTPUTS))
            return TfliteFacts(
                inputs = inputs.map { tensor(file, file.tableIn(tensors, it)) },
                output = tensor(file, file.tableIn(tensors, file.int(outputs, 0))),
            )
        }

        private fun graphInputs(file: Reader, inputs: Int): List<Int> =
            (0 until file.size(inputs)).map { file.int(inputs, it) }

        /** The input tensors in the order of the first signature; null where the file has none. */
        private fun signed(file: Reader): List<Int>? {
            val signatures = file.vector(file.root(), SIGNATURES)
            if (signatures == null || file.size(signatures) == 0) return null
            val inputs = checkNotNull(file.vector(file.tableIn(signatures, 0), SIGNATURE_INPUTS))
            return (0 until file.size(inputs)).map { file.number(file.field(file.tableIn(inputs, it), TENSOR_INDEX)) }
        }

        private fun tensor(file: Reader, table: Int): Tensor {
            val shape = file.vector(table, SHAPE)
            val quantization = file.vector(table, QUANTIZATION)
            val scales = quantization?.let { file.vector(it, SCALE) }
            val zeros = quantization?.let { file.vector(it, ZERO_POINT) }
            return Tensor(
                type = file.byte(file.field(table, TYPE)),
                shape = (0 until file.size(shape)).map { file.int(checkNotNull(shape), it) },
                scale = if (file.size(scales) > 0) file.float(checkNotNull(scales)) else 0f,
                zeroPoint = if (file.size(zeros) > 0) file.long(checkNotNull(zeros)).toInt() else 0,
            )
        }
    }
}
