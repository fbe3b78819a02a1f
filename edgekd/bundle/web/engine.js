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

/**
 * A function from uint8 RGB [px][px][3] and the bytes of the person (Uint8Array; null for a model of pictures
 * alone) to the logits (Float32Array), for the bytes of a model file.
 */
export async function openEngine(model, page) {
  if (typeof WebAssembly !== "object") throw new Refusal("This browser has no WebAssembly: the model cannot run in it.");
  const runtime = await load();
  const compiled = await compile(runtime, model);
  const shapes = shapesOf(page), order = inOrder(compiled.getInputDetails(), shapes);
  return async (pixels, patient) => {
    const given = { picture: pixels, patient };
    const inputs = order.map((name) => new runtime.Tensor(given[name], shapes[name]));
    const outputs = await compiled.run(inputs);
    try {
      return dequantized(outputs[0].toTypedArray(), page.output);
    } finally {
      for (const tensor of [...inputs, ...outputs]) tensor.delete();
    }
  };
}

/** The shapes of the inputs by what they take. */
function shapesOf({ input: { px }, patient }) {
  return { picture: [1, px, px, 3], ...(patient && { patient: [1, patient.count] }) };
}

/** What each input of the model takes, by its shape: either may come first. Throws a Refusal where one fits nothing. */
export function inOrder(details, shapes) {
  const names = Object.keys(shapes);
  const order = details.map(({ dtype, shape }) => names.find((name) => dtype === "uint8" && `${shape}` === `${shapes[name]}`));
  if (order.length !== names.length || !names.every((name) => order.includes(name))) {
    const has = details.map(({ dtype, shape }) => `${dtype} [${shape}]`).join(" and ");
    const wants = names.map((name) => `a ${name} of uint8 [${shapes[name]}]`).join(" and ");
    throw new Refusal(`The model file does not fit its card: it takes ${has}, the card says ${wants}.`);
  }
  return order;
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
