package org.edgekd.app

import org.edgekd.core.EdgekdError
import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * What LiteRT's Kotlin interface does not tell of a `.tflite` file: types, shapes and quantization of the first
 * [input] and [output] of the first graph, and how many inputs there are.
 *
 * The file is a FlatBuffer (https://flatbuffers.dev/internals): tables whose fields are found through a table of
 * offsets; the numbers of the fields below are those of TensorFlow's schema.fbs.
 */
internal class TfliteFacts private constructor(val inputCount: Int, val input: Tensor, val output: Tensor) {
    /** One tensor; [scale] is 0 where it is not quantized. */
    class Tensor(val type: Int, val shape: List<Int>, val scale: Float, val zeroPoint: Int)

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
            val inputs = checkNotNull(file.vector(graph, INPUTS))
            val outputs = checkNotNull(file.vector(graph, OUTPUTS))
            return TfliteFacts(
                inputCount = file.size(inputs),
                input = tensor(file, file.tableIn(tensors, file.int(inputs, 0))),
                output = tensor(file, file.tableIn(tensors, file.int(outputs, 0))),
            )
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
