package org.edgekd.app

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View
import org.edgekd.core.Card
import kotlin.math.exp

/**
 * The score on a line whose middle is the operating point.
 *
 * A place on it is sigmoid((score − threshold) / temperature): whatever the model, left is called benign, right
 * malignant, and nothing falls off the ends.
 */
class ScoreView @JvmOverloads constructor(context: Context, attributes: AttributeSet? = null) :
    View(context, attributes) {
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG)
    private var place = MIDDLE
    private var band: ClosedFloatingPointRange<Double>? = null
    private var colour = context.getColor(R.color.text)

    /** Shows [score] against the operating point of [card]; [description] is read out. */
    fun show(card: Card, score: Double, malignant: Boolean, description: String) {
        val point = card.operatingPoint
        place = placeOf(score, card)
        band = point.borderlineHalfwidth?.let {
            placeOf(point.threshold - it, card)..placeOf(point.threshold + it, card)
        }
        colour = context.getColor(if (malignant) R.color.malignant else R.color.benign)
        contentDescription = description
        invalidate()
    }

    private fun placeOf(score: Double, card: Card): Double =
        1 / (1 + exp(-(score - card.operatingPoint.threshold) / card.temperature))

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val wanted = resolveSize((2 * dp(RADIUS_DP)).toInt(), heightMeasureSpec)
        setMeasuredDimension(getDefaultSize(0, widthMeasureSpec), wanted)
    }

    override fun onDraw(canvas: Canvas) {
        val (left, right) = dp(RADIUS_DP) to width - dp(RADIUS_DP)
        val line = dp(RADIUS_DP)
        drawLine(canvas, left, right, line, R.color.track)
        band?.let {
            drawLine(canvas, at(it.start, left, right), at(it.endInclusive, left, right), line, R.color.text_soft)
        }
        drawPoint(canvas, at(MIDDLE, left, right), line)
        paint.color = colour
        canvas.drawCircle(at(place, left, right), line, dp(RADIUS_DP), paint)
    }

    private fun at(place: Double, left: Float, right: Float): Float = left + (right - left) * place.toFloat()

    private fun drawLine(canvas: Canvas, from: Float, to: Float, y: Float, ofColour: Int) {
        paint.color = context.getColor(ofColour)
        paint.strokeWidth = dp(LINE_DP)
        paint.strokeCap = Paint.Cap.ROUND
        canvas.drawLine(from, y, to, y, paint)
    }

    private fun drawPoint(canvas: Canvas, x: Float, y: Float) {
        paint.color = context.getColor(R.color.text)
        paint.strokeWidth = dp(2f)
        canvas.drawLine(x, y - dp(RADIUS_DP), x, y + dp(RADIUS_DP), paint)
    }

    private fun dp(value: Float): Float =
        TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_DIP, value, resources.displayMetrics)

    private companion object {
        const val MIDDLE = 0.5
        const val LINE_DP = 8f
        const val RADIUS_DP = 11f
    }
}
