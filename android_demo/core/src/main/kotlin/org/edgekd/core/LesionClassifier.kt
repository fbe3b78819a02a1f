package org.edgekd.core

/**
 * Nanoseconds of one classification: [preprocessNs] from picture to bytes, [inferenceNs] from bytes to logits
 * (copying in and out included), [totalNs] from picture to assessment.
 */
public data class Timings(val preprocessNs: Long, val inferenceNs: Long, val totalNs: Long)

/**
 * What the model says of a picture. **Not a diagnosis.**
 *
 * [score] is in log odds and means nothing but beside the threshold of the card: [malignant] says on which side
 * it lies, [borderline] whether it lies too close to it (null: the card has no such band). [probability] is
 * that of malignancy among pictures like those the model was calibrated on. [logits] are in the order of the
 * card's labels.
 *
 * [without] names what the model takes of the person and was not told; it was told nothing in its place.
 *
 * [photo] is what was measured of the picture (null: the card knows no limits for that). Where it is not `fit`,
 * its `reason` belongs in the place of the call: Python refuses such a photo unless told to judge it anyway.
 */
public data class Assessment(
    val score: Double,
    val probability: Double,
    val malignant: Boolean,
    val borderline: Boolean?,
    val logits: List<Float>,
    val timings: Timings,
    val photo: PhotoFindings? = null,
    val without: List<String> = emptyList(),
)

/**
 * A model and the engine that runs it: pictures in, assessments out.
 *
 *     val bundle = Bundle.open(files)
 *     LesionClassifier(bundle, engine).use { it.classify(picture, Person(age = 71.0, sex = "female")) }
 *
 * May be called from any thread, one call at a time; not from the main thread of an app. Closing it closes the
 * engine.
 *
 * @throws EdgekdError.EngineMismatch the engine holds a model of another shape than the card describes
 */
public class LesionClassifier(bundle: Bundle, private val engine: Engine) : AutoCloseable {
    public val card: Card = bundle.card

    /** What computes. */
    public val engineFacts: EngineFacts get() = engine.facts

    private val score = Score(card)
    private val path = PixelPath(card.inputPx)
    private val pixels = ByteArray(path.byteCount)
    private val patient = ByteArray(card.patientLength)
    private val logits = FloatArray(card.labels.size)
    private val measures =
        if (card.quality != null && card.inputPx >= PhotoMeasures.SMALLEST) PhotoMeasures(card.inputPx) else null

    init {
        checkFits(engine, card)
    }

    /**
     * The assessment of an upright [picture] of [person], of whom nothing has to be known. What the model takes
     * of a person is in the card's `patient`; a model of pictures alone (null there) uses nothing of it.
     *
     * @throws EdgekdError.PictureTooLarge see [PictureLimits]
     * @throws EdgekdError.EmptyPicture it has no pixels
     * @throws EdgekdError.EngineFailed the model could not be run
     */
    @Synchronized
    public fun classify(picture: Picture, person: Person = Person.UNKNOWN): Assessment {
        val began = System.nanoTime()
        path.prepare(picture, pixels)
        return answer(pixels, person, began)
    }

    /** The assessment of [pixels] that are ready: RGB bytes [inputPx, inputPx, 3]. */
    @Synchronized
    public fun assess(pixels: ByteArray, person: Person = Person.UNKNOWN): Assessment =
        answer(checked(pixels), person, System.nanoTime())

    /** The assessment of [pixels] beside the bytes [known] of a patient vector, which no person has to have. */
    @Synchronized
    internal fun assess(pixels: ByteArray, known: ByteArray): Assessment =
        answer(checked(pixels), known, System.nanoTime())

    /** The bytes that [classify] would feed to the network, in an array of their own. */
    @Synchronized
    public fun prepare(picture: Picture): ByteArray = ByteArray(path.byteCount).also { path.prepare(picture, it) }

    @Synchronized
    override fun close(): Unit = engine.close()

    private fun checked(pixels: ByteArray): ByteArray {
        require(pixels.size == path.byteCount) { "${pixels.size} bytes, ${path.byteCount} are expected" }
        return pixels
    }

    private fun answer(pixels: ByteArray, person: Person, began: Long): Assessment {
        card.patient?.write(person, patient)
        return answer(pixels, patient, began).copy(without = card.patient?.leftOpen(person).orEmpty())
    }

    private fun answer(pixels: ByteArray, known: ByteArray, began: Long): Assessment {
        val ready = System.nanoTime()
        engine.feed(pixels, known)
        engine.invoke()
        engine.read(logits)
        val ran = System.nanoTime()
        val found = score.of(logits)
        val photo = card.quality?.let { measures?.judge(it, pixels) }
        return Assessment(
            score = found,
            probability = score.probability(found),
            malignant = score.malignant(found),
            borderline = score.borderline(found),
            logits = logits.toList(),
            timings = Timings(ready - began, ran - ready, System.nanoTime() - began),
            photo = photo,
        )
    }
}

/** Nothing, when the model in [engine] has the inputs and the outputs that [card] describes. */
internal fun checkFits(engine: Engine, card: Card) {
    if (engine.inputPx != card.inputPx) {
        throw EdgekdError.EngineMismatch(
            "its input is ${engine.inputPx} pixels wide, the card says ${card.inputPx}",
        )
    }
    if (engine.patientLength != card.patientLength) {
        throw EdgekdError.EngineMismatch(
            "beside the picture it takes ${engine.patientLength} values of the person, the card says " +
                "${card.patientLength}",
        )
    }
    if (engine.logitCount != card.labels.size) {
        throw EdgekdError.EngineMismatch("it has ${engine.logitCount} outputs, the card ${card.labels.size} labels")
    }
}
