// The page: from a chosen photo to an answer. Everything is computed here; nothing is sent anywhere.

import { assess } from "./answer.js";
import { openBundle } from "./bundle.js";
import { Refusal } from "./card.js";
import { build, openEngine } from "./engine.js";
import { encode } from "./patient.js";
import { PersonForm } from "./person.js";
import { PictureError, appliesProfiles, breath, networkInput, openPicture, readsTrulyHere } from "./picture.js";
import { objections } from "./quality.js";
import { goldenFile, goldenRecord, selfCheck } from "./selfcheck.js";
import { SquareChooser } from "./square.js";
import { element, showAnswer, showCard, showError, showFacts, showSeen, showStatus, showTimes, showUnasked, showUnjudged } from "./view.js";

const WAY_IN = ["file", "camera", "sample", "check"].map(element);
// Golden pictures that show a lesion: the others are there for their odd shapes.
const SAMPLE_SIDE = 40, SAMPLE_ASPECT = 2;

const chooser = new SquareChooser(
  Object.fromEntries(["preview", "square", "side", "left", "top"].map((id) => [id, element(id)])),
  () => attempt(score));
const started = start();
let choices = 0, turn = 0; // what was begun before the last choice is not shown
let working = Promise.resolve(); // the network does one picture at a time
let picture = null, decodeMs = 0, sample = 0, anyway = false;
let fed = {}; // what was last made of a square of a picture: another age asks for no other pixels

/**
 * {bundle, run, ask, recolours, loadMs}: the checked files, the network, what tells of the person, and whether
 * the browser applies colour profiles; null after a refusal, which is shown.
 */
async function start() {
  const begun = performance.now();
  try {
    if (!readsTrulyHere()) throw new Refusal(
      "This browser changes the pixels that a page reads, as a protection against fingerprinting: the model would be given another picture. Allow this page to read canvas data, or use another browser.");
    const bundle = await openBundle();
    showCard(bundle);
    const run = await openEngine(bundle.model, bundle.page), recolours = await appliesProfiles();
    await warmUp(run, bundle);
    const ask = openForm(bundle.card);
    showStatus("Ready.");
    element("sample").disabled = false;
    keepOffline();
    return { bundle, run, ask, recolours, loadMs: performance.now() - begun };
  } catch (error) {
    refuse(error);
    return null;
  }
}

/** Go the way of a photo once with an empty one: the first time takes far longer than every other. */
async function warmUp(run, { card, page: { input: { px } } }) {
  const side = Math.min(4 * px, 1024), bitmap = await createImageBitmap(new ImageData(side, side));
  await run(await networkInput({ bitmap, alpha: false }, { left: 0, top: 0, side }, px), bytesOf(card, {}));
  bitmap.close();
}

function bytesOf({ patient }, person) {
  return patient ? encode(patient, person) : null;
}

/** A function that reads the form, {person, problem}; a model of pictures alone has no form. */
function openForm({ patient }) {
  if (!patient) return () => ({ person: {}, problem: "" });
  const form = new PersonForm(element("person"), patient, () => picture && attempt(score));
  return () => form.read();
}

function refuse(error) {
  if (!(error instanceof Refusal)) console.error(error);
  showError(error instanceof Refusal ? error.message : `The page cannot start in this browser (${error.message}).`);
  showStatus("Not ready.");
  for (const control of WAY_IN) control.disabled = true;
}

async function keepOffline() {
  try {
    await navigator.serviceWorker.register(`sw.js?build=${build()}`, { updateViaCache: "none" });
    await navigator.serviceWorker.ready;
    element("offline").textContent = "It is kept on this device now and works offline.";
  } catch {
    element("offline").textContent = "This browser does not keep it for offline use.";
  }
}

/** Do `work`; what it cannot use is told in a sentence, and anything else too. */
async function attempt(work) {
  showError("");
  try {
    await work();
  } catch (error) {
    const known = error instanceof PictureError || error instanceof Refusal;
    if (!known) console.error(error);
    showError(known ? error.message : `That did not work (${error.message}).`);
    showStatus(picture ? "The answer below is about the photo before." : "Ready.");
  }
}

