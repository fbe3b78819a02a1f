package org.edgekd.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class PictureTest {
    /** 3 × 2 pixels, `1 2 3 / 4 5 6`, and what Exif 2.32 makes of them. */
    private val seen = mapOf(
        0 to "123/456", 1 to "123/456", 2 to "321/654", 3 to "654/321", 4 to "456/123",
        5 to "14/25/36", 6 to "41/52/63", 7 to "63/52/41", 8 to "36/25/14", 9 to "123/456",
    )
    private val stored = ArgbPicture(3, 2, intArrayOf(1, 2, 3, 4, 5, 6))

    private fun all(picture: Picture): IntArray = IntArray(picture.width * picture.height).also {
        picture.read(0, 0, picture.width, picture.height, it)
    }

    @Test
    fun orientations() {
        for ((orientation, rows) in seen) {
            val picture = stored.upright(orientation)
            assertEquals(rows.substringBefore('/').length, picture.width)
            assertEquals(rows.count { it == '/' } + 1, picture.height)
            assertEquals(rows.replace("/", ""), all(picture).joinToString(""))
        }
    }

    /** Any part of a turned picture is that part of the whole turned picture. */
    @Test
    fun partsOfTurnedPictures() {
        val big = ArgbPicture(7, 5, IntArray(35) { it })
        for (orientation in 1..8) {
            val picture = big.upright(orientation)
            val whole = all(picture)
            for (left in 0 until picture.width) for (top in 0 until picture.height) {
                for (width in 1..picture.width - left) for (height in 1..picture.height - top) {
                    val part = IntArray(width * height)
                    picture.read(left, top, width, height, part)
                    val expected = IntArray(part.size) {
                        whole[(top + it / width) * picture.width + left + it % width]
                    }
                    assertArrayEquals(expected, part)
                }
            }
        }
    }

    @Test
    fun limits() {
        PictureLimits.check(1, 1)
        PictureLimits.check(10_000, 10_000)
        PictureLimits.check(100_000_000, 1)
        for ((width, height) in listOf(10_001 to 10_000, 16_384 to 12_288, 50_000 to 50_000, 10_001 to 10_001)) {
            val refused = assertThrows(EdgekdError.PictureTooLarge::class.java) { PictureLimits.check(width, height) }
            assertTrue("$width × $height" in refused.message)
        }
        for ((width, height) in listOf(0 to 1, 1 to 0, -1 to 5)) {
            assertThrows(EdgekdError.EmptyPicture::class.java) { PictureLimits.check(width, height) }
        }
    }

    /** A photo of 200 megapixels is refused before a single pixel of it is asked for. */
    @Test
    fun largePhotosAreRefusedUnread() {
        val photo = object : Picture {
            override val width = 16_320
            override val height = 12_240
            override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) = error("it was read")
        }
        val path = PixelPath(224)
        assertThrows(EdgekdError.PictureTooLarge::class.java) { path.prepare(photo, ByteArray(path.byteCount)) }
    }
}
