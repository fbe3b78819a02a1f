package org.edgekd.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.BitmapRegionDecoder
import org.edgekd.core.ArgbPicture
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

    @Test
    fun `strips give the bytes of the whole picture, whichever way they are read`() {
        val jpeg = encoded(pattern(640, 480), Bitmap.CompressFormat.JPEG)
        val file = File.createTempFile("strips", ".jpg").apply { writeBytes(jpeg) }
        for (orientation in 1..8) {
            val expected = prepared(pixels(jpeg).upright(orientation))
            @Suppress("DEPRECATION")
            val strips = StripPicture(checkNotNull(BitmapRegionDecoder.newInstance(file.path, false)), 640 * 50)
            assertArrayEquals("orientation $orientation", expected, prepared(strips.upright(orientation)))
            strips.close()
        }
        file.delete()
    }

    @Test
    fun `a photo too large for one piece is read in strips and gives the same bytes`() {
        val (width, height) = 5000 to 3600
        assertTrue(width * height > Photos.WHOLE_PIXELS)
        val bitmap = pattern(width, height)
        val jpeg = encoded(bitmap, Bitmap.CompressFormat.JPEG)
        bitmap.recycle()
        val expected = prepared(pixels(jpeg))
        photos.open(photo(jpeg)).use { assertArrayEquals(expected, prepared(it.picture)) }
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
    }
}
