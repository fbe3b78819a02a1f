package org.edgekd.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

/** Which input is which, told by their shapes. */
class ModelInputsTest {
    private val image = InputTensor(listOf(1, 32, 32, 3), signed = false, Quantization(1 / 127.5f, 128))

    private fun person(
        shape: List<Int> = listOf(1, 5),
        signed: Boolean = false,
        quantization: Quantization? = Quantization(1 / 255f, if (signed) -128 else 0),
    ) = InputTensor(shape, signed, quantization)

    private fun found(vararg inputs: InputTensor): List<Int?> =
        ModelInputs.of(inputs.toList()).run { listOf(image, patient, px, patientLength) }

    @Test
    fun eitherMayComeFirst() {
        assertEquals(listOf(0, null, 32, 0), found(image))
        assertEquals(listOf(0, 1, 32, 5), found(image, person()))
        assertEquals(listOf(1, 0, 32, 5), found(person(signed = true), image))
        assertEquals(listOf(1, 0, 32, 5), found(person(quantization = null), image))
    }

    @Test
    fun whatIsNeitherIsRefused() {
        for (inputs in listOf(
            listOf(),
            listOf(person()),
            listOf(image, image),
            listOf(person(), person()),
            listOf(image, person(), person()),
            listOf(image, image, person()),
            listOf(image, person(listOf(2, 5))),
            listOf(image, person(quantization = Quantization(1 / 127.5f, 0))),
            listOf(image, person(quantization = Quantization(1 / 255f, 1))),
            listOf(image, person(signed = true, quantization = Quantization(1 / 255f, 0))),
            listOf(InputTensor(listOf(1, 32, 31, 3), signed = false, null)),
            listOf(InputTensor(listOf(1, 32, 32, 1), signed = false, null), person()),
        )) {
            assertThrows(EdgekdError.EngineMismatch::class.java) { ModelInputs.of(inputs) }
        }
    }
}
