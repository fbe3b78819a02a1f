// The files this page was published with, each compared with its sha256 in manifest.json before it is used.

import { Refusal, checkCard } from "./card.js";

const SCHEMA = "edgekd.bundle/1";
const PAGE_SCHEMA = "edgekd.page/1";

/**
 * {manifest, card, page, model}: the records, and the bytes of the model file.
 *
 * The digests find a file that was damaged, half uploaded or exchanged alone. Whoever can change every file
 * of a site can change this one too: against that stands the signature that `edgekd verify-bundle` checks.
 */
export async function openBundle() {
  if (!globalThis.crypto?.subtle) {
    throw new Refusal("This page must be opened through https (or from this same machine): else the browser lets no file be checked.");
  }
  const manifest = json(await load("manifest.json"), "manifest.json");
  if (manifest.schema !== SCHEMA || manifest.platform !== "web") {
    throw new Refusal(`manifest.json is “${manifest.schema}” for “${manifest.platform}”, this page knows “${SCHEMA}” for “web”.`);
  }
  const checked = (path) => loadChecked(manifest, path);
  const [card, page, model] = await Promise.all([checked(manifest.card), checked("page.json"), checked(manifest.model)]);
  const found = { manifest, card: json(card, manifest.card), page: json(page, "page.json"), model };
  checkCard(found.card);
  checkPage(found.page, found.card);
  return found;
}

/** The bytes of the file `path` of the bundle; throws a Refusal unless they are those of the manifest. */
export async function loadChecked(manifest, path) {
  const expected = manifest.files?.[path]?.sha256;
  if (!expected) throw new Refusal(`manifest.json does not list ${path}.`);
  const bytes = await load(path);
  if ((await sha256(bytes)) !== expected) {
    throw new Refusal(`${path} is not the file this page was published with: its sha256 differs from that in manifest.json. Nothing is computed with it.`);
  }
  return bytes;
}

/** The sha256 of `bytes` in hexadecimal. */
export async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function load(path) {
  try {
    const answer = await fetch(path);
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
    throw new Refusal(`${path} cannot be had: the server answers ${answer.status}.`);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(`${path} cannot be had: is the network gone?`);
  }
}

function json(bytes, path) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Refusal(`${path} is not JSON.`);
  }
}

function checkPage(page, card) {
  const fits = page.input?.px === card.input_px && page.output?.count === card.labels.length &&
    (page.patient?.count ?? 0) === (card.patient?.columns.length ?? 0);
  if (page.schema !== PAGE_SCHEMA || page.input?.dtype !== "uint8" || !fits) {
    throw new Refusal("page.json does not fit the model card: this is the page of another model.");
  }
}
