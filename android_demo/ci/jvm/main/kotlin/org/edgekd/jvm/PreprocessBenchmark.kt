package org.edgekd.jvm

import com.sun.management.ThreadMXBean
import java.io.DataInputStream
import java.io.File
import java.lang.management.ManagementFactory
import org.edgekd.core.ArgbPicture
import org.edgekd.core.PixelPath

/**
 * Times the pixel path: `PreprocessBenchmark RGB_FILE WIDTH HEIGHT PX OUT_FILE` reads the picture and prints the
 * bytes that making the path and the first call allocate; from then on every line of standard input is
 * answered by the nanoseconds of one call. At its end the pixels are written.
 *
 * Calls are asked for one by one, so that they alternate with those of another program.
 */
public object PreprocessBenchmark {
    @JvmStatic
    public fun main(arguments: Array<String>) {
        val (width, height, px) = arguments.slice(1..3).map(String::toInt)
        val picture = ArgbPicture(width, height, argb(File(arguments[0]), width, height))
        val bean = ManagementFactory.getThreadMXBean() as ThreadMXBean
        val thread = Thread.currentThread().id
        val before = bean.getThreadAllocatedBytes(thread)
        val path = PixelPath(px)
        val into = ByteArray(path.byteCount)
        path.prepare(picture, into)
        println(bean.getThreadAllocatedBytes(thread) - before)
        while (readlnOrNull() != null) {
            val began = System.nanoTime()
            path.prepare(picture, into)
            println(System.nanoTime() - began)
        }
        File(arguments[4]).writeBytes(into)
    }

    private fun argb(file: File, width: Int, height: Int): IntArray {
        val pixels = IntArray(width * height)
        val row = ByteArray(width * 3)
        DataInputStream(file.inputStream().buffered()).use { stream ->
            for (i in pixels.indices) {
                val at = i % width * 3
                if (at == 0) stream.readFully(row)
                pixels[i] = 0xFF shl 24 or (byte(row, at) shl 16) or (byte(row, at + 1) shl 8) or byte(row, at + 2)
            }
        }
        return pixels
    }

    private fun byte(row: ByteArray, at: Int) = row[at].toInt() and 0xFF
}
