// edgekd.resample/1: crop and resize in whole numbers, the same bytes as edgekd/imaging/resample.py, which
// is THE definition. Nothing here rounds: every value is an integer below 2^31.

/** The largest side of input or output. */
export const MAX_SIDE = 10000;

const BITS = 16;
const HALF = 1 << (BITS - 1);

/** The largest centred square of a picture; an odd remainder goes right and below. */
export function centreSquare(width, height) {
  const side = Math.min(width, height);
  return { left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2), side };
}

/**
 * How a line of `n` samples becomes one of `m`: output i is the sum over t of k[at[i] + t] · x[start[i] + t],
 * t = 0 … at[i + 1] - at[i] - 1, in units of 2^-16.
 */
export function coefficients(n, m) {
  if (!(Math.min(n, m) >= 1 && Math.max(n, m) <= MAX_SIDE)) {
    throw new RangeError(`resize: ${n} to ${m}, every side must be 1 to ${MAX_SIDE}`);
  }
  const start = new Int32Array(m), at = new Int32Array(m + 1), k = [];
  for (let i = 0; i < m; i++) {
    const { first, weights } = triangle(n, m, i);
    start[i] = first;
    k.push(...shares(weights));
    at[i + 1] = k.length;
  }
  return { start, at, k: Int32Array.from(k) };
}

/** The inputs of weight above 0 that output `i` is made of: the number of the `first`, and the `weights`. */
function triangle(n, m, i) {
  const reach = 2 * Math.max(n, m), centre = (2 * i + 1) * n;
  const first = Math.max(0, Math.floor((centre - reach - m) / (2 * m)) + 1);
  const weights = [];
  for (let j = first; j < n; j++) {
    const weight = reach - Math.abs((2 * j + 1) * m - centre);
    if (weight <= 0) break;
    weights.push(weight);
  }
  return { first, weights };
}

/** `weights` as shares of 2^16 that add up exactly: the remainder of each division is carried to the next. */
function shares(weights) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let rest = Math.floor(total / 2);
  return weights.map((weight) => {
    const value = weight * 65536 + rest;
    rest = value % total;
    return (value - rest) / total;
  });
}

/**
 * Rows of `pixels` ([rows][width], red green blue and alpha of each, as a canvas has them) resized to `out`
 * [rows][m][3] from row `to` on; `table` is coefficients(width, m). Alpha is not looked at.
 *
 * Nearly all the time of a large photo goes here. A pixel is read as one word, little-endian as in every machine
 * with a browser; Math.imul and |0 say that whole numbers of 32 bits are meant.
 */
export function resizeRows(pixels, rows, width, table, out, to) {
  const { start, at, k } = table, m = start.length, words = new Uint32Array(pixels.buffer, pixels.byteOffset, rows * width);
  let target = to * m * 3;
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < m; i++) {
      let source = row * width + start[i], red = HALF, green = HALF, blue = HALF;
      for (let t = at[i], end = at[i + 1]; t < end; t++) {
        const share = k[t], word = words[source++];
        red = (red + Math.imul(share, word & 255)) | 0;
        green = (green + Math.imul(share, (word >>> 8) & 255)) | 0;
        blue = (blue + Math.imul(share, (word >>> 16) & 255)) | 0;
      }
      out[target++] = red >> BITS;
      out[target++] = green >> BITS;
      out[target++] = blue >> BITS;
    }
  }
}

/** Columns of `pixels` [height][width][3] resized to a new Uint8Array [m][width][3]. */
export function resizeColumns(pixels, width, table) {
  const { start, at, k } = table, m = start.length, line = width * 3;
  const out = new Uint8Array(m * line), sums = new Int32Array(line);
  for (let i = 0; i < m; i++) {
    sums.fill(HALF);
    let source = start[i] * line;
    for (let t = at[i]; t < at[i + 1]; t++, source += line) {
      for (let x = 0; x < line; x++) sums[x] += k[t] * pixels[source + x];
    }
    for (let x = 0; x < line; x++) out[i * line + x] = sums[x] >> BITS;
  }
  return out;
}

/** `pixels` [height][width] of four bytes each scaled to a Uint8Array [px][px][3]; what is not square is distorted. */
export function resize(pixels, height, width, px) {
  const rows = new Uint8Array(height * px * 3);
  resizeRows(pixels, height, width, coefficients(width, px), rows, 0);
  return resizeColumns(rows, px, coefficients(height, px));
}
