// edgekd.quality/1: whether a photo can be judged at all, as edgekd/imaging/quality.py defines it. All sums are
// whole numbers below 2^53, so every figure has the same bits as in Python.

export const RULE = "edgekd.quality/1";

const DIRECTIONS = [[0, 1], [1, 0], [1, 1], [1, -1]];
const MARGIN = 4, BLOCKS = 16, EDGE = 3;
const REASONS = {
  "sharpness low": "it is blurred",
  "grain high": "it is noisy",
  "brightness low": "it is too dark",
  "clipped high": "it is over-exposed",
  "contrast low": "there is no lesion to be seen in it",
  "roughness high": "it is too rough for skin: hair, text or something else",
  "redness low": "it does not have the colour of skin",
  "skin low": "it has colours that skin does not have",
};

/** Whether every limit of `quality` (null: none) is one this page can look at. */
export function isKnown(quality) {
  if (quality === null || quality === undefined) return true;
  const ends = (limit) => ["low", "high"].filter((end) => Number.isFinite(limit[end]));
  return (
    quality.rule === RULE && /^[0-9a-f]{256}$/.test(quality.colours) && Array.isArray(quality.limits) &&
    quality.limits.every((limit) => ends(limit).length === 1 && `${limit.measure} ${ends(limit)[0]}` in REASONS)
  );
}

/** Why `pixels` (uint8 RGB [px][px][3], as the network is fed them) cannot be judged: sentences, none when they can. */
export function objections(quality, pixels, px) {
  if (!quality) return [];
  const values = measure(pixels, px, quality.colours);
  return quality.limits.flatMap(({ measure: name, low, high }) => {
    const value = values[name], shown = Number(value.toPrecision(3));
    if (Number.isFinite(low) && value < low) return [`${REASONS[`${name} low`]} (${name} ${shown}, at least ${Number(low.toPrecision(3))} expected)`];
    if (Number.isFinite(high) && value > high) return [`${REASONS[`${name} high`]} (${name} ${shown}, at most ${Number(high.toPrecision(3))} expected)`];
    return [];
  });
}

/** Every measure by name. */
export function measure(pixels, px, colours) {
  const luma = lumaOf(pixels, px), n = (px - 2 * MARGIN) ** 2;
  const [one, two, four] = [1, 2, 4].map((d) => DIRECTIONS.map(([rows, columns]) => energy(luma, px, d * rows, d * columns)));
  const ratios = (near, far) => near.map((value, u) => (100 * value) / (far[u] + n));
  return {
    sharpness: Math.min(...ratios(two, four)),
    grain: Math.max(...ratios(one, two)),
    roughness: Math.sqrt(four.reduce((sum, value) => sum + value, 0) / (4 * n)),
    brightness: median(luma),
    contrast: contrast(pixels, px),
    ...colourMeasures(pixels, px, colours),
  };
}

function lumaOf(pixels, px) {
  return Int32Array.from({ length: px * px }, (_, p) => (77 * pixels[3 * p] + 150 * pixels[3 * p + 1] + 29 * pixels[3 * p + 2] + 128) >> 8);
}

/** The sum of (2 Y[p] - Y[p - u] - Y[p + u])² for u = (`rows`, `columns`), away from the edges. */
function energy(luma, px, rows, columns) {
  const step = rows * px + columns;
  let sum = 0;
  for (let y = MARGIN; y < px - MARGIN; y++) {
    for (let p = y * px + MARGIN; p < y * px + px - MARGIN; p++) {
      const line = 2 * luma[p] - luma[p - step] - luma[p + step];
      sum += line * line;
    }
  }
  return sum;
}

function median(luma) {
  const counts = new Int32Array(256);
  for (const value of luma) counts[value]++;
  let below = 0, value = -1;
  while (below <= Math.floor(luma.length / 2)) below += counts[++value];
  return value;
}

function contrast(pixels, px) {
  const block = Math.floor(px / BLOCKS), across = BLOCKS - 2 * EDGE;
  const first = Math.floor((px - BLOCKS * block) / 2) + EDGE * block;
  const sums = new Float64Array(across * across);
  for (let y = 0; y < across * block; y++) {
    for (let x = 0; x < across * block; x++) {
      sums[Math.floor(y / block) * across + Math.floor(x / block)] += pixels[3 * ((first + y) * px + first + x) + 1];
    }
  }
  return (Math.max(...sums) - Math.min(...sums)) / block ** 2;
}

function colourMeasures(pixels, px, colours) {
  const known = Uint8Array.from({ length: 1024 }, (_, i) => (parseInt(colours[i >> 2], 16) >> (3 - (i & 3))) & 1);
  let ends = 0, warmth = 0, skin = 0;
  for (let at = 0; at < pixels.length; at += 3) {
    const red = pixels[at], green = pixels[at + 1], blue = pixels[at + 2];
    ends += Number(red === 255 || green === 255 || blue === 255);
    warmth += red - blue;
    skin += known[(((red - green) >> 4) + 16) * 32 + ((green - blue) >> 4) + 16];
  }
  const area = px * px;
  return { clipped: (100 * ends) / area, redness: warmth / area, skin: (100 * skin) / area };
}
