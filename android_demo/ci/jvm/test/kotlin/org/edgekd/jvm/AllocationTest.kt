package org.edgekd.jvm

import com.sun.management.ThreadMXBean
import java.lang.management.ManagementFactory
import org.edgekd.core.ArgbPicture
import org.edgekd.core.Person
import org.edgekd.core.PixelPath
import org.edgekd.core.Score
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

/** Bytes that this thread allocates on the heap, as the JVM counts them. */
class AllocationTest {
    private val bean = ManagementFactory.getThreadMXBean() as ThreadMXBean

    private fun allocated(times: Int, run: () -> Unit): Long {
        val thread = Thread.currentThread().id
        repeat(WARM_UP) { run() }
        val before = bean.getThreadAllocatedBytes(thread)
        repeat(times) { run() }
        return bean.getThreadAllocatedBytes(thread) - before
    }

    /** The counter counts: without this the zeros below would prove nothing. */
    @Test
    fun theCounterCounts() {
        var kept = ByteArray(0)
        assertEquals(100L * (1000 + 16), allocated(100) { kept = ByteArray(1000) })
        assertEquals(1000, kept.size)
    }

    @Test
    fun inferenceAllocatesNothing() {
        for (bundle in Given.bundles) {
            val score = Score(bundle.card)
            val pixels = bundle.read(bundle.golden().items.first().input)
            val logits = FloatArray(bundle.card.labels.size)
            val known = bundle.golden().patient
            var sum = 0.0
            Given.engine(bundle).use { engine ->
                val bytes = allocated(CALLS) {
                    engine.feed(pixels, known)
                    engine.invoke()
                    engine.read(logits)
                    sum += score.of(logits)
                }
                assertEquals("${bundle.card.name}, $sum", 0L, bytes)
            }
        }
    }

    /** A call allocates nothing; the JVM's compiler may, once, when it takes a method up. */
    @Test
    fun thePersonAllocatesNothing() {
        val made = Given.bundles.firstNotNullOf { it.card.patient }
        val known = ByteArray(made.columns.size)
        val person = Person(50.0, "female", "head/neck")
        val bytes = allocated(CALLS) { made.write(person, known) }
        assertTrue("$bytes bytes by $CALLS calls", bytes < CALLS)
        assertTrue(known.any { it != 0.toByte() })
    }

    /** Pictures of one size after the first. */
    @Test
    fun preprocessingAllocatesNothing() {
        val picture = ArgbPicture(640, 480, IntArray(640 * 480) { 0xFF shl 24 or it })
        val path = PixelPath(96)
        val into = ByteArray(path.byteCount)
        assertEquals(0L, allocated(20) { path.prepare(picture, into) })
    }

    private companion object {
        const val WARM_UP = 50
        const val CALLS = 500
    }
}
