package org.edgekd.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Test

/** Pictures and logits that Python wrote into the folder `edgekd.vectors`, and what it made of them. */
class VectorsTest {
    private val named: String? = System.getProperty("edgekd.vectors")
    private val folder = File(named ?: "absent")

    @Before
    fun asked() {
        assumeTrue("the property edgekd.vectors names no folder: Python writes it, see ci/run", named != null)
    }

    /** index.txt: `way width height px name` per picture; name.in holds RGB bytes, name.out the expected ones. */
    @Test
    fun everyByteIsPythons() {
        var compared = 0L
        val shapes = HashSet<String>()
        for (row in File(folder, "index.txt").readLines()) {
            val (way, width, height, px, name) = row.split(' ')
            val picture = rgb(width.toInt(), height.toInt(), File(folder, "$name.in").readBytes())
            val expected = File(folder, "$name.out").readBytes()
            val found = ByteArray(expected.size)
            val path = PixelPath(px.toInt())
            if (way == "prepare") path.prepare(picture, found) else path.resize(picture, found)
            assertEquals(row, 0, found.indices.count { found[it] != expected[it] })
            compared += found.size
            shapes.add("$width × $height to $px")
        }
        println("compared $compared bytes, ${shapes.size} shapes")
    }

    /** scores.bin: little endian, per row three float32 logits, then score and probability as float64. */
    @Test
    fun everyScoreIsPythons() {
        val score = Score(Card.parse(TestBundle.CARD.toByteArray()))
        val rows = ByteBuffer.wrap(File(folder, "scores.bin").readBytes()).order(ByteOrder.LITTLE_ENDIAN)
        var n = 0
        while (rows.hasRemaining()) {
            val found = score.of(FloatArray(3) { rows.float })
            val expected = rows.double
            val tolerance = 1e-6 * maxOf(1.0, abs(expected))
            assertEquals(expected, found, tolerance)
            assertEquals(rows.double, score.probability(found), 1e-6)
            n++
        }
        assertTrue(n > 1000)
        println("compared $n scores")
    }

    /** quality.txt: bits of the known colours; then `px name value …` per picture, values in [MEASURES]' order. */
    @Test
    fun everyFigureOfAPhotoIsPythons() {
        val rows = File(folder, "quality.txt").readLines()
        val known = PhotoQuality.bits(rows.first())!!
        for (row in rows.drop(1)) {
            val (px, name) = row.split(' ')
            val found = PhotoMeasures(px.toInt()).measure(File(folder, name).readBytes(), known)
            assertEquals(row, row.split(' ').drop(2).map(String::toDouble), MEASURES.map(found::getValue))
        }
        println("compared ${rows.size - 1} photos")
    }

    /** persons.json: inputs as cards have them, and for each what is known of persons and their bytes. */
    @Test
    fun everyByteOfAPersonIsPythons() {
        var n = 0
        val document = Fields.of(Json.parse(File(folder, "persons.json").readBytes(), "persons.json"), "persons.json")
        for (one in document.list("inputs")) {
            val made = PatientInput.of(one)!!
            for (row in one.list("persons")) {
                val person = Person(row.doubleOrNull("age"), row.textOrNull("sex"), row.textOrNull("site"))
                val told = "${row.doubleOrNull("age")}, ${row.textOrNull("sex")}, ${row.textOrNull("site")}"
                assertArrayEquals(told, row.bytes("bytes"), made.bytes(person))
                n++
            }
        }
        println("compared $n persons")
    }

    private fun rgb(width: Int, height: Int, bytes: ByteArray): Picture {
        fun byte(at: Int) = bytes[at].toInt() and 0xFF
        val pixels = IntArray(width * height) {
            0xFF shl 24 or (byte(3 * it) shl 16) or (byte(3 * it + 1) shl 8) or byte(3 * it + 2)
        }
        return ArgbPicture(width, height, pixels)
    }

    private companion object {
        val MEASURES =
            listOf("sharpness", "grain", "brightness", "clipped", "contrast", "roughness", "redness", "skin")
    }
}
