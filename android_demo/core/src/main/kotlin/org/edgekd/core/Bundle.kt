package org.edgekd.core

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.security.MessageDigest

/** Where the files of a bundle lie: a folder, the assets of an app, an archive. */
public interface BundleFiles {
    /** The path of every file, relative, with `/` between its parts; in any order. */
    public fun names(): List<String>

    /**
     * The bytes of the file [path]; the caller closes them.
     *
     * @throws IOException it is not there or cannot be read
     */
    public fun open(path: String): InputStream
}

/** The files in and below [folder]. */
public class FolderFiles(private val folder: File) : BundleFiles {
    override fun names(): List<String> =
        folder.walkTopDown().filter { it.isFile }.map { it.relativeTo(folder).invariantSeparatorsPath }.toList()

    override fun open(path: String): InputStream = File(folder, path).inputStream()
}

/**
 * A bundle whose every byte was compared with its manifest, and whose model this library can serve.
 *
 * [files] gives the bytes: an engine loads [modelPath] from there.
 */
public class Bundle private constructor(
    public val files: BundleFiles,
    public val manifest: Manifest,
    public val card: Card,
) {
    /** The path of the model file. */
    public val modelPath: String get() = manifest.model

    /** The sha256 of the model file, hexadecimal. */
    public val modelSha256: String get() = manifest.files.getValue(modelPath).sha256

    /** The size of the model file in bytes. */
    public val modelSizeBytes: Long get() = manifest.files.getValue(modelPath).sizeBytes

    /**
     * The golden pictures and answers.
     *
     * @throws EdgekdError.Malformed golden.json is not what it should be
     */
    public fun golden(): GoldenSet = GoldenSet.parse(read(manifest.golden), manifest, card)

    /**
     * The whole file [path].
     *
     * @throws EdgekdError.MissingFile it cannot be read
     */
    public fun read(path: String): ByteArray = files.read(path)

    public companion object {
        private const val BUFFER = 1 shl 16
        private const val MAX_DOCUMENT = 16L shl 20

        /**
         * The bundle in [files], made for [platform].
         *
         * Every file is read once, with constant memory, and its sha256 compared; files that the manifest does
         * not list are refused, so that nothing can be slipped in beside it. A signature is for
         * `edgekd verify-bundle` to check, before a bundle goes into an app.
         *
         * @throws EdgekdError the first thing that is wrong
         */
        public fun open(files: BundleFiles, platform: String = "android"): Bundle {
            val manifest = Manifest.parse(readManifest(files))
            if (manifest.platform != platform) throw EdgekdError.WrongPlatform(manifest.platform, platform)
            checkNames(files, manifest)
            for ((path, facts) in manifest.files) check(files, path, facts)
            return Bundle(files, manifest, Card.parse(files.read(manifest.card), manifest.card))
        }

        private fun readManifest(files: BundleFiles): ByteArray = try {
            files.read(Manifest.PATH)
        } catch (error: EdgekdError.MissingFile) {
            throw EdgekdError.NoBundle(error)
        }

        private fun checkNames(files: BundleFiles, manifest: Manifest) {
            val found = try {
                files.names().toSet()
            } catch (error: IOException) {
                throw EdgekdError.NoBundle(error)
            }
            manifest.files.keys.firstOrNull { it !in found }?.let { throw EdgekdError.MissingFile(it) }
            val known = manifest.files.keys + Manifest.PATH + Manifest.SIGNATURE
            found.sorted().firstOrNull { it !in known }?.let { throw EdgekdError.ExtraFile(it) }
        }

        private fun check(files: BundleFiles, path: String, facts: FileFacts) {
            val digest = MessageDigest.getInstance("SHA-256")
            val size = files.eachBlock(path) { block, length -> digest.update(block, 0, length) }
            if (size != facts.sizeBytes || hexadecimal(digest.digest()) != facts.sha256) {
                throw EdgekdError.AlteredFile(path)
            }
        }

        private fun hexadecimal(bytes: ByteArray): String =
            bytes.joinToString("") { (it.toInt() and 0xFF).toString(16).padStart(2, '0') }

        private fun BundleFiles.read(path: String): ByteArray {
            val found = ByteArrayOutputStream()
            eachBlock(path) { block, length ->
                if (found.size() + length > MAX_DOCUMENT) {
                    throw EdgekdError.Malformed(path, "it is larger than ${MAX_DOCUMENT shr 20} MiB")
                }
                found.write(block, 0, length)
            }
            return found.toByteArray()
        }

        /** Hands every block of the file to [take]; the number of bytes. */
        private fun BundleFiles.eachBlock(path: String, take: (ByteArray, Int) -> Unit): Long {
            val block = ByteArray(BUFFER)
            var size = 0L
            try {
                open(path).use { stream ->
                    while (true) {
                        val length = stream.read(block)
                        if (length < 0) return size
                        take(block, length)
                        size += length
                    }
                }
            } catch (error: IOException) {
                throw EdgekdError.MissingFile(path, error)
            }
        }
    }
}
