package org.edgekd.app

import android.app.Activity
import android.content.ClipData
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.TextView
import org.json.JSONObject
import java.util.Locale

/**
 * The benchmark on this phone: golden set, timed runs, a record to share.
 *
 * Started through its alias AdbBench it begins at once, with the extras `accelerator`, `rounds` and `runs`.
 */
class BenchActivity : Activity() {
    private val app by lazy { application as App }
    private val listener: (BenchState) -> Unit = ::show

    override fun onCreate(saved: Bundle?) {
        super.onCreate(saved)
        setContentView(R.layout.bench)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        part<Button>(R.id.bench_start).setOnClickListener { begin(BenchWish(app.session.state.asked)) }
        part<Button>(R.id.bench_share).setOnClickListener { share() }
        if (saved == null) beginIfAsked(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        beginIfAsked(intent)
    }

    override fun onStart() {
        super.onStart()
        app.bench.watch(listener)
    }

    override fun onStop() {
        app.bench.forget(listener)
        super.onStop()
    }

    private fun beginIfAsked(intent: Intent) {
        if (intent.component?.className?.endsWith(ADB_ALIAS) != true) return
        val name = intent.getStringExtra(ACCELERATOR) ?: Accelerator.CPU.label
        val accelerator = Accelerator.of(name)
        val rounds = intent.getIntExtra(ROUNDS, BenchWish.ROUNDS)
        val runs = intent.getIntExtra(RUNS, BenchWish.RUNS)
        when {
            accelerator == null -> app.bench.refuse(
                getString(
                    R.string.bench_unknown_accelerator,
                    name,
                    Accelerator.values().joinToString(", ") { it.label },
                ),
            )
            rounds !in 1..BenchWish.MOST || runs !in 1..BenchWish.MOST ->
                app.bench.refuse(getString(R.string.bench_out_of_range, rounds, runs, BenchWish.MOST))
            else -> begin(BenchWish(accelerator, rounds, runs))
        }
    }

    private fun begin(wish: BenchWish) = app.bench.start(wish)

    private fun show(state: BenchState) {
        visible(R.id.bench_busy, state.running)
        part<Button>(R.id.bench_start).isEnabled = !state.running
        text(R.id.bench_intro, intro(state))
        visible(R.id.bench_answer, state.record != null || state.problem != null)
        visible(R.id.bench_golden, state.record != null)
        visible(R.id.bench_share, state.record != null)
        state.problem?.let(::showProblem)
        state.record?.let(::showRecord)
    }

    private fun intro(state: BenchState): String {
        val wish = state.wish
        if (wish == null || !state.running) return getString(R.string.bench_intro, BenchWish.ROUNDS, BenchWish.RUNS)
        return "${getString(R.string.bench_running)} ${getString(R.string.bench_round, state.done, wish.rounds)}"
    }

    private fun showProblem(problem: String) {
        text(R.id.bench_figures, problem)
        visible(R.id.bench_written, false)
    }

    private fun showRecord(record: BenchRecord) {
        val passed = record.json.getString("status") == "ok"
        visible(R.id.bench_golden, passed)
        text(R.id.bench_golden, getString(R.string.golden_passed, record.pictures))
        text(R.id.bench_figures, figures(record.json))
        visible(R.id.bench_written, true)
        text(R.id.bench_written, getString(R.string.bench_written, record.file.path))
    }

    private fun figures(json: JSONObject): String {
        val latency = json.optJSONObject("latency_ms")
            ?: return getString(R.string.bench_no_figures, json.getString("reason"))
        fun ms(name: String) = String.format(resources.configuration.locales[0], "%.2f", latency.getDouble(name))
        val accelerator = json.getString("actual_accelerator").uppercase(Locale.ROOT)
        val threads = json.getInt("threads")
        return getString(R.string.bench_figures, accelerator, ms("p50"), ms("p90"), latency.getInt("n"), threads)
    }

    private fun share() {
        val record = app.bench.state.record ?: return
        val uri = SharedFiles.bench(this, record.file)
        val send = Intent(Intent.ACTION_SEND).setType("application/json").putExtra(Intent.EXTRA_STREAM, uri)
        send.putExtra(Intent.EXTRA_SUBJECT, record.file.name)
        send.clipData = ClipData.newRawUri(null, uri)
        send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivity(Intent.createChooser(send, getString(R.string.bench_share_title)))
    }

    private fun text(id: Int, text: String) {
        part<TextView>(id).text = text
    }

    private fun visible(id: Int, visible: Boolean) {
        part<View>(id).visibility = if (visible) View.VISIBLE else View.GONE
    }

    private companion object {
        const val ADB_ALIAS = ".AdbBench"
        const val ACCELERATOR = "accelerator"
        const val ROUNDS = "rounds"
        const val RUNS = "runs"
    }
}
