package org.edgekd.core

import kotlin.math.roundToInt

/** Writes an `edgekd.bench/1` record; every name and unit is that of Python's `edgekd_bench.record`. */
internal class BenchRecord(
    private val bundle: Bundle,
    private val options: BenchOptions,
    private val device: DeviceFacts,
    private val versions: Map<String, String>,
    private val measuredAt: String,
) {
    fun unavailable(reason: String): String = JsonText.of(facts("unavailable", reason))

    fun failed(reason: String): String = JsonText.of(facts("failed", reason))

    fun measured(rounds: List<Round>, golden: GoldenReport): String {
        val engine = rounds.first().engine
        val software = device.simulation
        val record = facts("ok", software?.let { "ran on $it: correctness only, no latency" })
        record["versions"] = versions + bundle.manifest.tools + (engine.name to engine.version) +
            ("golden set" to "${golden.sentence} Largest difference of a logit: ${golden.largestLogitDifference}")
        record["actual_accelerator"] = software ?: engine.accelerator
        record["rounds"] = rounds.size
        record["engine"] = engine(engine, software)
        if (software == null) record.putAll(figures(rounds))
        return JsonText.of(record)
    }

    private fun facts(status: String, reason: String?): MutableMap<String, Any?> = mutableMapOf(
        "schema" to "edgekd.bench/1",
        "model" to model(),
        "requested_accelerator" to options.requestedAccelerator,
        "actual_accelerator" to null,
        "device" to device(),
        "versions" to versions + bundle.manifest.tools,
        "threads" to options.threads,
        "rounds" to 0,
        "measured_at" to measuredAt,
        "status" to status,
        "reason" to reason,
    )

    private fun model(): Map<String, Any?> = mapOf(
        "name" to bundle.card.name,
        "sha256" to bundle.modelSha256,
        "size_bytes" to bundle.modelSizeBytes,
        "precision" to bundle.card.precision,
        "input" to inputs(bundle.card).map { mapOf("shape" to it, "dtype" to "uint8") },
    )

    private fun inputs(card: Card): List<List<Int>> =
        listOf(listOf(1, card.inputPx, card.inputPx, 3)) +
            listOfNotNull(card.patient?.let { listOf(1, it.columns.size) })

    private fun device(): Map<String, Any?> = mapOf(
        "cpu" to device.cpu,
        "isa" to device.isa,
        "cores" to device.cores,
        "os" to device.os,
        "governor" to device.governor,
        "frequency_mhz" to device.frequencyMhz,
        "load_average_1min" to device.loadAverage1min,
        "temperature_c" to device.temperatureC,
    )

    private fun engine(engine: EngineFacts, software: String?): Map<String, Any?> = mapOf(
        "name" to engine.name,
        "version" to engine.version,
        "kernels" to engine.kernels,
        "threads" to engine.threads,
        "isa" to engine.isa,
        "accelerator" to (software ?: engine.accelerator),
    )

    private fun figures(rounds: List<Round>): Map<String, Any?> {
        val runs = rounds.flatMap { it.runsMs }
        return mapOf(
            "latency_ms" to mapOf(
                "min" to runs.min(),
                "p50" to Timing.percentile(runs, 0.5),
                "p90" to Timing.percentile(runs, 0.9),
                "p95" to Timing.percentile(runs, 0.95),
                "p99" to Timing.percentile(runs, 0.99),
                "mean" to runs.average(),
                "first" to Timing.median(rounds.map { it.firstMs }),
                "n" to runs.size,
            ),
            "rounds_ms" to rounds.map { round ->
                mapOf(
                    "p50" to Timing.percentile(round.runsMs, 0.5),
                    "p90" to Timing.percentile(round.runsMs, 0.9),
                    "n" to round.runsMs.size,
                )
            },
            "init_ms" to Timing.median(rounds.map { it.initMs }),
            "timer_precision_ms" to Timing.precisionMs(),
            "noise" to device.noise + noise(rounds, runs),
        )
    }

    /** Why the latencies are not to be trusted, by the rules of `edgekd bench`. */
    private fun noise(rounds: List<Round>, runs: List<Double>): List<String> {
        val leftOut = (PASSING * rounds.size).toInt()
        val threads = options.threads
        val unsteady = rounds.count { !it.steady }
        val medians = rounds.map { Timing.median(it.runsMs) }.sorted()
        val apart = medians[medians.size - 1 - leftOut] / medians[leftOut] - 1
        val tail = Timing.percentile(runs, 0.9) / Timing.percentile(runs, 0.5)
        return listOfNotNull(
            "$threads threads on ${device.cores} cores".takeIf { threads > device.cores },
            "not steady after warm-up in $unsteady of ${rounds.size} rounds".takeIf { unsteady > leftOut },
            "medians of the rounds differ by ${(apart * 100).roundToInt()}%".takeIf { apart > ROUNDS_APART },
            "p90 is ${(tail * 10).roundToInt() / 10.0} times p50".takeIf { tail > TAIL },
        )
    }

    private companion object {
        const val PASSING = 0.1
        const val ROUNDS_APART = 0.10
        const val TAIL = 1.5
    }
}
