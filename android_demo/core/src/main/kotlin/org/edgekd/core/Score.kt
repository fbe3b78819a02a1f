package org.edgekd.core

import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln

/** Reads the logits of a network as its [card] says; float64 throughout, as in Python. */
public class Score(private val card: Card) {
    private val isMalignant = BooleanArray(card.labels.size) { card.labels[it] in card.malignant }

    /**
     * The log odds of malignancy: logsumexp(malignant logits) − logsumexp(benign logits). With a single logit
     * that logit is the score.
     *
     * @throws EdgekdError.EngineFailed a logit is not a finite number
     */
    public fun of(logits: FloatArray): Double {
        require(logits.size == isMalignant.size) { "${logits.size} logits, ${isMalignant.size} are expected" }
        for (logit in logits) {
            if (logit.isNaN() || logit.isInfinite()) {
                throw EdgekdError.EngineFailed("it gave an answer that is not a number")
            }
        }
        if (logits.size == 1) return logits[0].toDouble()
        return logSumExp(logits, true) - logSumExp(logits, false)
    }

    /** The probability of malignancy: sigmoid([score] / temperature). */
    public fun probability(score: Double): Double {
        val odds = exp(-abs(score / card.temperature)) // at most 1, so that nothing overflows
        return if (score >= 0) 1 / (1 + odds) else odds / (1 + odds)
    }

    /** Whether [score] is called malignant: at or above the threshold. */
    public fun malignant(score: Double): Boolean = score >= card.operatingPoint.threshold

    /** Whether [score] is too close to the threshold to be called; null where the card has no such band. */
    public fun borderline(score: Double): Boolean? {
        val halfwidth = card.operatingPoint.borderlineHalfwidth ?: return null
        return abs(score - card.operatingPoint.threshold) < halfwidth
    }

    /** ln(Σ exp(logit)) over the malignant or the benign logits; the largest is taken out first. */
    private fun logSumExp(logits: FloatArray, malignant: Boolean): Double {
        var largest = Double.NEGATIVE_INFINITY
        for (i in logits.indices) {
            if (isMalignant[i] == malignant) largest = maxOf(largest, logits[i].toDouble())
        }
        var sum = 0.0
        for (i in logits.indices) {
            if (isMalignant[i] == malignant) sum += exp(logits[i] - largest)
        }
        return largest + ln(sum)
    }
}
