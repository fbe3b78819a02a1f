// Runs every model of /job.json on its images and posts the stored outputs to /answer.
import { loadAndCompile, loadLiteRt, Tensor } from "/node_modules/@litertjs/core/dist/index.js";

async function outputs(model, pixels, { shape, count }) {
  const compiled = await loadAndCompile(model, { accelerator: "wasm" });
  const size = pixels.length / count;
  const rows = [];
  for (let n = 0; n < count; n++) {
    const image = new Tensor(pixels.slice(n * size, (n + 1) * size), shape);
    const [output] = await compiled.run(image);
    rows.push(Array.from(output.toTypedArray()));
    output.delete();
    image.delete();
  }
  compiled.delete();
  return rows;
}

async function work() {
  await loadLiteRt(new URL("/node_modules/@litertjs/core/wasm/", location.href).href);
  const job = await (await fetch("/job.json")).json();
  const pixels = new Uint8Array(await (await fetch("/images")).arrayBuffer());
  const answers = {};
  for (const name of job.models) {
    answers[name] = await outputs(`/${name}.tflite`, pixels, job);
  }
  return answers;
}

const answer = await work().catch((error) => ({ error: String(error) }));
await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
