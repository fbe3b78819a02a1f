package org.edgekd.app

import android.graphics.Bitmap
import org.edgekd.core.Assessment
import org.edgekd.core.LesionClassifier
import org.edgekd.core.Person
import org.edgekd.core.Picture

/**
 * The assessment of an upright [bitmap] of [person] in its full size, anywhere but on the main thread.
 *
 *     LesionClassifier(bundle, engine).use { it.classify(bitmap) }
 *
 * For the pixels of Python it must be decoded as they are there: ARGB_8888, not scaled, Exif orientation
 * applied, no colour profile; [Photos] does that, within bounds of memory.
 *
 * @throws org.edgekd.core.EdgekdError it is too large, or the model could not be run
 * @throws IllegalStateException its pixels lie in the GPU (`Bitmap.Config.HARDWARE`), or it was recycled
 */
fun LesionClassifier.classify(bitmap: Bitmap, person: Person = Person.UNKNOWN): Assessment =
    classify(BitmapPicture(bitmap), person)

/** [bitmap] as core reads pictures; nothing is copied. */
class BitmapPicture(private val bitmap: Bitmap) : Picture {
    override val width: Int get() = bitmap.width
    override val height: Int get() = bitmap.height

    override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) =
        bitmap.getPixels(into, 0, width, left, top, width, height)
}
