package org.edgekd.core

import java.io.ByteArrayInputStream
import java.io.FileNotFoundException
import java.io.InputStream
import java.security.MessageDigest

/** A bundle in memory whose files can be altered. */
internal class TestBundle(card: String = CARD) : BundleFiles {
    val files = sortedMapOf(
        "model.tflite" to ByteArray(100_000) { (it * 31).toByte() },
        "card.json" to card.toByteArray(),
        "golden/00.png" to byteArrayOf(1, 2, 3),
        "golden/00.rgb" to ByteArray(2 * 2 * 3) { it.toByte() },
        "LICENSE" to "text".toByteArray(),
    )

    init {
        files["golden/golden.json"] = golden(sha256(files.getValue("golden/00.rgb"))).toByteArray()
        seal()
    }

    /** Writes the manifest of the files as they are. */
    fun seal(platform: String = "android") {
        files.remove("manifest.json")
        val listed = files.entries.joinToString(",") { (path, bytes) ->
            """"$path": {"sha256": "${sha256(bytes)}", "size_bytes": ${bytes.size}}"""
        }
        files["manifest.json"] =
            """{"schema": "edgekd.bundle/1", "platform": "$platform", "name": "n", "precision": "int8",
            "model": "model.tflite", "card": "card.json", "golden": "golden/golden.json", "verdict": "passed",
            "tools": {"edgekd": "1"}, "files": {$listed}, "later": [1]}""".toByteArray()
    }

    fun replace(path: String, old: String, new: String) {
        val text = String(files.getValue(path))
        check(old in text) { old }
        files[path] = text.replace(old, new).toByteArray()
    }

    override fun names(): List<String> = files.keys.toList()

    override fun open(path: String): InputStream =
        ByteArrayInputStream(files[path] ?: throw FileNotFoundException(path))

    companion object {
        val CARD = """
            {
              "schema": "edgekd.card/1", "name": "tiny-int8", "precision": "int8", "input_px": 2,
              "labels": ["mel", "nv", "bkl"], "malignant": ["mel"],
              "pixel_rule": "upright RGB, centre square, edgekd.resample/1 to input_px, uint8",
              "hair_removal": "none", "patient": null,
              "score_rule": "logsumexp(malignant logits) - logsumexp(benign logits)",
              "operating_point": {"rule": "sensitivity_at_least(0.9)", "threshold": -1.25,
                                  "fitted_on": "validation", "borderline_halfwidth": 0.5, "borderline_rule": "r"},
              "temperature": 2.0, "margin": null, "intended_use": "Research.", "limits": ["a", "b"],
              "provenance": {"edgekd": "0.1.0"}
            }
        """.trimIndent()

        private fun golden(sha256: String) =
            """{"schema": "edgekd.golden/1", "input_px": 2, "patient": null,
            "engine": {"name": "ai-edge-litert", "version": "2", "isa": "x86_64", "threads": 1}, "items": [
            {"image": "golden/00.png", "width": 3, "height": 2, "input": "golden/00.rgb", "input_sha256": "$sha256",
             "logits": [1.5, -2, 0.25], "score": 1.1, "malignant": true, "origin": "generated"}]}"""

        fun sha256(bytes: ByteArray): String =
            MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
    }
}
