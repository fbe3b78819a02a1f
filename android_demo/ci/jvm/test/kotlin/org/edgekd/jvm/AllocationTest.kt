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

    /**
     * An object takes 16 bytes at the least, so that one a call would show. The JVM's own compiler may allocate some
     * hundred bytes once, when it takes a method up.
     */
    private fun assertNothingPerCall(calls: Int, what: String, run: () -> Unit) {
        val bytes = allocated(calls, run)
        assertTrue("$what: $bytes bytes by $calls calls", bytes < 16L * calls)
    }

    /** The counter counts: without this what follows would prove nothing. */
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
                assertNothingPerCall(CALLS, bundle.card.name) {
                    engine.feed(pixels, known)
                    engine.invoke()
                    engine.read(logits)
                    sum += score.of(logits)
                }
                assertTrue(sum.isFinite())
            }
        }
    }

    @Test
    fun thePersonAllocatesNothing() {
        val made = Given.bundles.firstNotNullOf { it.card.patient }
        val known = ByteArray(made.columns.size)
        val person = Person(50.0, "female", "head/neck")
        assertNothingPerCall(CALLS, "person") { made.write(person, known) }
        assertTrue(known.any { it != 0.toByte() })
    }

    /** Pictures of one size after the first. */
    @Test
    fun preprocessingAllocatesNothing() {
        val picture = ArgbPicture(640, 480, IntArray(640 * 480) { 0xFF shl 24 or it })
        val path = PixelPath(96)
        val into = ByteArray(path.byteCount)
        assertNothingPerCall(100, "picture") { path.prepare(picture, into) }
    }

    private companion object {
        const val WARM_UP = 50
        const val CALLS = 500
    }
}
