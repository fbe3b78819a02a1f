package org.edgekd.core

/**
 * An upright picture that hands out its pixels piece by piece, so that nobody needs a second copy of it.
 *
 * The rows of the centre square are asked for in bands, from top to bottom, each once: a whole bitmap may
 * stand behind it, or a decoder that never holds more than a band.
 */
public interface Picture {
    public val width: Int
    public val height: Int

    /**
     * Writes the pixels of a part of the picture, row by row, to the front of [into]: `0xAARRGGBB`, the colour
     * not multiplied by the alpha. It is what `Bitmap.getPixels(into, 0, width, left, top, width, height)` does.
     */
    public fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray)
}

/** What a picture and a network may be at most. */
public object PictureLimits {
    /** The largest picture, width times height, as in Python. */
    public const val MAX_PIXELS: Int = 100_000_000

    /** The largest side of the centre square; up to it 32-bit integers suffice. */
    public const val MAX_SIDE: Int = 10_000

    /** The largest side of the input of a network. */
    public const val MAX_INPUT_PX: Int = 4096

    /**
     * Nothing, when a picture of this size can be classified: to be called with what the header of the file
     * says, before anything is decoded.
     *
     * @throws EdgekdError.EmptyPicture it has no pixels
     * @throws EdgekdError.PictureTooLarge it has more than [MAX_PIXELS]
     */
    public fun check(width: Int, height: Int) {
        if (width < 1 || height < 1) throw EdgekdError.EmptyPicture()
        val fits = width.toLong() * height <= MAX_PIXELS && minOf(width, height) <= MAX_SIDE
        if (!fits) throw EdgekdError.PictureTooLarge(width, height)
    }
}

/** A picture in memory: [pixels] are `0xAARRGGBB`, row by row; the array is not copied. */
public class ArgbPicture(
    override val width: Int,
    override val height: Int,
    private val pixels: IntArray,
) : Picture {
    init {
        require(width >= 0 && height >= 0 && width.toLong() * height == pixels.size.toLong()) {
            "$width × $height pixels are not ${pixels.size}"
        }
    }

    override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) {
        for (row in 0 until height) {
            val start = (top + row) * this.width + left
            System.arraycopy(pixels, start, into, row * width, width)
        }
    }
}

/**
 * This picture turned upright: [orientation] is what Exif says of it, 1 to 8 (anything else means 1). A view,
 * not a copy; a quarter turn reads columns of the picture behind it.
 */
public fun Picture.upright(orientation: Int): Picture =
    if (orientation in 2..8) UprightPicture(this, orientation) else this

/**
 * [stored] as Exif's [orientation] wants it seen.
 *
 * From 5 on rows and columns are swapped; then columns run backwards in 2, 3, 6 and 7, rows in 3, 4, 7 and 8.
 */
private class UprightPicture(private val stored: Picture, orientation: Int) : Picture {
    private val swapped = orientation >= 5
    private val mirrored = orientation in setOf(2, 3, 6, 7)
    private val flipped = orientation in setOf(3, 4, 7, 8)
    private var part = IntArray(0)

    override val width: Int get() = if (swapped) stored.height else stored.width
    override val height: Int get() = if (swapped) stored.width else stored.height

    override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) {
        if (part.size < width * height) part = IntArray(width * height)
        val column = if (mirrored) this.width - left - width else left
        val row = if (flipped) this.height - top - height else top
        if (swapped) stored.read(row, column, height, width, part) else stored.read(column, row, width, height, part)
        val (down, across) = if (swapped) 1 to height else width to 1
        var at = 0
        for (y in 0 until height) {
            val base = (if (flipped) height - 1 - y else y) * down
            for (x in 0 until width) into[at++] = part[base + (if (mirrored) width - 1 - x else x) * across]
        }
    }
}
