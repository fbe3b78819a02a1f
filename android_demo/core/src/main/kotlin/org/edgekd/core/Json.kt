package org.edgekd.core

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/** A JSON value (RFC 8259). */
internal sealed class Json {
    data class Object(val members: Map<String, Json>) : Json()

    data class Array(val items: List<Json>) : Json()

    data class Text(val value: String) : Json()

    /** [text] is the number as it was written, so that nothing is lost before somebody asks for its kind. */
    data class Number(val text: String) : Json()

    data class Bool(val value: Boolean) : Json()

    object Null : Json()

    /** What to call this value in a message. */
    val kind: String
        get() = when (this) {
            is Object -> "an object"
            is Array -> "a list"
            is Text -> "a text"
            is Number -> "a number"
            is Bool -> "true or false"
            Null -> "null"
        }

    companion object {
        /**
         * The value in [bytes] (UTF-8); [file] is named in the error.
         *
         * Stricter than many readers: no byte order mark, no repeated name, no half of a surrogate pair, no
         * NaN, nothing behind the value, at most [JsonReader.MAX_DEPTH] levels.
         */
        fun parse(bytes: ByteArray, file: String): Json {
            val decoder = Charsets.UTF_8.newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT)
            val text = try {
                decoder.decode(ByteBuffer.wrap(bytes)).toString()
            } catch (_: CharacterCodingException) {
                throw EdgekdError.Malformed(file, "it is not text in UTF-8")
            }
            return JsonReader(text, file).document()
        }
    }
}

/** Reads one JSON document from [text]. */
internal class JsonReader(private val text: String, private val file: String) {
    private var at = 0
    private var depth = 0

    fun document(): Json {
        val value = value()
        skipSpace()
        if (at != text.length) fail("something follows the end")
        return value
    }

    private fun value(): Json {
        skipSpace()
        return when (val head = peek()) {
            '{' -> nested { members() }
            '[' -> nested { items() }
            '"' -> Json.Text(string())
            't' -> word("true", Json.Bool(true))
            'f' -> word("false", Json.Bool(false))
            'n' -> word("null", Json.Null)
            else -> if (head == '-' || head in '0'..'9') number() else fail("a value is expected")
        }
    }

    private inline fun nested(read: () -> Json): Json {
        if (++depth > MAX_DEPTH) fail("more than $MAX_DEPTH levels")
        at++
        return read().also { depth-- }
    }

    private fun members(): Json {
        val found = LinkedHashMap<String, Json>()
        if (closes('}')) return Json.Object(found)
        do {
            skipSpace()
            if (peek() != '"') fail("a name in quotes is expected")
            val name = string()
            skipSpace()
            if (!closes(':')) fail("a colon is expected")
            if (found.put(name, value()) != null) fail("the name \"$name\" is repeated")
        } while (goesOn('}'))
        return Json.Object(found)
    }

    private fun items(): Json {
        val found = ArrayList<Json>()
        if (closes(']')) return Json.Array(found)
        do found.add(value()) while (goesOn(']'))
        return Json.Array(found)
    }

    private fun closes(mark: Char): Boolean {
        skipSpace()
        if (peek() != mark) return false
        at++
        return true
    }

    private fun goesOn(end: Char): Boolean {
        if (closes(',')) return true
        if (closes(end)) return false
        fail("a comma or $end is expected")
    }

    private fun word(word: String, value: Json): Json {
        if (!text.startsWith(word, at)) fail("a value is expected")
        at += word.length
        return value
    }

    private fun number(): Json {
        val start = at
        if (peek() == '-') at++
        if (peek() == '0') at++ else digits()
        if (peek() == '.') {
            at++
            digits()
        }
        if (peek() == 'e' || peek() == 'E') {
            at++
            if (peek() == '+' || peek() == '-') at++
            digits()
        }
        return Json.Number(text.substring(start, at))
    }

    private fun digits() {
        if (peek() !in '0'..'9') fail("a digit is expected")
        while (peek() in '0'..'9') at++
    }

    private fun string(): String {
        at++
        val found = StringBuilder()
        while (true) {
            when (val next = next()) {
                '"' -> return found.toString().also { checkPairs(it) }
                '\\' -> found.append(escaped())
                else -> if (next < ' ') fail("a control character in a text") else found.append(next)
            }
        }
    }

    private fun escaped(): Char = when (val mark = next()) {
        '"', '\\', '/' -> mark
        'b' -> '\b'
        'f' -> '\u000c'
        'n' -> '\n'
        'r' -> '\r'
        't' -> '\t'
        'u' -> hexadecimal()
        else -> fail("\\$mark means nothing")
    }

    private fun hexadecimal(): Char {
        var code = 0
        repeat(4) {
            val digit = HEX.indexOf(next().lowercaseChar())
            if (digit < 0) fail("four hexadecimal digits are expected")
            code = code * 16 + digit
        }
        return code.toChar()
    }

    private fun checkPairs(found: String) {
        var index = 0
        while (index < found.length) {
            val one = found[index++]
            if (!one.isSurrogate()) continue
            val whole = one.isHighSurrogate() && index < found.length && found[index++].isLowSurrogate()
            if (!whole) fail("half of a surrogate pair in a text")
        }
    }

    private fun skipSpace() {
        while (at < text.length && text[at] in " \t\n\r") at++
    }

    /** The next character without taking it; a character that JSON forbids everywhere at the end. */
    private fun peek(): Char = if (at < text.length) text[at] else '\u0000'

    private fun next(): Char = if (at < text.length) text[at++] else fail("it ends too early")

    private fun fail(reason: String): Nothing {
        val before = text.substring(0, minOf(at, text.length))
        val line = before.count { it == '\n' } + 1
        val column = before.length - before.lastIndexOf('\n')
        throw EdgekdError.Malformed(file, "it is not JSON, $reason in line $line, column $column")
    }

    companion object {
        const val MAX_DEPTH = 64
        private const val HEX = "0123456789abcdef"
    }
}
