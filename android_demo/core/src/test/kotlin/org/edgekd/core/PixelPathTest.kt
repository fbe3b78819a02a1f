package org.edgekd.core

import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class PixelPathTest {
    private fun prepared(picture: Picture, px: Int) =
        PixelPath(px).let { path -> ByteArray(path.byteCount).also { path.prepare(picture, it) } }

    @Test
    fun coefficientsAddUp() {
        for (size in listOf(1, 2, 3, 7, 100, 223, 224, 225, 3000, 10_000)) {
            for (px in listOf(1, 2, 5, 96, 224, 1000)) {
                val found = Coefficients(size, px)
                for (i in 0 until px) {
                    val taps = found.taps.copyOfRange(found.firsts[i], found.firsts[i + 1])
                    assertEquals("$size to $px, $i", 1 shl 16, taps.sum())
                    assertTrue(taps.all { it >= 0 } && found.starts[i] >= 0 && found.stop(i) <= size)
                }
            }
        }
    }

    /** Halving: each output sees 4 inputs of weights 1, 3, 3, 1; at the edge 3, 3, 1 of 7, rounded in sum. */
    @Test
    fun knownCoefficients() {
        val found = Coefficients(8, 4)
        val taps = found.taps.copyOfRange(found.firsts[1], found.firsts[2])
        assertEquals(listOf(8192, 24576, 24576, 8192), taps.filter { it > 0 })
        val edge = found.taps.copyOfRange(found.firsts[0], found.firsts[1])
        assertEquals(listOf(28087, 28087, 9362), edge.filter { it > 0 })
    }

    @Test
    fun sameSizeChangesNothing() {
        val random = Random(1)
        val pixels = IntArray(31 * 31) { 0xFF shl 24 or random.nextInt(1 shl 24) }
        val found = prepared(ArgbPicture(31, 31, pixels), 31)
        for ((i, pixel) in pixels.withIndex()) {
            val seen = (0..2).fold(0) { all, c -> all shl 8 or (found[3 * i + c].toInt() and 0xFF) }
            assertEquals(pixel and 0xFFFFFF, seen)
        }
    }

    @Test
    fun aConstantStaysWhatItIs() {
        for ((width, height) in listOf(1 to 1, 1 to 9, 9 to 1, 640 to 480, 5000 to 3)) {
            val found = prepared(ArgbPicture(width, height, IntArray(width * height) { 0xFFFE017F.toInt() }), 17)
            for (i in found.indices) assertEquals(listOf(0xFE, 1, 0x7F)[i % 3], found[i].toInt() and 0xFF)
        }
    }

    @Test
    fun transparencyIsLaidOverWhite() {
        for ((pixel, seen) in mapOf(0x00123456 to 0xFFFFFF, 0x80000000.toInt() to 0x7F7F7F, 0x01FF0080 to 0xFFFEFF)) {
            val found = prepared(ArgbPicture(1, 1, intArrayOf(pixel)), 1)
            assertEquals(seen, found.fold(0) { all, byte -> all shl 8 or (byte.toInt() and 0xFF) })
        }
    }

    /** One path for pictures of changing size gives what a new one gives: nothing of the last one is left. */
    @Test
    fun aPathMayBeUsedAgain() {
        val random = Random(2)
        val path = PixelPath(20)
        repeat(200) {
            val width = 1 + random.nextInt(90)
            val height = 1 + random.nextInt(90)
            val picture = ArgbPicture(width, height, IntArray(width * height) { random.nextInt() })
            val into = ByteArray(path.byteCount)
            path.prepare(picture, into)
            assertArrayEquals(prepared(picture, 20), into)
            path.resize(picture, into)
            assertArrayEquals(ByteArray(path.byteCount).also { PixelPath(20).resize(picture, it) }, into)
        }
    }

    /** Bands: rows of the centre square, from top to bottom, each once, and never more than a band. */
    @Test
    fun aPictureIsReadOnceInBands() {
        val seen = ArrayList<Int>()
        val picture = object : Picture {
            override val width = 4000
            override val height = 3001
            override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) {
                assertEquals(499, left)
                assertEquals(3001, width)
                assertTrue(width * height <= PixelPath.BAND_PIXELS && into.size <= PixelPath.BAND_PIXELS)
                seen.addAll(top until top + height)
            }
        }
        prepared(picture, 24)
        assertEquals((0 until 3001).toList(), seen)
    }
}
