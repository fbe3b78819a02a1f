package org.edgekd.core

import kotlin.math.abs

/** An input of a model file: its [shape], whether its bytes are [signed], its [quantization] (null: none). */
public class InputTensor(
    public val shape: List<Int>,
    public val signed: Boolean,
    public val quantization: Quantization?,
)

/**
 * Which input of a model takes the picture, and which, if any, the person: places [image] and [patient] in the
 * file's own order, [px] the side of the picture, [patientLength] the number of bytes of the person (0: none).
 */
public class ModelInputs private constructor(
    public val image: Int,
    public val patient: Int?,
    public val px: Int,
    public val patientLength: Int,
) {
    public companion object {
        /**
         * What the [inputs] of a file, in their order, are for: told by their shapes, for either may come first.
         *
         * @throws EdgekdError.EngineMismatch they are neither a picture nor a picture and a vector of whole bytes
         */
        public fun of(inputs: List<InputTensor>): ModelInputs {
            val vector = inputs.indices.singleOrNull { inputs[it].shape.size == 2 }
            val image = inputs.indices.singleOrNull { it != vector }
            if (image == null) throw EdgekdError.EngineMismatch("its inputs are not one picture and at most one vector")
            checkImage(inputs[image].shape)
            vector?.let { checkPatient(inputs[it]) }
            return ModelInputs(image, vector, inputs[image].shape[1], vector?.let { inputs[it].shape[1] } ?: 0)
        }

        private fun checkImage(shape: List<Int>) {
            if (shape.size != 4 || shape[0] != 1 || shape[1] != shape[2] || shape[3] != 3) {
                throw EdgekdError.EngineMismatch("its input is $shape, [1, px, px, 3] is expected")
            }
        }

        private fun checkPatient(input: InputTensor) {
            val steps = input.quantization
            val zeroPoint = if (input.signed) SIGNED_ZERO else 0
            val whole = steps == null || (abs(steps.scale * BYTE - 1) < ROUNDING && steps.zeroPoint == zeroPoint)
            if (input.shape[0] != 1 || !whole) {
                throw EdgekdError.EngineMismatch("its patient input is ${input.shape}, bytes [1, f] are expected")
            }
        }

        private const val BYTE = 255f
        private const val SIGNED_ZERO = -128
        private const val ROUNDING = 1e-5f
    }
}
