package org.edgekd.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.BitmapRegionDecoder
import android.graphics.ColorSpace
import android.graphics.Rect
import android.media.ExifInterface
import android.net.Uri
import android.os.Build
import org.edgekd.core.EdgekdError
import org.edgekd.core.Picture
import org.edgekd.core.PictureDecoder
import org.edgekd.core.PictureLimits
import org.edgekd.core.upright
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream
import java.io.OutputStream

/** A photo on its way into the network; [close] gives its memory and its copy back. */
class Photo(val picture: Picture, private val onClose: () -> Unit) : AutoCloseable {
    override fun close() = onClose()
}

/** Why a photo cannot be had, beyond what [EdgekdError] tells: a string of the app with its argument. */
class PhotoError(val sentence: Int, val argument: Int? = null, cause: Throwable? = null) : Exception(cause)

/**
 * Photos as pixels, decoded in full size and never resampled on the way: crop and resize belong to core.
 *
 * Memory is bounded. The header is read first and [PictureLimits] asked; up to [WHOLE_PIXELS] the photo is
 * decoded at once (4 bytes each), a larger one in strips of at most [STRIP_PIXELS]. The rules are Python's:
 * Exif orientation is applied, colour profiles are not, a file without its end is refused.
 */
class Photos(private val resolver: ContentResolver, private val cache: File) : PictureDecoder {
    /**
     * The photo at [uri], upright.
     *
     * @throws PhotoError it cannot be read, or is no picture
     * @throws EdgekdError.PictureTooLarge its header says so; nothing was decoded
     */
    fun open(uri: Uri): Photo = fromCopy { file -> copy(uri, file) }

    /** The picture in [stream]: for the golden set, whose pictures are small. */
    override fun decode(stream: InputStream): Picture {
        val bitmap = BitmapFactory.decodeStream(stream, null, options())
        return WholePicture(raw(bitmap ?: throw EdgekdError.UnreadablePicture("it is no picture")))
    }

    private fun fromCopy(fill: (File) -> Unit): Photo {
        val file = File.createTempFile("photo", null, cache)
        try {
            fill(file)
            return open(file)
        } catch (error: Throwable) { // too little memory is no Exception
            file.delete()
            throw error
        }
    }

    private fun copy(uri: Uri, file: File) {
        try {
            val stream = resolver.openInputStream(uri) ?: throw FileNotFoundException(uri.toString())
            stream.use { from -> file.outputStream().use { copyAtMost(MAX_BYTES, from, it) } }
        } catch (error: SecurityException) {
            throw PhotoError(R.string.photo_denied, cause = error)
        } catch (error: IOException) {
            throw PhotoError(R.string.photo_gone, cause = error)
        }
        if (file.length() == 0L) throw PhotoError(R.string.photo_empty)
        if (file.length() > MAX_BYTES) throw PhotoError(R.string.photo_too_many_bytes, MAX_BYTES shr 20)
    }

    private fun open(file: File): Photo {
        val (width, height) = size(file)
        PictureLimits.check(width, height)
        if (!FileEnd.isThere(file)) throw PhotoError(R.string.photo_damaged)
        val stored = if (width.toLong() * height <= WHOLE_PIXELS) whole(file) else strips(file)
        return Photo(stored.upright(orientation(file))) {
            stored.close()
            file.delete()
        }
    }

    private fun size(file: File): Pair<Int, Int> {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeFile(file.path, bounds)
        if (bounds.outWidth < 1 || bounds.outHeight < 1) throw PhotoError(R.string.photo_not_image)
        return bounds.outWidth to bounds.outHeight
    }

    private fun whole(file: File): StoredPicture {
        val bitmap = BitmapFactory.decodeFile(file.path, options()) ?: throw PhotoError(R.string.photo_not_image)
        return WholePicture(raw(bitmap))
    }

    private fun strips(file: File): StoredPicture = try {
        @Suppress("DEPRECATION") // its successor is there from Android 12 on
        val decoder = checkNotNull(BitmapRegionDecoder.newInstance(file.path, false))
        val options = options()
        StripPicture(decoder.width, decoder.height, STRIP_PIXELS, decoder::recycle) { area ->
            raw(decoder.decodeRegion(area, options) ?: throw PhotoError(R.string.photo_damaged))
        }
    } catch (error: IOException) {
        throw PhotoError(R.string.photo_not_image, cause = error) // a kind that is not decoded in parts
    }

