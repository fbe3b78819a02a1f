package org.edgekd.core

import java.math.BigDecimal
import java.math.MathContext

/**
 * What one measure of a photo must hold: at least [low] or at most [high], the other one is null. [rule] says
 * how the limit was found.
 */
public class PhotoLimit internal constructor(
    public val measure: String,
    public val low: Double?,
    public val high: Double?,
    public val rule: String,
) {
    /** What a photo of this [value] has to be told; null when it holds the limit. */
    internal fun reason(value: Double): String? {
        val bound = when {
            low != null && value < low -> "at least ${short(low)}"
            high != null && value > high -> "at most ${short(high)}"
            else -> return null
        }
        return "${WORDS[words]} ($measure ${short(value)}, $bound expected)"
    }

    /** The measure and its end, as [WORDS] knows them. */
    internal val words: String get() = "$measure ${if (low != null) "low" else "high"}"

    private fun short(value: Double): String =
        BigDecimal(value).round(MathContext(3)).stripTrailingZeros().toPlainString()

    internal companion object {
        val WORDS: Map<String, String> = mapOf(
            "sharpness low" to "blurred",
            "grain high" to "noisy",
            "brightness low" to "too dark",
            "clipped high" to "over-exposed",
            "contrast low" to "no lesion to be seen",
            "roughness high" to "too rough for skin: hair, text or something else",
            "redness low" to "not the colour of skin",
            "skin low" to "colours that skin does not have",
        )
    }
}

/**
 * Which photos the model can judge, by `edgekd.quality/1`: [limits] on what [PhotoMeasures] measures. It was
 * fitted on [images] pictures of the split [fittedOn], of which [refused] lie outside a limit.
 *
 * It is advice: what is not known here is passed over and named in [unknown], and photos are judged without it.
 */
public class PhotoQuality private constructor(
    public val limits: List<PhotoLimit>,
    public val unknown: List<String>,
    internal val colours: BooleanArray,
    public val fittedOn: String,
    public val images: Int,
    public val refused: Int,
) {
    internal companion object {
        const val RULE = "edgekd.quality/1"
        const val COLOURS = 32 * 32
        private val DIGITS = Regex("[0-9a-f]{${COLOURS / 4}}")

        /** The limits in a card; none of them is known where it follows another rule. */
        fun of(fields: Fields): PhotoQuality {
            val rule = fields.text("rule")
            if (rule != RULE) return PhotoQuality(emptyList(), listOf(rule), BooleanArray(COLOURS), "", 0, 0)
            val (known, unknown) = fields.list("limits").map(::limit).partition { it.words in PhotoLimit.WORDS }
            return PhotoQuality(
                limits = known,
                unknown = unknown.map { it.measure },
                colours = bits(fields.text("colours")) ?: fields.malformed("quality.colours are no 1024 bits"),
                fittedOn = fields.text("fitted_on"),
                images = fields.int("images"),
                refused = fields.int("refused"),
            )
        }

        /** The bits of hexadecimal digits, the highest of each first; null when they are others or not as many. */
        fun bits(digits: String): BooleanArray? {
            if (!DIGITS.matches(digits)) return null
            return BooleanArray(COLOURS) { digits[it / 4].digitToInt(16) shr 3 - it % 4 and 1 == 1 }
        }

        private fun limit(fields: Fields): PhotoLimit {
            val found = PhotoLimit(
                fields.text("measure"),
                fields.doubleOrNull("low"),
                fields.doubleOrNull("high"),
                fields.text("rule"),
            )
            if ((found.low == null) == (found.high == null)) fields.malformed("a limit has not exactly one end")
            return found
        }
    }
}

/**
 * What was measured of a photo, by name, and [reasons] in plain words why it cannot be judged; none when it can.
 */
public class PhotoFindings internal constructor(
    public val values: Map<String, Double>,
    public val reasons: List<String>,
) {
    /** Whether the photo may be judged. */
    public val fit: Boolean get() = reasons.isEmpty()

    /** Why not, in one line; empty when it may. */
    public val reason: String get() = reasons.joinToString("; ")
}
