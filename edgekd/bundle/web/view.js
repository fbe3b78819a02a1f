// What the page shows: answer, card, times. Text is only ever set as text.

import { explanation, headline, knowledge, leftEmpty, percent, signed } from "./answer.js";
import { fieldsOf } from "./patient.js";

const VERDICTS = {
  passed: "passed: a loss of sensitivity above the margin is excluded",
  undecided: "undecided: too few malignant images to exclude a loss of sensitivity",
  failed: "failed: it must not be used as it is",
  none: "none: nobody verified this file with edgekd",
};

export function element(id) {
  return document.getElementById(id);
}

/** Show a sentence on what went wrong; none with an empty one. */
export function showError(sentence) {
  element("error").textContent = sentence;
  element("error").hidden = !sentence;
}

export function showFacts({ width, height }, recolours) {
  const warning = "; if it has a colour profile, this browser gives the model other colours than it was tested with";
  element("photo-facts").textContent = `${width} × ${height} pixels${recolours ? warning : ""}`;
}

/** What goes on, seen and spoken; with `told` it can be seen elsewhere and is only spoken. */
export function showStatus(text, told = false) {
  element("status").textContent = text;
  element("status").classList.toggle("told", told);
}

/** A photo that is not judged, and the sentences why. */
export function showUnjudged(reasons) {
  const rest = "The model answers only about photos like those it was tested with. Take another one: sharp, well lit, close, one lesion in the middle.";
  showNothing("This photo cannot be judged", [outside(reasons), rest], reasons.join("; "));
  element("anyway").hidden = false;
}

/** No answer, because what was told of the person cannot be: `problem` says what. */
export function showUnasked(problem) {
  showNothing("No answer yet", [`${problem}.`], problem);
}

function showNothing(verdict, sentences, why) {
  element("answer").dataset.call = "none";
  element("verdict").textContent = verdict;
  element("explanation").replaceChildren(...sentences.map((text) => made("p", text)));
  element("anyway").hidden = true;
  element("judged").hidden = true;
  showStatus(`${verdict}: ${why}.`, true);
}

function outside(reasons) {
  return `By the limits in the model card ${reasons.join("; ")}.`;
}

/**
 * The answer about a photo of `person`, {age, sex, site} less what is not known; `reasons` are why the photo
 * should not be judged, for somebody who wanted it anyway.
 */
export function showAnswer({ card, manifest }, logits, answer, { reasons, person }) {
  const call = answer.malignant === null ? "none" : answer.borderline ? "borderline" : answer.malignant ? "malignant" : "benign";
  element("answer").dataset.call = call;
  element("verdict").textContent = headline(answer);
  const sentences = [...explanation(card, answer), ...knowledge(card, person)], open = leftEmpty(card, person);
  element("explanation").replaceChildren(...warnings(manifest, reasons), ...sentences.map((text) => made("p", text)));
  element("anyway").hidden = true;
  element("judged").hidden = false;
  showScale(card, answer);
  showFigures(card, answer);
  showLogits(card, logits);
  showStatus(`${headline(answer)}. Score ${signed(answer.score)}${open && `, without ${open}`}. Not a diagnosis.`, true);
}

function warnings({ verdict }, reasons) {
  const texts = [];
  if (verdict === "failed") texts.push("This model failed its verification: it must not be used as it is.");
  if (reasons.length) texts.push(`${outside(reasons)} You asked for the answer anyway: do not rely on it.`);
  return texts.map((text) => Object.assign(made("p", text), { className: "warning" }));
}

/** The score on a line; the threshold stands in its middle, and 6 (log odds, a factor of 400) at its ends. */
function showScale(card, { score }) {
  const point = card.operating_point, middle = point?.threshold ?? 0, half = point?.borderline_halfwidth ?? 0;
  const place = (value) => `${Math.min(Math.max(50 + (50 * (value - middle)) / 6, 2), 98)}%`;
  element("marker").style.left = place(score);
  element("threshold").style.left = "50%";
  element("threshold").hidden = !point;
  element("band").style.left = place(middle - half);
  element("band").style.right = `calc(100% - ${place(middle + half)})`;
  element("band").hidden = !half;
}