async function choose(file) {
  const mine = ++choices;
  turn++;
  const ready = await started;
  if (!ready) return;
  showStatus("Reading the photo…");
  await breath();
  const begun = performance.now(), opened = await openPicture(file);
  if (mine !== choices) return opened.bitmap.close();
  decodeMs = performance.now() - begun;
  picture?.bitmap.close();
  picture = opened;
  anyway = false;
  document.body.classList.add("chosen");
  element("result").hidden = false;
  if (matchMedia("(max-width: 46rem)").matches) element("result").scrollIntoView();
  showFacts(opened, ready.recolours);
  chooser.show(opened);
  await score();
}

async function score() {
  const mine = ++turn;
  showStatus("Computing…");
  try {
    await (working = working.catch(() => {}).then(() => mine === turn && answer(mine)));
  } catch (error) {
    if (mine === turn) throw error; // else its photo was put away meanwhile
  }
}

async function answer(mine) {
  const { bundle, run, ask, loadMs } = await started, { square } = chooser;
  const { input, reasons, times } = await look(picture, square, bundle);
  const { person, problem } = ask(), judged = !reasons.length || anyway;
  const logits = await timed(times, "networkMs", () => (judged && !problem ? run(input, bytesOf(bundle.card, person)) : null));
  if (mine !== turn) return;
  showSeen(input, bundle.page.input.px, square, chooser.isCentre);
  showTimes({ ...times, decodeMs, loadMs });
  if (!judged) showUnjudged(reasons);
  else if (problem) showUnasked(problem);
  else showAnswer(bundle, logits, assess(bundle.card, logits), { reasons, person });
}

/** {input, reasons, times} of a square of a photo: what the network is fed, and why it should not be judged. */
async function look(shown, square, { card, page: { input: { px } } }) {
  if (fed.shown === shown && fed.square === square) return fed;
  const times = {};
  const input = await timed(times, "resizeMs", () => networkInput(shown, square, px));
  const reasons = await timed(times, "qualityMs", () => objections(card.quality, input, px));
  return (fed = { shown, square, input, reasons, times });
}

async function timed(times, name, work) {
  const begun = performance.now(), result = await work();
  times[name] = performance.now() - begun;
  return result;
}

async function trySample() {
  const { bundle } = await started;
  const items = (await goldenRecord(bundle.manifest)).items.filter(({ width, height }) => {
    const shorter = Math.min(width, height);
    return shorter >= SAMPLE_SIDE && Math.max(width, height) <= SAMPLE_ASPECT * shorter;
  });
  if (!items.length) throw new Refusal("This bundle has no test picture that is large enough to be looked at.");
  await choose(await goldenFile(bundle.manifest, items[sample++ % items.length]));
}

async function checkDevice() {
  const { bundle, run } = await started, result = element("check-result");
  result.className = "status";
  const wrong = await selfCheck(bundle, run, (number, count) => {
    result.textContent = `Picture ${number + 1} of ${count}…`;
  });
  const same = !wrong.bytes && !wrong.logits;
  result.className = `status ${same ? "good" : "bad"}`;
  result.textContent = same
    ? `All ${wrong.items} test pictures give the same bytes and the same values as when the model was published.`
    : `Of ${wrong.items} test pictures ${wrong.bytes} give other bytes and ${wrong.logits} other values than when the model was published: do not rely on what this device shows.`;
}

// A camera one can point at a lesion is on devices that are held: there the button opens it.
document.body.classList.toggle("touch", navigator.maxTouchPoints > 0);

function takeFile(files) {
  if (files?.length && !element("file").disabled) attempt(() => choose(files[0]));
}

for (const id of ["file", "camera"]) {
  element(id).addEventListener("change", ({ target }) => {
    takeFile(target.files);
    target.value = ""; // the same file may be chosen again
  });
}
element("sample").addEventListener("click", () => attempt(trySample));
element("check").addEventListener("click", () => attempt(checkDevice));
element("anyway").addEventListener("click", () => {
  anyway = true;
  attempt(score);
});
element("centre").addEventListener("click", () => {
  chooser.toCentre();
  attempt(score);
});
addEventListener("paste", ({ clipboardData }) => takeFile(clipboardData?.files));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") takeFile(event.dataTransfer?.files);
  });
}
