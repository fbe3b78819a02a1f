// The golden pictures of the bundle, sent the way of a chosen photo: does this device compute what Python did?

import { loadChecked, sha256 } from "./bundle.js";
import { Refusal } from "./card.js";
import { networkInput, openPicture } from "./picture.js";
import { centreSquare } from "./resample.js";

const SCHEMA = "edgekd.golden/1";

/** The golden record of the bundle, read once it is asked for: {items, patient}. */
export async function goldenRecord(manifest) {
  const record = JSON.parse(new TextDecoder().decode(await loadChecked(manifest, manifest.golden)));
  if (record.schema !== SCHEMA) throw new Error(`golden.json is “${record.schema}”, this page knows “${SCHEMA}”.`);
  return record;
}

/** The picture of a golden item as a file. */
export async function goldenFile(manifest, item) {
  return new Blob([await loadChecked(manifest, item.image)], { type: "image/png" });
}

/** {items, bytes, logits}: how many golden pictures there are and how many differ in either; `tell` hears each. */
export async function selfCheck({ manifest, page }, run, tell) {
  const { items, patient } = await goldenRecord(manifest), person = patient && Uint8Array.from(patient);
  if ((patient?.length ?? 0) !== (page.patient?.count ?? 0)) throw new Refusal("golden.json does not fit the model card.");
  const wrong = { items: items.length, bytes: 0, logits: 0 };
  for (const [number, item] of items.entries()) {
    tell(number, items.length);
    const picture = await openPicture(await goldenFile(manifest, item));
    const input = await networkInput(picture, centreSquare(picture.width, picture.height), page.input.px);
    picture.bitmap.close();
    const logits = await run(input, person);
    wrong.bytes += Number((await sha256(input)) !== item.input_sha256);
    wrong.logits += Number(!logits.every((value, at) => value === Math.fround(item.logits[at])));
  }
  return wrong;
}
