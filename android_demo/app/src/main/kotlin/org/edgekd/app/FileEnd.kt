package org.edgekd.app

import java.io.BufferedInputStream
import java.io.DataInputStream
import java.io.EOFException
import java.io.File

/**
 * Whether a JPEG or a PNG is there to its end.
 *
 * Android decodes half a file without a word and fills the rest with grey; a score for that would be wrong.
 */
internal object FileEnd {
    private const val JPEG = 0xFFD8
    private const val PNG = 0x8950
    private const val MARKER = 0xFF
    private const val START_OF_SCAN = 0xDA
    private const val END_OF_IMAGE = 0xD9
    private const val STUFFED = 0x00
    private val RESTARTS = 0xD0..0xD7
    private const val PNG_REST = 6L
    private const val PNG_CHECKSUM = 4L
    private const val BLOCK = 1 shl 14
    private const val PNG_END = 0x49454E44 // IEND

    /** False where [file] is a JPEG or PNG that breaks off; other kinds are left to the decoder. */
    fun isThere(file: File): Boolean = DataInputStream(BufferedInputStream(file.inputStream(), 1 shl 16)).use {
        try {
            when (it.readUnsignedShort()) {
                JPEG -> jpeg(it)
                PNG -> png(it)
                else -> true
            }
        } catch (_: EOFException) {
            false
        }
    }

    /** Segments have lengths, scans run to the next marker; a thumbnail's end lies inside a segment. */
    private fun jpeg(file: DataInputStream): Boolean {
        var marker = nextMarker(file)
        while (marker != END_OF_IMAGE) {
            skip(file, file.readUnsignedShort() - 2L)
            marker = if (marker == START_OF_SCAN) afterScan(file) else nextMarker(file)
        }
        return true
    }

    private fun nextMarker(file: DataInputStream): Int {
        while (file.readUnsignedByte() != MARKER) Unit
        var code = file.readUnsignedByte()
        while (code == MARKER) code = file.readUnsignedByte()
        return code
    }

    private fun afterScan(file: DataInputStream): Int {
        var marker = nextMarker(file)
        while (marker == STUFFED || marker in RESTARTS) marker = nextMarker(file)
        return marker
    }

    private fun png(file: DataInputStream): Boolean {
        skip(file, PNG_REST)
        while (true) {
            val length = file.readInt()
            val end = file.readInt() == PNG_END
            skip(file, (length.toLong() and 0xFFFFFFFFL) + PNG_CHECKSUM)
            if (end) return true
        }
    }

    /** Reads over [count] bytes: skipping in a file may go beyond its end without a word. */
    private fun skip(file: DataInputStream, count: Long) {
        val block = ByteArray(BLOCK)
        var left = count
        while (left > 0) {
            val read = file.read(block, 0, minOf(left, BLOCK.toLong()).toInt())
            if (read < 0) throw EOFException()
            left -= read
        }
    }
}
