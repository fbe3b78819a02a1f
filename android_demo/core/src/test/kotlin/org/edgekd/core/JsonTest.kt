package org.edgekd.core

import java.util.Random
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class JsonTest {
    private fun parse(text: String) = Json.parse(text.toByteArray(), "x.json")

    private fun refusal(text: String): String =
        assertThrows(text, EdgekdError.Malformed::class.java) { parse(text) }.message

    @Test
    fun values() {
        assertEquals(
            Json.Object(
                mapOf(
                    "a" to Json.Array(listOf(Json.Number("1"), Json.Number("-0.5e+3"), Json.Null)),
                    "ü" to Json.Text("\" \\ / \b \u000c \n \r \t \u00e4 😀"),
                    "" to Json.Bool(true),
                    "o" to Json.Object(emptyMap()),
                    "l" to Json.Array(emptyList()),
                ),
            ),
            parse(
                """ { "a" : [1, -0.5e+3 ,null], "ü": "\" \\ \/ \b \f \n \r \t \u00e4 \uD83D\uDE00",
                    "":true,"o":{ },"l":[ ]} """,
            ),
        )
    }

    @Test
    fun refusalsSayWhere() {
        assertEquals(
            "x.json cannot be read: it is not JSON, a digit is expected in line 2, column 7.",
            refusal("[1,\n 1, 2.]"),
        )
        assertTrue("repeated" in refusal("""{"a": 1, "a": 2}"""))
        assertTrue("UTF-8" in assertThrows(EdgekdError.Malformed::class.java) {
            Json.parse(byteArrayOf(0x22, 0xC3.toByte(), 0x22), "x")
        }.message)
    }

    @Test
    fun whatIsNotJsonIsRefused() {
        val broken = listOf(
            "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "[1 2]", "01", "+1", "-", ".5", "1.",
            "1e", "1e+",
            "NaN", "Infinity", "-Infinity", "nul", "True", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u12\"", "\"\\ud83d\"",
            "\"\\ude00\"", "\"\\ud83dx\"", "\"\t\"", "1 1", "{} {}", "\uFEFF{}", "{\"a\"}", "{\"a\":}", "{1:2}", "[,]",
            "//\n1", "[1]x", "\u00a01", "{\"a\":1 \"b\":2}",
        )
        for (text in broken) refusal(text)
    }

    @Test
    fun depthIsLimited() {
        val depth = JsonReader.MAX_DEPTH
        parse("[".repeat(depth) + "]".repeat(depth))
        assertTrue("levels" in refusal("[".repeat(depth + 1) + "]".repeat(depth + 1)))
        assertTrue("levels" in refusal("[".repeat(1_000_000)))
    }

    @Test
    fun writtenTextReadsBack() {
        val value = mapOf("b" to listOf(1, 2L, 0.1, -1e-9, true, null, "ä\"\\\n\u007f😀"), "a" to mapOf<String, Any?>())
        assertEquals(
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2,\n    0.1,\n    -1.0E-9,\n    true,\n    null,\n" +
                "    \"\\u00e4\\\"\\\\\\u000a\\u007f\\ud83d\\ude00\"\n  ]\n}\n",
            JsonText.of(value),
        )
        val back = (parse(JsonText.of(value)) as Json.Object).members["b"] as Json.Array
        assertEquals(Json.Text("ä\"\\\n\u007f😀"), back.items.last())
        assertThrows(IllegalArgumentException::class.java) { JsonText.of(Double.NaN) }
    }

    /** Cut, doubled and altered documents: a value or a [EdgekdError.Malformed], never anything else. */
    @Test
    fun alteredDocumentsNeverCrash() {
        val random = Random(7)
        val whole = TestBundle.CARD.toByteArray()
        var refused = 0
        repeat(20_000) {
            try {
                Json.parse(altered(whole, random), "x")
            } catch (_: EdgekdError.Malformed) {
                refused++
            }
        }
        assertTrue("$refused refused", refused > 5_000)
    }
}

/** Bytes that mean something in JSON. */
private val TELLING = "{}[]\",:\\0-9.eEtfn \u0000".toByteArray()

/** [whole] with up to four bytes altered, taken out, put in, or its end cut off. */
internal fun altered(whole: ByteArray, random: Random): ByteArray {
    val found = whole.toMutableList()
    repeat(1 + random.nextInt(4)) {
        if (found.isEmpty()) return@repeat
        val at = random.nextInt(found.size)
        val any = random.nextInt(256).toByte()
        val byte = if (random.nextBoolean()) TELLING[random.nextInt(TELLING.size)] else any
        when (random.nextInt(8)) {
            0 -> found.removeAt(at)
            1 -> found.add(at, byte)
            2 -> found.subList(at, found.size).clear()
            else -> found[at] = byte
        }
    }
    return found.toByteArray()
}