function showFigures(card, { score, probability }) {
  const calibrated = card.temperature !== 1, point = card.operating_point;
  const rows = [
    ["Score", signed(score), "log odds of malignant"],
    ["Threshold", point ? signed(point.threshold) : "none", point ? `fitted on ${point.fitted_on}` : ""],
    [calibrated ? "Calibrated probability" : "Probability, not calibrated", percent(probability), "among pictures like those it was fitted on"],
  ];
  element("figures").replaceChildren(...rows.map(pair));
  element("figures").dataset.score = String(score);
  element("figures").dataset.probability = String(probability);
}

function showLogits(card, logits) {
  const rows = card.labels.map((label, at) => {
    const cells = [label, card.malignant.includes(label) ? "malignant" : "benign", signed(logits[at], 3)].map((text) => made("td", text));
    cells[2].dataset.value = String(logits[at]);
    return row(cells);
  });
  element("logits").tBodies[0].replaceChildren(...rows);
}

export function showTimes({ decodeMs, resizeMs, qualityMs, networkMs, loadMs }) {
  const rows = [
    ["reading and decoding the photo", decodeMs],
    ["crop and resize", resizeMs],
    ["looking whether it can be judged", qualityMs],
    ["network", networkMs],
    ["together", decodeMs + resizeMs + qualityMs + networkMs],
    ["once, at the start: getting, checking and loading the model", loadMs],
  ];
  const cells = rows.map(([name, ms]) => row([made("td", name), made("td", ms.toFixed(ms < 10 ? 1 : 0))]));
  element("times").tBodies[0].replaceChildren(...cells);
}

/** Draw what the network was given, uint8 RGB [px][px][3], and say which square of the photo it is. */
export function showSeen(input, px, { side }, isCentre) {
  const canvas = Object.assign(element("seen"), { width: px, height: px });
  const context = canvas.getContext("2d"), image = context.createImageData(px, px);
  for (let at = 0; at < px * px; at++) {
    image.data.set(input.subarray(3 * at, 3 * at + 3), 4 * at);
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  element("seen-facts").textContent = `Exactly what the model was given: ${px} × ${px} pixels, from ${side} × ${side}`;
  element("centre").disabled = isCentre;
  element("square-note").textContent = isCentre
    ? "This is the centre square, as in training and in every published figure of this model."
    : "You moved the square: the published figures of this model are for the centre square.";
}

/** The card in words, and the file it belongs to. */
export function showCard({ manifest, card, model }) {
  const point = card.operating_point;
  const rows = [
    ["Model", card.name, `${card.precision}, ${(model.length / 1000).toFixed(0)} kB`],
    ["Verification", VERDICTS[manifest.verdict] ?? "not told", card.margin ? `margin: ${card.margin} of sensitivity` : ""],
    ["Sees", `${card.input_px} × ${card.input_px} pixels`, "the centre square of the upright photo"],
    ["Takes beside it", card.patient ? fieldsOf(card.patient).join(", ") : "nothing", card.patient ? "of the person; what stays empty counts as not known" : ""],
    ["Tells apart", card.labels.join(", "), `counts as malignant: ${card.malignant.join(", ")}`],
    ["Threshold", point ? signed(point.threshold) : "none", point ? `${point.rule}, fitted on ${point.fitted_on}` : "not verified"],
    ["Temperature", card.temperature.toFixed(3), "divides the score before it becomes a probability"],
    ["Looks at a photo first", card.quality ? "yes" : "no", quality(card.quality)],
    ["sha256 of the model file", manifest.files[manifest.model].sha256, "compared in this page before the model is used"],
  ];
  element("intended").textContent = card.intended_use;
  element("card").replaceChildren(...rows.map(pair));
  const limits = card.limits?.length ? card.limits : ["The card names none."];
  element("limits").replaceChildren(...limits.map((text) => made("li", text)));
  element("card-json").textContent = JSON.stringify(card, null, 2);
  element("about").hidden = false;
}

function quality(limits) {
  if (!limits) return "the card does not say which photos cannot be judged";
  return `refuses what lies outside ${limits.limits.length} limits, fitted on ${limits.images} ${limits.fitted_on} images`;
}

function pair([name, value, note]) {
  const box = document.createElement("div"), meaning = made("dd", value);
  if (note) meaning.append(made("small", note));
  box.append(made("dt", name), meaning);
  return box;
}

function row(cells) {
  const line = document.createElement("tr");
  line.append(...cells);
  return line;
}

function made(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}
