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

/**
 * The golden set on this device. Logits may differ by [tolerance], for processors round differently: two steps
 * of an 8-bit output, or two hundredths of the range of the golden logits, as `edgekd verify-bundle` has it.
 */
public class GoldenReport internal constructor(public val items: List<GoldenResult>, public val tolerance: Float) {
    /** The largest difference of a logit from Python's. */
    public val largestLogitDifference: Float = items.maxOf { it.largestLogitDifference }

    /** Whether every byte that was made here is Python's, and every logit within [tolerance] of Python's. */
    public val passed: Boolean = items.all { !differs(it) && (it.differingBytes ?: 0) == 0 }

    /** The result in one sentence. */
    public val sentence: String
        get() {
            val calls = items.count { !it.sameCall }
            return when {
                !passed -> "Of ${items.size} golden pictures ${items.count { (it.differingBytes ?: 0) > 0 }} have " +
                    "other pixels than in Python and ${items.count(::differs)} other answers."
                calls > 0 -> "All ${items.size} golden pictures give the answer of Python but for rounding, " +
                    "and $calls of them lie so close to the threshold that they are called differently."
                else -> "All ${items.size} golden pictures give the answer of Python."
            }
        }

    // A number that is not finite compares as false.
    private fun differs(item: GoldenResult) = !(item.largestLogitDifference <= tolerance)

    internal companion object {
        private const val STEPS = 2.0001f // and the rounding of the steps themselves
        private const val RANGE = 0.02f

        /** By how much a logit may differ from those of [golden]; their smallest distance is the step. */
        fun tolerance(golden: List<FloatArray>): Float {
            val known = golden.flatMap { it.asList() }.distinct().sorted()
            val step = known.zipWithNext { low, high -> high - low }.minOrNull() ?: 0f
            return maxOf(STEPS * step, RANGE * (known.last() - known.first()))
        }
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
    public fun run(decoder: PictureDecoder?): GoldenReport {
        val golden = bundle.golden()
        val found = golden.items.map { check(it, golden.patient, decoder) }
        return GoldenReport(found, GoldenReport.tolerance(golden.items.map { it.logits }))
    }

    private fun check(item: GoldenItem, patient: ByteArray, decoder: PictureDecoder?): GoldenResult {
        val expected = bundle.read(item.input)
        val pixels = if (decoder == null) expected else classifier.prepare(decode(item, decoder))
        if (expected.size != pixels.size) {
            throw EdgekdError.Malformed(item.input, "it holds ${expected.size} bytes")
        }
        val found = classifier.assess(pixels, patient)
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
