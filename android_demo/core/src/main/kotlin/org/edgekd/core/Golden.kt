package org.edgekd.core

/**
 * One golden picture: the file [image] of [width] × [height] pixels, the bytes [input] that Python fed to the
 * network (RGB, row-major), and its answer: [logits] float32 after dequantization, [score], [malignant].
 */
public class GoldenItem internal constructor(
    public val image: String,
    public val width: Int,
    public val height: Int,
    public val input: String,
    public val inputSha256: String,
    public val logits: FloatArray,
    public val score: Double,
    public val malignant: Boolean,
)

/**
 * What Python answered on the pictures of the bundle (`edgekd.golden/1`), by the engine [engineName]
 * [engineVersion] on the machine [engineIsa]. [patient] are the bytes fed to the second input with every
 * picture; none where there is no such input.
 */
public class GoldenSet private constructor(fields: Fields) {
    public val inputPx: Int = fields.int("input_px")
    public val engineName: String
    public val engineVersion: String
    public val engineIsa: String
    public val patient: ByteArray = if (fields.isNull("patient")) ByteArray(0) else fields.bytes("patient")
    public val items: List<GoldenItem> = fields.list("items").map(::item)

    init {
        val engine = fields.fields("engine")
        engineName = engine.text("name")
        engineVersion = engine.text("version")
        engineIsa = engine.text("isa")
        if (items.isEmpty()) fields.malformed("it holds no picture")
    }

    internal companion object {
        const val SCHEMA: String = "edgekd.golden/1"

        fun parse(bytes: ByteArray, manifest: Manifest, card: Card): GoldenSet {
            val file = manifest.golden
            val fields = Fields.of(Json.parse(bytes, file), file)
            checkSchema(fields, file, SCHEMA)
            val found = GoldenSet(fields)
            if (found.inputPx != card.inputPx) fields.malformed("input_px is not that of the card")
            if (found.patient.size != card.patientLength) {
                fields.malformed("patient has ${found.patient.size} bytes, the card ${card.patientLength} columns")
            }
            for (item in found.items) {
                val listed = manifest.files[item.input]
                if (item.image !in manifest.files || listed?.sha256 != item.inputSha256) {
                    fields.malformed("${item.image} or ${item.input} is not the file of the manifest")
                }
                if (item.logits.size != card.labels.size) {
                    fields.malformed("${item.image} has ${item.logits.size} logits")
                }
            }
            return found
        }

        private fun item(fields: Fields): GoldenItem = GoldenItem(
            image = fields.text("image"),
            width = fields.int("width"),
            height = fields.int("height"),
            input = fields.text("input"),
            inputSha256 = fields.text("input_sha256"),
            logits = fields.doubles("logits").map { it.toFloat() }.toFloatArray(),
            score = fields.double("score"),
            malignant = fields.bool("malignant"),
        )
    }
}
