// LiteRT.js on the processor of this device, one thread, no graphics card.

import { Refusal } from "./card.js";

// A module that uses an instruction of relaxed SIMD: where it is valid the faster build runs. It is the test
// LiteRT.js makes itself; made here so that the service worker keeps only the build that is used.
const RELAXED = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2,
  253, 15, 253, 128, 2, 11);

/** The build of LiteRT.js for this browser: the name of its files below runtime/wasm/. */
export function build() {
  return WebAssembly.validate(RELAXED) ? "litert_wasm_internal" : "litert_wasm_compat_internal";
}

/** A function from uint8 RGB [px][px][3] to the logits (Float32Array), for the bytes of a model file. */
export async function openEngine(model, page) {
  if (typeof WebAssembly !== "object") throw new Refusal("This browser has no WebAssembly: the model cannot run in it.");
  const runtime = await load();
  const compiled = await compile(runtime, model);
  const { px } = page.input;
  return async (pixels) => {
    const input = new runtime.Tensor(pixels, [1, px, px, 3]);
    const outputs = await compiled.run(input);
    try {
      return dequantized(outputs[0].toTypedArray(), page.output);
    } finally {
      for (const tensor of [input, ...outputs]) tensor.delete();
    }
  };
}

async function load() {
  try {
    const runtime = await import("./runtime/index.js");
    withoutGraphics();
    await runtime.loadLiteRt(new URL(`runtime/wasm/${build()}.js`, document.baseURI).href);
    return runtime;
  } catch (error) {
    throw new Refusal(`LiteRT.js cannot be started in this browser (${said(error)}).`);
  }
}

/** LiteRT.js asks for a graphics device even when it is not to use one; here it finds none. */
function withoutGraphics() {
  Object.defineProperty(navigator, "gpu", { value: { requestAdapter: async () => null }, configurable: true });
}

async function compile(runtime, model) {
  try {
    return await runtime.loadAndCompile(model, { accelerator: "wasm" });
  } catch (error) {
    throw new Refusal(`The model file cannot be loaded (${said(error)}).`);
  }
}

function said(error) {
  return String(error?.message ?? error).split("\n")[0];
}

/** Stored outputs as real values; float32 arithmetic, as in Python. */
function dequantized(stored, { dtype, scale, zero_point: zero, count }) {
  const expected = dtype === "uint8" ? Uint8Array : Float32Array;
  if (!(stored instanceof expected) || stored.length !== count) {
    throw new Refusal(`The model answers ${stored.length} values of another kind than page.json says.`);
  }
  if (dtype !== "uint8") return Float32Array.from(stored);
  return Float32Array.from(stored, (value) => (value - zero) * Math.fround(scale));
}
