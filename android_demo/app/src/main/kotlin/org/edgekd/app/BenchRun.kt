package org.edgekd.app

import android.util.Log
import org.edgekd.core.BenchOptions
import org.edgekd.core.BenchProgress
import org.edgekd.core.Benchmark
import org.edgekd.core.Bundle
import org.edgekd.core.DeviceFacts
import org.edgekd.core.Engine
import org.edgekd.core.EngineOpener
import org.json.JSONObject
import java.io.File
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone

/** What to measure: [runs] in each of [rounds], on [accelerator]. */
data class BenchWish(val accelerator: Accelerator, val rounds: Int = ROUNDS, val runs: Int = RUNS) {
    init {
        require(rounds in 1..MOST && runs in 1..MOST)
    }

    companion object {
        const val ROUNDS: Int = 5
        const val RUNS: Int = 50

        /** The most rounds, and the most runs of one. */
        const val MOST: Int = 10_000
    }
}

/** A written record: the [file] (edgekd.bench/1), its content, and of how many [pictures] the golden set is. */
class BenchRecord(val file: File, val json: JSONObject, val pictures: Int)

/** How far the benchmark is: [done] of the rounds of [wish]; [record] or [problem] when it is over. */
data class BenchState(
    val wish: BenchWish? = null,
    val running: Boolean = false,
    val done: Int = 0,
    val record: BenchRecord? = null,
    val problem: String? = null,
)

/**
 * The benchmark of this process; like the session it outlives its screen.
 *
 * Every start is answered by one line in the log, under the tag `edgekd`, whether a screen is there or not:
 * whoever started it with adb waits for that line.
 */
class BenchRun(private val app: App, private val device: () -> DeviceFacts) {
    private val listeners = LinkedHashSet<(BenchState) -> Unit>()

    /** What is shown now. */
    var state: BenchState = BenchState()
        private set

    /** Calls [listener] now and at every change, until [forget]. */
    fun watch(listener: (BenchState) -> Unit) {
        listeners += listener
        listener(state)
    }

    /** Stops telling [listener]. */
    fun forget(listener: (BenchState) -> Unit) {
        listeners -= listener
    }

    /** Says why nothing is measured; what is under way goes on. */
    fun refuse(problem: String) {
        Log.e(TAG, problem)
        if (!state.running) show(BenchState(problem = problem))
    }

    /** Measures what is wished for, unless a measurement is under way. */
    fun start(wish: BenchWish) {
        if (state.running) return refuse(app.getString(R.string.bench_under_way))
        show(BenchState(wish, running = true))
        app.worker.execute {
            val record = runCatching {
                val bundle = Bundle.open(app.files)
                write(wish, measure(bundle, wish), bundle.golden().items.size)
            }
            app.screen.execute {
                val problem = record.exceptionOrNull()?.let { Sentences(app.resources).of(it) }
                show(state.copy(running = false, record = record.getOrNull(), problem = problem))
                record.onSuccess { Log.i(TAG, "record: ${it.file.path}") }
                problem?.let { Log.e(TAG, it) }
            }
        }
    }

    private fun measure(bundle: Bundle, wish: BenchWish): String {
        val opener = object : EngineOpener {
            override fun open(): Engine = app.engines.open(bundle, wish.accelerator)
        }
        val options = BenchOptions(
            requestedAccelerator = wish.accelerator.label,
            threads = threadsOf(wish.accelerator),
            rounds = wish.rounds,
            runsPerRound = wish.runs,
        )
        val progress = object : BenchProgress {
            override fun round(done: Int, rounds: Int) = app.screen.execute { show(state.copy(done = done)) }
        }
        val versions = app.engines.versions + (app.packageName to BuildConfig.VERSION_NAME)
        val decoder = Photos(app.contentResolver, app.cacheDir)
        return Benchmark(bundle, opener, options, device(), versions).run(now(), decoder, progress)
    }

    private fun write(wish: BenchWish, text: String, pictures: Int): BenchRecord {
        val json = JSONObject(text)
        val name = json.getJSONObject("model").getString("name")
        val threads = threadsOf(wish.accelerator)
        val file = File(SharedFiles.benches(app), "$name@${wish.accelerator.label}-${threads}t.json")
        file.writeText(text)
        return BenchRecord(file, json, pictures)
    }

    private fun show(next: BenchState) {
        state = next
        listeners.toList().forEach { it(next) }
    }

    private companion object {
        const val TAG = "edgekd"

        /** Now, in UTC, as the other records say it. */
        fun now(): String = SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT)
            .apply { timeZone = TimeZone.getTimeZone("UTC") }.format(Date())
    }
}
