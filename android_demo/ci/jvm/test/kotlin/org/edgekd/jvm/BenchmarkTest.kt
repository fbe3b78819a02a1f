package org.edgekd.jvm

import java.io.File
import org.edgekd.core.BenchOptions
import org.edgekd.core.BenchProgress
import org.edgekd.core.Benchmark
import org.edgekd.core.Bundle
import org.edgekd.core.DeviceFacts
import org.edgekd.core.EdgekdError
import org.edgekd.core.Engine
import org.edgekd.core.EngineOpener
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

/** Writes records into the folder `edgekd.records`; Python reads them with its own reader afterwards. */
class BenchmarkTest {
    private val folder = File(Given.property("edgekd.records"))

    private fun device(simulation: String? = null, noise: List<String> = emptyList()) = DeviceFacts(
        cpu = "Maker Model (Chip) “ü”",
        isa = "x86_64",
        cores = 2,
        os = "Android 16 (API 36)",
        governor = "schedutil",
        frequencyMhz = 1804.8,
        temperatureC = 31.5,
        simulation = simulation,
        noise = noise,
    )

    private fun record(
        name: String,
        bundle: Bundle,
        device: DeviceFacts = device(),
        opener: EngineOpener = Given.opener(bundle),
        asked: String = "cpu",
    ): String {
        val options = BenchOptions(asked, rounds = 5, runsPerRound = 20, secondsPerRound = 0.0)
        val heard = ArrayList<Int>()
        val progress = object : BenchProgress {
            override fun round(done: Int, rounds: Int) {
                assertEquals(5, rounds)
                heard.add(done)
            }
        }
        val json = Benchmark(bundle, opener, options, device, mapOf("app" to "1.0"))
            .run("2026-11-21T12:00:00+00:00", PngDecoder, progress)
        File(folder, "$name.json").writeText(json)
        assertEquals(if ("\"status\": \"ok\"" in json) (1..5).toList() else emptyList(), heard)
        return json
    }

    @Test
    fun aRecordOfEveryModel() {
        for ((n, bundle) in Given.bundles.withIndex()) record("ok-$n", bundle)
        record("again", Given.bundles.first(), device(noise = listOf("power saving is on")))
    }

    @Test
    fun anEmulatorHasNoLatency() {
        val json = record("emulator", Given.bundles.first(), device("emulator"))
        assertFalse("latency_ms" in json || "rounds_ms" in json)
    }

    @Test
    fun whatCannotRunIsARecord() {
        val bundle = Given.bundles.first()
        val absent = object : EngineOpener {
            override fun open(): Engine = throw EdgekdError.AcceleratorUnavailable("gpu", "there is none")
        }
        assertTrue("\"unavailable\"" in record("no-gpu", bundle, opener = absent, asked = "gpu"))
        val broken = object : EngineOpener {
            override fun open(): Engine =
                LiteRtEngine(Given.property("edgekd.litert"), "", ByteArray(100))
        }
        assertTrue("\"failed\"" in record("broken", bundle, opener = broken))
        val other = Given.bundles.first { it.card.inputPx != bundle.card.inputPx }
        assertTrue("does not fit its card" in record("mismatch", bundle, opener = Given.opener(other)))
    }
}