    private fun orientation(file: File): Int = try {
        val found = ExifInterface(file.path).getAttributeInt(ExifInterface.TAG_ORIENTATION, UPRIGHT)
        if (found in UPRIGHT..LAST_ORIENTATION) found else UPRIGHT
    } catch (_: IOException) {
        UPRIGHT // no Exif data in this kind of file
    }

    companion object {
        /** The largest file, in bytes: that of Python's own path. */
        const val MAX_BYTES: Int = 64 shl 20

        /** The most pixels that are decoded at once. */
        const val WHOLE_PIXELS: Int = 16 shl 20

        /** The most pixels of a strip of a larger photo. */
        const val STRIP_PIXELS: Int = 8 shl 20

        private const val UPRIGHT = 1
        private const val LAST_ORIENTATION = 8

        private fun copyAtMost(limit: Int, from: InputStream, to: OutputStream) {
            val block = ByteArray(1 shl 16)
            var left = limit + 1L
            while (left > 0) {
                val read = from.read(block, 0, minOf(block.size.toLong(), left).toInt())
                if (read < 0) return
                to.write(block, 0, read)
                left -= read
            }
        }
    }
}

/** Pixels as they lie in a file, before Exif; not thread-safe. */
internal abstract class StoredPicture : Picture, AutoCloseable

/** A picture that was decoded at once. */
internal class WholePicture(private val bitmap: Bitmap) : StoredPicture() {
    private val pixels = BitmapPicture(bitmap)

    override val width: Int get() = pixels.width
    override val height: Int get() = pixels.height

    override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) =
        pixels.read(left, top, width, height, into)

    override fun close() = bitmap.recycle()
}

/**
 * A picture of which [decode] makes one strip at a time, of at most [pixels] pixels unless a read wants more;
 * [onClose] gives the decoder back.
 */
internal class StripPicture(
    override val width: Int,
    override val height: Int,
    private val pixels: Int,
    private val onClose: () -> Unit,
    private val decode: (Rect) -> Bitmap,
) : StoredPicture() {
    private val here = Rect()
    private var strip: Bitmap? = null

    override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) {
        val wanted = Rect(left, top, left + width, top + height)
        val bitmap = strip?.takeIf { here.contains(wanted) } ?: next(widened(wanted))
        bitmap.getPixels(into, 0, width, left - here.left, top - here.top, width, height)
    }

    private fun next(area: Rect): Bitmap {
        strip?.recycle()
        strip = null // the old one is gone before the next one takes its memory
        here.set(area)
        return decode(area).also { strip = it }
    }

    /** [wanted] and what will be asked for next: more rows where rows are read, more columns where columns. */
    private fun widened(wanted: Rect): Rect {
        val rows = wanted.width() >= wanted.height()
        val room = maxOf(0, pixels / maxOf(wanted.width(), wanted.height()) - minOf(wanted.width(), wanted.height()))
        val back = if (rows) wanted.top < here.top else wanted.left < here.left
        val area = Rect(wanted)
        when {
            rows && back -> area.top = maxOf(0, area.top - room)
            rows -> area.bottom = minOf(height, area.bottom + room)
            back -> area.left = maxOf(0, area.left - room)
            else -> area.right = minOf(width, area.right + room)
        }
        return area
    }

    override fun close() {
        strip?.recycle()
        onClose()
    }
}

/** Colours as stored, not multiplied with their opacity, 8 bits each. */
private fun options(): BitmapFactory.Options = BitmapFactory.Options().apply {
    inPreferredConfig = Bitmap.Config.ARGB_8888
    inPremultiplied = false
    inScaled = false
}

/** [bitmap] with its numbers as they are: reading pixels would convert them from the profile of the file. */
private fun raw(bitmap: Bitmap): Bitmap {
    if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
        bitmap.setColorSpace(ColorSpace.get(ColorSpace.Named.SRGB))
    }
    return bitmap
}
