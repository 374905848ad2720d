// Owns numbers as text: checks and random draws that stay exact past 2^53, where a JavaScript number rounds.

const WHOLE = /^[+-]?\d+$/;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const LARGEST_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

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

/** A whole number between the bounds, as text; without bounds 0 … 2^53-1, which every seed field takes. */
export function randomWhole({ min, max }) {
  const lowest = min === null ? 0n : BigInt(Math.ceil(min));
  const highest = max === null ? LARGEST_SAFE : BigInt(Math.floor(max));
  const [random] = crypto.getRandomValues(new BigUint64Array(1));
  return String(lowest + (random % (highest - lowest + 1n)));
}
