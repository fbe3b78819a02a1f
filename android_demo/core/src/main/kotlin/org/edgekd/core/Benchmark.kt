package org.edgekd.core

/**
 * How much is measured: [rounds], each with a freshly opened engine, of at least [runsPerRound] runs and
 * [secondsPerRound] seconds after warm-up. [requestedAccelerator] is what was asked for, "cpu" or "gpu", and
 * [threads] how many.
 *
 * `edgekd compare` claims a difference of records with 5 rounds or more.
 */
public class BenchOptions(
    public val requestedAccelerator: String,
    public val threads: Int = 1,
    public val rounds: Int = 5,
    public val runsPerRound: Int = 50,
    public val secondsPerRound: Double = 0.2,
) {
    init {
        require(threads >= 1 && rounds >= 1 && runsPerRound >= 1 && secondsPerRound >= 0) {
            "$rounds rounds of $runsPerRound runs and $secondsPerRound s"
        }
    }
}

/**
 * The device when the measurement begins; null where it does not tell. [cpu] names maker, model and chip of a
 * phone; [frequencyMhz] and [temperatureC] are in these units. [simulation] names an emulator or a software
 * GPU: its record then shows correctness only and holds no latency. [noise] lists what is known to disturb,
 * such as a power saving mode.
 */
public class DeviceFacts(
    public val cpu: String,
    public val isa: String,
    public val cores: Int,
    public val os: String,
    public val governor: String? = null,
    public val frequencyMhz: Double? = null,
    public val loadAverage1min: Double? = null,
    public val temperatureC: Double? = null,
    public val simulation: String? = null,
    public val noise: List<String> = emptyList(),
)

/** Hears how far a benchmark is, on the thread that runs it. */
public interface BenchProgress {
    /** [done] of [rounds] rounds are over. */
    public fun round(done: Int, rounds: Int)
}

/**
 * Measures the model of [bundle] and writes what `edgekd bench` would have written: an `edgekd.bench/1` JSON
 * that `edgekd compare` and `edgekd leaderboard` read. [versions] names the app and its libraries.
 *
 * The golden set runs first; where it does not give Python's answers the record says so in place of a latency,
 * for the speed of a wrong answer means nothing.
 */
public class Benchmark(
    private val bundle: Bundle,
    private val opener: EngineOpener,
    private val options: BenchOptions,
    private val device: DeviceFacts,
    private val versions: Map<String, String>,
) {
    /**
     * The record as JSON, of a device that cannot run the model as well: then it holds the reason.
     *
     * [measuredAt] is the time in UTC, `2026-11-21T12:00:00+00:00`; [decoder] lets the golden pictures be
     * prepared here, too.
     */
    public fun run(measuredAt: String, decoder: PictureDecoder? = null, progress: BenchProgress? = null): String {
        val record = BenchRecord(bundle, options, device, versions, measuredAt)
        return try {
            val golden = golden(decoder)
            if (!golden.passed) return record.failed(golden.sentence)
            val rounds = (1..options.rounds).map { done -> round().also { progress?.round(done, options.rounds) } }
            record.measured(rounds, golden)
        } catch (error: EdgekdError.AcceleratorUnavailable) {
            record.unavailable(error.message)
        } catch (error: EdgekdError) {
            record.failed(error.message)
        }
    }

    private fun golden(decoder: PictureDecoder?): GoldenReport =
        LesionClassifier(bundle, opener.open()).use { GoldenCheck(bundle, it).run(decoder) }

    private fun round(): Round {
        lateinit var engine: Engine
        val initMs = Timing.once { engine = opener.open() }
        return engine.use {
            checkFits(it, bundle.card)
            it.feed(firstInput, ByteArray(it.patientLength)) // a person of whom nothing is known
            val firstMs = Timing.once(it::invoke)
            val steady = Timing.warmUp(it::invoke)
            val runs = Timing.runs(options.runsPerRound, options.secondsPerRound * MS_PER_S, it::invoke)
            Round(it.facts, initMs, firstMs, steady, runs)
        }
    }

    private val firstInput: ByteArray by lazy { bundle.read(bundle.golden().items.first().input) }

    private companion object {
        const val MS_PER_S = 1000
    }
}

/** What one round measured: the engine, and milliseconds. */
internal class Round(
    val engine: EngineFacts,
    val initMs: Double,
    val firstMs: Double,
    val steady: Boolean,
    val runsMs: List<Double>,
)
