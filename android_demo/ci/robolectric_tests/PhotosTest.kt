package org.edgekd.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Rect
import org.edgekd.core.ArgbPicture
import org.edgekd.core.Bundle
import org.edgekd.core.LesionClassifier
import org.edgekd.core.PixelPath
import org.edgekd.core.Picture
import org.edgekd.core.upright
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import java.io.File

/** Photos as pixels: nothing but the decoder's own numbers, upright, and no more memory than was said. */
@RunWith(RobolectricTestRunner::class)
class PhotosTest {
    private val photos get() = Photos(app.contentResolver, app.cacheDir)

    private fun prepared(picture: Picture): ByteArray =
        PixelPath(PX).let { path -> ByteArray(path.byteCount).also { path.prepare(picture, it) } }

    private fun pixels(jpeg: ByteArray): ArgbPicture {
        val bitmap = checkNotNull(BitmapFactory.decodeByteArray(jpeg, 0, jpeg.size))
        val all = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(all, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        return ArgbPicture(bitmap.width, bitmap.height, all)
    }

    @Test
    fun `each Exif orientation is turned upright`() {
        val jpeg = encoded(pattern(97, 61), Bitmap.CompressFormat.JPEG)
        for (orientation in 1..8) {
            val expected = prepared(pixels(jpeg).upright(orientation))
            photos.open(photo(oriented(jpeg, orientation))).use { photo ->
                val turned = orientation >= 5
                assertEquals(if (turned) 61 else 97, photo.picture.width)
                assertArrayEquals("orientation $orientation", expected, prepared(photo.picture))
            }
        }
    }

    /** Robolectric has no region decoder, so the strips are cut from a decoded picture. */
    @Test
    fun `strips give the bytes of the whole picture, whichever way they are read`() {
        val whole = pattern(2000, SIDE)
        val expected = pixels(encoded(whole, Bitmap.CompressFormat.PNG))
        for (orientation in 1..8) {
            val decoded = ArrayList<Rect>()
            val strips = StripPicture(2000, SIDE, STRIP, {}) { area ->
                decoded += Rect(area)
                Bitmap.createBitmap(whole, area.left, area.top, area.width(), area.height())
            }
            val found = prepared(strips.upright(orientation))
            assertArrayEquals("orientation $orientation", prepared(expected.upright(orientation)), found)
            assertTrue(decoded.all { it.width() * it.height() <= STRIP })
            val least = SIDE * SIDE / STRIP
            assertTrue("$orientation: ${decoded.size} strips, $least are needed", decoded.size <= 1.5 * least)
            strips.close()
        }
    }

    @Test
    fun `colour under transparency is kept for core, which lays it over white`() {
        val colours = intArrayOf(0x00336699, 0x40FF8000, 0x80808080.toInt(), 0xFF123456.toInt())
        val bitmap = Bitmap.createBitmap(2, 2, Bitmap.Config.ARGB_8888).apply { isPremultiplied = false }
        bitmap.setPixels(colours, 0, 2, 0, 0, 2, 2)
        photos.open(photo(encoded(bitmap, Bitmap.CompressFormat.PNG))).use { photo ->
            val read = IntArray(4).also { photo.picture.read(0, 0, 2, 2, it) }
            assertArrayEquals(colours, read)
        }
    }

    @Test
    fun `a bitmap of one's own gets the answer of Python`() {
        val bundle = Bundle.open(app.files)
        LesionClassifier(bundle, app.engines.open(bundle, Accelerator.CPU)).use { classifier ->
            for (item in bundle.golden().items) {
                val bytes = golden(item.image)
                val bitmap = checkNotNull(BitmapFactory.decodeByteArray(bytes, 0, bytes.size))
                assertEquals(item.image, item.score, classifier.classify(bitmap).score, 1e-6)
            }
        }
    }

    @Test
    fun `the copy of a photo is gone when it was looked at`() {
        photos.open(photo(encoded(pattern(20, 20), Bitmap.CompressFormat.PNG))).close()
        assertEquals(emptyList<File>(), app.cacheDir.listFiles().orEmpty().filter(File::isFile))
    }

    @Test
    fun `bytes after the end are no damage, a missing end is, whatever thumbnail lies before`() {
        val small = encoded(pattern(16, 16), Bitmap.CompressFormat.JPEG)
        val jpeg = encoded(pattern(300, 200), Bitmap.CompressFormat.JPEG)
        val size = small.size + 2
        val thumbnail = byteArrayOf(0xFF.toByte(), 0xE2.toByte(), (size shr 8).toByte(), size.toByte()) + small
        val full = jpeg.copyOfRange(0, 2) + thumbnail + jpeg.copyOfRange(2, jpeg.size)
        assertTrue(isThere(full))
        assertTrue(isThere(full + ByteArray(5000) { 7 }))
        assertFalse(isThere(full.copyOf(full.size - 2)))
        assertFalse(isThere(full.copyOf(full.size / 2)))
        val png = encoded(pattern(30, 20), Bitmap.CompressFormat.PNG)
        assertTrue(isThere(png + ByteArray(9)))
        assertFalse(isThere(png.copyOf(png.size - 1)))
    }

    private fun isThere(bytes: ByteArray): Boolean {
        val file = File.createTempFile("end", null).apply { writeBytes(bytes) }
        return FileEnd.isThere(file).also { file.delete() }
    }

    private companion object {
        const val PX = 32
        const val SIDE = 1500
        const val STRIP = SIDE * 200
    }
}
