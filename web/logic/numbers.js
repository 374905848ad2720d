// Owns numbers as text: checks, random draws and display that stay exact past 2^53, where a JavaScript number rounds.

const WHOLE = /^[+-]?\d+$/;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const LARGEST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
// More digits than this are the rounding of binary fractions: 0.7000000000000001.
const SIGNIFICANT_DIGITS = 12;
const LONGEST_EXACT = 14;

/** What is wrong with a number's text as `{key, values}` for `t`, or null. */
export function numberFault(text, { type, min, max }) {
  const isWhole = type === 'integer';
  if (!(isWhole ? WHOLE : DECIMAL).test(text)) return { key: isWhole ? 'mustBeWhole' : 'mustBeNumber' };
  const value = isWhole ? BigInt(text.replace('+', '')) : Number(text);
  // JavaScript compares a BigInt with a number exactly.
  if (min !== null && value < min) return { key: 'mustBeAtLeast', values: { bound: min } };
  if (max !== null && value > max) return { key: 'mustBeAtMost', values: { bound: max } };
  return null;
}

/** A whole number between the bounds, as text; without bounds 0 … 2^53-1, which every seed field accepts. */
export function randomWhole({ min, max }) {
  const lowest = min === null ? 0n : BigInt(Math.ceil(min));
  const highest = max === null ? LARGEST_SAFE : BigInt(Math.floor(max));
  const [random] = crypto.getRandomValues(new BigUint64Array(1));
  return String(lowest + (random % (highest - lowest + 1n)));
}

/** A saved fraction without the rounding of binary fractions; anything else unchanged. */
export function tidyNumber(text, type) {
  if (type !== 'number' || text.length <= LONGEST_EXACT || !DECIMAL.test(text)) return text;
  return String(Number(Number(text).toPrecision(SIGNIFICANT_DIGITS)));
}
