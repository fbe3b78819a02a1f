package org.edgekd.core

import java.io.IOException
import java.io.InputStream
import kotlin.math.abs

/** Turns a lossless picture of the golden set (PNG) into pixels; the platform brings it. */
public interface PictureDecoder {
    /** @throws EdgekdError.UnreadablePicture it cannot be decoded */
    public fun decode(stream: InputStream): Picture
}

/**
 * One golden picture here and in Python: [differingBytes] of the input (null: it was not decoded here), the
 * largest difference of a logit, that of the score, and whether it is called the same.
 */
public class GoldenResult internal constructor(
    public val image: String,
    public val differingBytes: Int?,
    public val largestLogitDifference: Float,
    public val scoreDifference: Double,
    public val sameCall: Boolean,
)

/** The golden set on this device. */
public class GoldenReport internal constructor(public val items: List<GoldenResult>) {
    /** The largest difference of a logit from Python's. */
    public val largestLogitDifference: Float = items.maxOf { it.largestLogitDifference }

    /** Whether every byte that was made here is Python's, and every picture is called the same. */
    public val passed: Boolean = items.all { it.sameCall && (it.differingBytes ?: 0) == 0 }

    /** The result in one sentence. */
    public val sentence: String
        get() {
            val bytes = items.count { (it.differingBytes ?: 0) > 0 }
            val calls = items.count { !it.sameCall }
            if (passed) return "All ${items.size} golden pictures give the answer of Python."
            return "Of ${items.size} golden pictures $bytes have other pixels and $calls are called differently."
        }
}

/** Runs the golden set of [bundle] through [classifier]. */
public class GoldenCheck(private val bundle: Bundle, private val classifier: LesionClassifier) {
    /**
     * What differs from Python. With a [decoder] the pictures are prepared here and their bytes compared, then
     * fed; without, Python's own bytes are fed.
     *
     * @throws EdgekdError a file cannot be read, or the engine failed
     */
    public fun run(decoder: PictureDecoder?): GoldenReport =
        GoldenReport(bundle.golden().items.map { check(it, decoder) })

    private fun check(item: GoldenItem, decoder: PictureDecoder?): GoldenResult {
        val expected = bundle.read(item.input)
        val pixels = if (decoder == null) expected else classifier.prepare(decode(item, decoder))
        if (expected.size != pixels.size) {
            throw EdgekdError.Malformed(item.input, "it holds ${expected.size} bytes")
        }
        val found = classifier.assess(pixels)
        return GoldenResult(
            image = item.image,
            differingBytes = if (decoder == null) null else pixels.indices.count { pixels[it] != expected[it] },
            largestLogitDifference = item.logits.indices.maxOf { abs(item.logits[it] - found.logits[it]) },
            scoreDifference = abs(item.score - found.score),
            sameCall = item.malignant == found.malignant,
        )
    }

    private fun decode(item: GoldenItem, decoder: PictureDecoder): Picture = try {
        bundle.files.open(item.image).use(decoder::decode)
    } catch (error: IOException) {
        throw EdgekdError.MissingFile(item.image, error)
    }
}
