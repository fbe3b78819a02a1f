package org.edgekd.app

import android.graphics.Bitmap
import android.net.Uri
import org.edgekd.core.Assessment
import org.edgekd.core.Bundle
import org.edgekd.core.EngineFacts
import org.edgekd.core.LesionClassifier
import org.edgekd.core.Person
import org.edgekd.core.Picture

/** What was found in a photo of whom was [told]: [seen] is the network's input; times beside those of [assessment]. */
class Answer(
    val assessment: Assessment,
    val seen: Bitmap,
    val told: Told,
    val openingNs: Long,
    val totalNs: Long,
)

/** What keeps the worker busy. */
enum class Busy { OPENING, LOOKING }

/**
 * What the screens show.
 *
 * [refusal] says why the bundle is not used: then there is no [bundle] and never will be. [running] is what
 * really computes, null while no engine is open, whatever was [asked] for. [problem] is what went wrong last.
 * [told] is what is known of the person; where it changed after the photo was looked at, that is [stale].
 */
data class State(
    val bundle: Bundle? = null,
    val refusal: String? = null,
    val asked: Accelerator = Accelerator.CPU,
    val running: EngineFacts? = null,
    val busy: Busy? = Busy.OPENING,
    val problem: String? = null,
    val photo: Uri? = null,
    val answer: Answer? = null,
    val told: Told = Told(),
    val stale: Boolean = false,
)

/**
 * The bundle, the engine and the last photo, for as long as the process lives.
 *
 * Called on the main thread; the work is done on the app's worker, in the order in which it was asked for, and
 * what was overtaken by a newer wish is not shown.
 */
class Session(private val app: App) {
    private val sentences get() = Sentences(app.resources)
    private val photos = Photos(app.contentResolver, app.cacheDir)
    private val listeners = LinkedHashSet<(State) -> Unit>()
    private var wishes = 0
    private var classifier: LesionClassifier? = null // the worker's alone

    /** What is shown now. */
    var state: State = State()
        private set

    init {
        app.worker.execute { openBundle() }
    }

    /** Calls [listener] now and at every change, until [forget]. */
    fun watch(listener: (State) -> Unit) {
        listeners += listener
        listener(state)
    }

    /** Stops telling [listener]. */
    fun forget(listener: (State) -> Unit) {
        listeners -= listener
    }

    /** Opens the model on [accelerator], and on nothing else; the photo is looked at again. */
    fun choose(accelerator: Accelerator) {
        if (accelerator == state.asked || state.refusal != null) return
        wish { it.copy(asked = accelerator, busy = Busy.OPENING, running = null, answer = null) }
        val bundle = state.bundle ?: return // openBundle will open what is asked for by then
        openAndLook(bundle)
    }

    /** Looks at the photo at [uri]. */
    fun look(uri: Uri) {
        wish { it.copy(busy = Busy.LOOKING, photo = uri, answer = null) }
        val (wish, told) = wishes to state.told
        app.worker.execute { lookAt(uri, told, wish) }
    }

    /** Looks at the last photo again, with what is known of the person now. */
    fun again() {
        state.photo?.let(::look)
    }

    /** Takes what was [told] of the person; an answer about somebody else is not shown any longer. */
    fun tell(told: Told) {
        if (told != state.told) show(state.copy(told = told, answer = null, stale = state.photo != null))
    }

    /** Shows what went wrong outside: a camera that is not there, a permission that was not given. */
    fun report(problem: String) = show(state.copy(problem = problem))

    private fun openBundle() {
        val opened = runCatching { Bundle.open(app.files) }
        onScreen {
            opened.onSuccess { bundle ->
                show(state.copy(bundle = bundle))
                openAndLook(bundle)
            }
            opened.onFailure { show(state.copy(refusal = sentences.of(it), busy = null)) }
        }
    }

    private fun openAndLook(bundle: Bundle) {
        val (wish, wanted) = wishes to state
        app.worker.execute {
            val opened = openEngine(bundle, wanted.asked, wish)
            if (opened && wanted.photo != null) lookAt(wanted.photo, wanted.told, wish)
        }
    }

    /** Whether the engine opened. The old one is closed first: two models at once may be too much memory. */
    private fun openEngine(bundle: Bundle, accelerator: Accelerator, wish: Int): Boolean {
        classifier?.close()
        classifier = null
        val opened = runCatching {
            val engine = app.engines.open(bundle, accelerator)
            classifier = LesionClassifier(bundle, engine)
            engine.facts
        }
        onScreen(wish) {
            val busy = if (opened.isSuccess && state.photo != null) Busy.LOOKING else null
            show(state.copy(running = opened.getOrNull(), busy = busy, problem = opened.problem()))
        }
        return opened.isSuccess
    }

    private fun lookAt(uri: Uri, told: Told, wish: Int) {
        val (open, person) = classifier to told.person
        if (open == null || person == null) return onScreen(wish) { show(state.copy(busy = null)) }
        val answer = runCatching { answer(open, uri, told, person) }
        onScreen(wish) {
            val current = answer.getOrNull()?.takeIf { told == state.told }
            show(state.copy(busy = null, answer = current, problem = answer.problem()))
        }
    }

    private fun answer(open: LesionClassifier, uri: Uri, told: Told, person: Person): Answer {
        val start = System.nanoTime()
        return photos.open(uri).use { photo ->
            val opened = System.nanoTime()
            val (assessment, seen) = assess(open, photo.picture, person)
            Answer(assessment, seen, told, opened - start, System.nanoTime() - start)
        }
    }

    private fun assess(open: LesionClassifier, picture: Picture, person: Person): Pair<Assessment, Bitmap> {
        val start = System.nanoTime()
        val pixels = open.prepare(picture)
        val prepared = System.nanoTime() - start
        val found = open.assess(pixels, person)
        val timings = found.timings.copy(preprocessNs = prepared, totalNs = prepared + found.timings.totalNs)
        return found.copy(timings = timings) to bitmap(pixels, open.card.inputPx)
    }

    private fun bitmap(pixels: ByteArray, px: Int): Bitmap {
        fun channel(at: Int) = pixels[at].toInt() and 0xFF
        val colours = IntArray(px * px) { at ->
            (0xFF shl 24) or (channel(3 * at) shl 16) or (channel(3 * at + 1) shl 8) or channel(3 * at + 2)
        }
        return Bitmap.createBitmap(colours, px, px, Bitmap.Config.ARGB_8888)
    }

    private fun Result<*>.problem(): String? = exceptionOrNull()?.let(sentences::of)

    private fun wish(change: (State) -> State) {
        wishes++
        show(change(state).copy(problem = null, stale = false))
    }

    private fun onScreen(wish: Int, change: () -> Unit) = onScreen { if (wish == wishes) change() }

    private fun onScreen(change: () -> Unit) = app.screen.execute(change)

    private fun show(next: State) {
        state = next
        listeners.toList().forEach { it(next) }
    }
}
