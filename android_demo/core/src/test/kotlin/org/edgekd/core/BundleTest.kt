package org.edgekd.core

import java.io.File
import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BundleTest {
    @get:Rule
    val folder = TemporaryFolder()

    private inline fun <reified T : EdgekdError> refuses(alter: TestBundle.() -> Unit): T {
        val bundle = TestBundle().apply(alter)
        return assertThrows(T::class.java) { Bundle.open(bundle).golden() }
    }

    @Test
    fun whatItHolds() {
        val files = TestBundle()
        val bundle = Bundle.open(files)
        assertEquals("model.tflite", bundle.modelPath)
        assertEquals(TestBundle.sha256(files.files.getValue("model.tflite")), bundle.modelSha256)
        assertEquals(100_000L, bundle.modelSizeBytes)
        assertEquals("passed", bundle.manifest.verdict)
        assertEquals("tiny-int8", bundle.card.name)
        val golden = bundle.golden()
        val engine = listOf(golden.engineName, golden.engineVersion, golden.engineIsa)
        assertEquals(listOf("ai-edge-litert", "2", "x86_64"), engine)
        val item = golden.items.single()
        assertArrayEquals(floatArrayOf(1.5f, -2f, 0.25f), item.logits, 0f)
        assertEquals(listOf(3, 2, true), listOf(item.width, item.height, item.malignant))
    }

    @Test
    fun aFolderAndASignature() {
        for ((path, bytes) in TestBundle().files + ("model.sig" to byteArrayOf(1))) {
            val file = File(folder.root, path)
            file.parentFile.mkdirs()
            file.writeBytes(bytes)
        }
        assertEquals("tiny-int8", Bundle.open(FolderFiles(folder.root)).card.name)
        assertThrows(EdgekdError.NoBundle::class.java) { Bundle.open(FolderFiles(File(folder.root, "golden"))) }
        assertThrows(EdgekdError.NoBundle::class.java) { Bundle.open(FolderFiles(File(folder.root, "absent"))) }
    }

    /** One bit of any file altered: it is refused, and the file is named. */
    @Test
    fun everyAlteredByteIsNoticed() {
        val random = Random(3)
        for (path in TestBundle().names() - "manifest.json") {
            repeat(20) {
                val refused = refuses<EdgekdError.AlteredFile> {
                    val bytes = files.getValue(path)
                    val at = random.nextInt(bytes.size)
                    bytes[at] = (bytes[at].toInt() xor (1 shl random.nextInt(8))).toByte()
                }
                assertEquals(path, refused.path)
            }
            refuses<EdgekdError.AlteredFile> { files[path] = files.getValue(path) + 0 }
            refuses<EdgekdError.AlteredFile> { files[path] = ByteArray(0) }
        }
    }

    @Test
    fun filesThatAreMissingOrTooMany() {
        refuses<EdgekdError.NoBundle> { files.remove("manifest.json") }
        assertEquals("model.tflite", refuses<EdgekdError.MissingFile> { files.remove("model.tflite") }.path)
        assertEquals("golden/01.png", refuses<EdgekdError.ExtraFile> { files["golden/01.png"] = byteArrayOf() }.path)
    }

    @Test
    fun aManifestThatIsNotOne() {
        refuses<EdgekdError.WrongPlatform> { seal("web") }
        refuses<EdgekdError.UnknownSchema> { replace("manifest.json", "bundle/1", "bundle/2") }
        refuses<EdgekdError.Malformed> { replace("manifest.json", "\"name\": \"n\",", "") }
        refuses<EdgekdError.Malformed> { replace("manifest.json", "\"model\": \"model.tflite\"", "\"model\": \"m\"") }
        val outside = listOf("../LICENSE", "/LICENSE", "a//LICENSE", "./LICENSE", "a/../LICENSE", "a\\\\LICENSE", "")
        for (path in outside + "manifest.json") {
            refuses<EdgekdError.Malformed> { replace("manifest.json", "\"LICENSE\"", "\"$path\"") }
        }
        refuses<EdgekdError.Malformed> { replace("manifest.json", "\"sha256\": \"", "\"sha256\": \"A") }
        refuses<EdgekdError.Malformed> { files["manifest.json"] = byteArrayOf() }
        refuses<EdgekdError.Malformed> { files["manifest.json"] = ByteArray((16 shl 20) + 1) { ' '.code.toByte() } }
    }

    @Test
    fun aGoldenSetThatIsNotOfThisModel() {
        for ((old, new) in mapOf(
            "\"input_px\": 2" to "\"input_px\": 3",
            "[1.5, -2, 0.25]" to "[1.5, -2]",
            "golden/00.png" to "golden/01.png",
            "\"input_sha256\": \"" to "\"input_sha256\": \"0",
            "\"malignant\": true" to "\"malignant\": 1",
            "\"patient\": null" to "\"patient\": [0]",
            "\"patient\": null," to "\"patient\": [256],",
        )) {
            refuses<EdgekdError.Malformed> {
                replace("golden/golden.json", old, new)
                seal()
            }
        }
    }

    /** The card is refused after its bytes were found to be the manifest's. */
    @Test
    fun aCardThatCannotBeServed() {
        refuses<EdgekdError.NeedsHairRemoval> {
            replace("card.json", "\"none\"", "\"dullrazor\"")
            seal()
        }
    }
}
