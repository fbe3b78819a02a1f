package org.edgekd.jvm

import java.io.File
import kotlin.math.abs
import org.edgekd.core.ArgbPicture
import org.edgekd.core.EdgekdError
import org.edgekd.core.GoldenCheck
import org.edgekd.core.LesionClassifier
import org.edgekd.core.Picture
import org.edgekd.core.PictureLimits
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Real inference: the same library and kernels as Python's, so the same numbers to the last bit. */
class GoldenTest {
    @Test
    fun everyGoldenAnswerIsPythons() {
        for (bundle in Given.bundles) {
            LesionClassifier(bundle, Given.engine(bundle)).use { classifier ->
                val report = GoldenCheck(bundle, classifier).run(PngDecoder)
                for (item in report.items) {
                    assertEquals("${item.image}: bytes", 0, item.differingBytes)
                    assertEquals("${item.image}: logits", 0f, item.largestLogitDifference)
                    assertEquals("${item.image}: score", 0.0, item.scoreDifference, SCORE)
                    assertTrue("${item.image}: call", item.sameCall)
                }
                assertTrue(report.sentence, report.passed)
                assertEquals(Given.property("edgekd.litert.version"), bundle.golden().engineVersion)
                println("${bundle.card.name}: ${report.sentence}")
            }
        }
    }

    /** Answers that are all alike would agree whatever is wrong. */
    @Test
    fun theGoldenAnswersDiffer() {
        for (bundle in Given.bundles) {
            val items = bundle.golden().items
            assertTrue("${items.size}", items.size >= 8)
            assertTrue(bundle.card.name, items.map { it.score }.distinct().size > items.size / 2)
        }
    }

    /** The card may say which photos cannot be judged: one without any structure is told so, and judged. */
    @Test
    fun aPhotoThatCannotBeJudged() {
        val bundle = Given.bundles.first { it.card.quality != null }
        LesionClassifier(bundle, Given.engine(bundle)).use { classifier ->
            val plain = classifier.classify(ArgbPicture(60, 50, IntArray(3000) { 0xFFC0A090.toInt() }))
            val photo = requireNotNull(plain.photo)
            assertEquals("blurred (sharpness 0, at least 20 expected)", photo.reason)
            assertFalse(photo.fit)
            assertEquals(192.0 - 144.0, photo.values["redness"])
        }
    }

    @Test
    fun timesAndBand() {
        val bundle = Given.bundles.first()
        LesionClassifier(bundle, Given.engine(bundle)).use { classifier ->
            val item = bundle.golden().items.first()
            val picture = bundle.files.open(item.image).use(PngDecoder::decode)
            val found = classifier.classify(picture)
            val (preprocess, inference, total) = found.timings
            assertTrue("${found.timings}", preprocess > 0 && inference > 0 && total >= preprocess + inference)
            assertEquals(found.score >= bundle.card.operatingPoint.threshold, found.malignant)
            val distance = abs(found.score - bundle.card.operatingPoint.threshold)
            assertEquals(bundle.card.operatingPoint.borderlineHalfwidth?.let { distance < it }, found.borderline)
            assertEquals(bundle.card.quality == null, found.photo == null)
            assertEquals(classifier.assess(classifier.prepare(picture)).logits, found.logits)
        }
    }

    /** Linux lists the threads of a process; four of five are LiteRT's own, the fifth is the caller. */
    @Test
    fun asManyThreadsAsAskedFor() {
        val bundle = Given.bundles.first()
        val started = listOf(1, 5).map { threads ->
            val before = File("/proc/self/task").list().orEmpty().size
            Given.engine(bundle, threads).use {
                it.invoke()
                assertEquals(threads, it.facts.threads)
                File("/proc/self/task").list().orEmpty().size - before
            }
        }
        assertEquals(listOf(0, 4), started)
    }

    /** A model of another shape, bytes that are no model, a picture that is too large: typed, in a sentence. */
    @Test
    fun whatDoesNotFitIsRefused() {
        val (first, other) = Given.bundles.distinctBy { it.card.inputPx }
        val engine = Given.engine(other)
        assertThrows(EdgekdError.EngineMismatch::class.java) { LesionClassifier(first, engine) }
        engine.close()
        assertThrows(EdgekdError.EngineFailed::class.java) {
            LiteRtEngine(Given.property("edgekd.litert"), "", ByteArray(1000))
        }
        LesionClassifier(first, Given.engine(first)).use { classifier ->
            val huge = object : Picture {
                override val width = PictureLimits.MAX_PIXELS / 2
                override val height = 4
                override fun read(left: Int, top: Int, width: Int, height: Int, into: IntArray) = error("it was read")
            }
            assertThrows(EdgekdError.PictureTooLarge::class.java) { classifier.classify(huge) }
        }
    }

    private companion object {
        /** Given equal logits: exp and ln of two libraries differ in the last places. */
        const val SCORE = 1e-6
    }
}
