package org.edgekd.core

/**
 * Plain values as indented JSON with sorted names and a final newline: maps, lists, texts, finite numbers,
 * booleans and null.
 */
internal object JsonText {
    fun of(value: Any?): String = StringBuilder().also { it.put(value, "\n") }.append('\n').toString()

    private fun StringBuilder.put(value: Any?, line: String) {
        when (value) {
            null, is Boolean, is Int, is Long -> append(value)
            is Double -> append(finite(value))
            is String -> text(value)
            is List<*> -> lines('[', ']', value, line) { put(it, "$line  ") }
            is Map<*, *> -> lines('{', '}', value.entries.sortedBy { it.key as String }, line) { (name, item) ->
                text(name as String)
                append(": ")
                put(item, "$line  ")
            }
            else -> throw IllegalArgumentException("${value::class.java} has no place in JSON")
        }
    }

    private fun <T> StringBuilder.lines(
        open: Char,
        close: Char,
        items: Collection<T>,
        line: String,
        each: (T) -> Unit,
    ) {
        append(open)
        for ((n, item) in items.withIndex()) {
            if (n > 0) append(',')
            append(line).append("  ")
            each(item)
        }
        if (items.isNotEmpty()) append(line)
        append(close)
    }

    private fun finite(value: Double): Double {
        require(!value.isNaN() && !value.isInfinite()) { "$value is no number of JSON" }
        return value
    }

    private fun StringBuilder.text(value: String) {
        append('"')
        for (one in value) {
            when {
                one == '"' || one == '\\' -> append('\\').append(one)
                one < ' ' || one.isSurrogate() || one.code >= ASCII_END ->
                    append("\\u").append(one.code.toString(16).padStart(4, '0'))
                else -> append(one)
            }
        }
        append('"')
    }

    private const val ASCII_END = 0x7F
}
