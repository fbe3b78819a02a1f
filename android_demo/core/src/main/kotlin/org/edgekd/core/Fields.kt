package org.edgekd.core

/** The members of a JSON object, asked for by name and kind; [where] and [file] are named in errors. */
internal class Fields private constructor(
    private val members: Map<String, Json>,
    private val file: String,
    private val where: String,
) {
    private val asked = HashSet<String>()

    /** The names of all members. */
    val names: Set<String> get() = members.keys

    fun text(name: String): String = when (val found = get(name)) {
        is Json.Text -> found.value
        else -> expected(name, "a text", found)
    }

    fun textOrNull(name: String): String? = if (isNull(name)) null else text(name)

    fun bool(name: String): Boolean = when (val found = get(name)) {
        is Json.Bool -> found.value
        else -> expected(name, "true or false", found)
    }

    fun int(name: String): Int {
        val number = (get(name) as? Json.Number)?.text
        return number?.toIntOrNull() ?: expected(name, "a whole number", get(name))
    }

    fun long(name: String): Long {
        val number = (get(name) as? Json.Number)?.text
        return number?.toLongOrNull() ?: expected(name, "a whole number", get(name))
    }

    fun double(name: String): Double = finite(get(name), name)

    fun doubleOrNull(name: String): Double? = if (isNull(name)) null else double(name)

    fun doubles(name: String): List<Double> = items(name).mapIndexed { n, item -> finite(item, "$name[$n]") }

    fun bytes(name: String): ByteArray = items(name).mapIndexed { n, item ->
        val byte = (item as? Json.Number)?.text?.toIntOrNull()?.takeIf { it in 0..LAST_BYTE }
        byte?.toByte() ?: expected("$name[$n]", "a whole number from 0 to $LAST_BYTE", item)
    }.toByteArray()

    fun texts(name: String): List<String> = items(name).mapIndexed { n, item ->
        (item as? Json.Text)?.value ?: expected("$name[$n]", "a text", item)
    }

    fun textMap(name: String): Map<String, String> {
        val inner = fields(name)
        return inner.names.associateWith { inner.text(it) }
    }

    fun fields(name: String): Fields = of(get(name), file, path(name))

    fun fieldsOrNull(name: String): Fields? = if (isNull(name)) null else fields(name)

    fun list(name: String): List<Fields> =
        items(name).mapIndexed { n, item -> of(item, file, "${path(name)}[$n]") }

    /** Refuses members nobody asked for: what they demand would be ignored in silence. */
    fun nothingElse() {
        val unknown = names.firstOrNull { it !in asked } ?: return
        malformed("${path(unknown)} is not known to this app")
    }

    fun malformed(detail: String): Nothing = throw EdgekdError.Malformed(file, detail)

    /** Whether the member is null or absent. */
    fun isNull(name: String): Boolean {
        asked.add(name)
        return (members[name] ?: Json.Null) == Json.Null
    }

    private fun items(name: String): List<Json> = when (val found = get(name)) {
        is Json.Array -> found.items
        else -> expected(name, "a list", found)
    }

    private fun finite(found: Json, name: String): Double {
        val value = (found as? Json.Number)?.text?.toDouble()
        if (value == null || value.isNaN() || value.isInfinite()) expected(name, "a finite number", found)
        return value
    }

    private fun get(name: String): Json {
        asked.add(name)
        return members[name] ?: malformed("${path(name)} is missing")
    }

    private fun expected(name: String, kind: String, found: Json): Nothing =
        malformed("${path(name)} is ${found.kind}, $kind is expected")

    private fun path(name: String): String = if (where.isEmpty()) name else "$where.$name"

    companion object {
        private const val LAST_BYTE = 255

        fun of(value: Json, file: String, where: String = ""): Fields {
            val found = value as? Json.Object
                ?: throw EdgekdError.Malformed(
                    file,
                    "${where.ifEmpty { "it" }} is ${value.kind}, an object is expected",
                )
            return Fields(found.members, file, where)
        }
    }
}
