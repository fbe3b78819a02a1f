package org.edgekd.core

/** Length and sha256 (hexadecimal, lower case) of a file of a bundle. */
public class FileFacts internal constructor(public val sha256: String, public val sizeBytes: Long)

/**
 * What a bundle holds (`edgekd.bundle/1`): [files] are all but manifest.json itself and a signature; [model],
 * [card] and [golden] are paths among them; [tools] the versions that made it; [verdict] what verification
 * said (null in bundles that do not tell).
 */
public class Manifest private constructor(fields: Fields) {
    public val platform: String = fields.text("platform")
    public val name: String = fields.text("name")
    public val precision: String = fields.text("precision")
    public val model: String = fields.text("model")
    public val card: String = fields.text("card")
    public val golden: String = fields.text("golden")
    public val verdict: String? = fields.textOrNull("verdict")
    public val tools: Map<String, String> = fields.textMap("tools")
    public val files: Map<String, FileFacts> = files(fields.fields("files"))

    init {
        for (path in listOf(model, card, golden)) {
            if (path !in files) fields.malformed("it names $path and does not list it")
        }
    }

    public companion object {
        public const val SCHEMA: String = "edgekd.bundle/1"
        public const val PATH: String = "manifest.json"

        /** The one file beside the manifest that it does not list. */
        public const val SIGNATURE: String = "model.sig"

        private val SHA256 = Regex("[0-9a-f]{64}")
        private val PART = Regex("[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*")

        /**
         * The manifest in [bytes], JSON in UTF-8. Fields beyond those used here are let pass.
         *
         * @throws EdgekdError.Malformed it is not JSON, a field is missing, or a path leaves the folder
         * @throws EdgekdError.UnknownSchema it is not `edgekd.bundle/1`
         */
        public fun parse(bytes: ByteArray): Manifest {
            val fields = Fields.of(Json.parse(bytes, PATH), PATH)
            checkSchema(fields, PATH, SCHEMA)
            return Manifest(fields)
        }

        private fun files(listed: Fields): Map<String, FileFacts> =
            listed.names.associateWith { path ->
                if (path == PATH || !path.split('/').all(PART::matches)) {
                    listed.malformed("it lists \"$path\", which is no path inside the bundle")
                }
                val facts = listed.fields(path)
                val sha256 = facts.text("sha256")
                if (!SHA256.matches(sha256)) listed.malformed("the sha256 of $path is not one")
                FileFacts(sha256, facts.long("size_bytes"))
            }
    }
}
