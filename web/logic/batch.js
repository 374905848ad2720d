// Owns batches: one form's values become the values of several runs.

import { isSeed, keyOf } from './fields.js';
import { parseCsv } from './csv.js';
import { randomWhole } from './numbers.js';

export const COUNTS = [1, 2, 4, 8];
export const LARGEST_BATCH = 100;

/** One prompt a line; empty lines are left out. */
export const promptsIn = (text) =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter(Boolean);

/** How many runs a press of Run makes. */
export const runCount = ({ count, prompts, rows }) => count * (rows.length || prompts.length || 1);

/**
 * The values of each run. `prompts` and `rows` (values of a CSV) vary them, each `count` times;
 * with `hasNewSeeds` every run after the first has a seed of its own.
 */
export function runsOf(
  app,
  values,
  { count = 1, prompts = [], promptKey = null, rows = [], hasNewSeeds = true },
) {
  const variants = variantsOf(prompts, promptKey, rows);
  const seeds = app.nodeInfoList.filter(isSeed);
  const repeated = variants.flatMap((variant) =>
    Array.from({ length: count }, () => ({ ...values, ...variant })),
  );
  return repeated.map((run, index) =>
    index && hasNewSeeds ? { ...run, ...newSeeds(seeds, run, values) } : run,
  );
}

function variantsOf(prompts, promptKey, rows) {
  if (rows.length) return rows;
  if (prompts.length && promptKey) return prompts.map((prompt) => ({ [promptKey]: prompt }));
  return [{}];
}

// A seed that the CSV gives stays as given.
function newSeeds(seeds, run, values) {
  const free = seeds.filter((node) => run[keyOf(node)] === values[keyOf(node)]);
  return Object.fromEntries(free.map((node) => [keyOf(node), randomWhole(node.input)]));
}

/** The field that a list of prompts goes into: the longest text that is not a negative prompt. */
export function promptFieldOf(app) {
  const isText = (node) => ['textarea', 'text'].includes(node.input.type) && node.fieldType === 'STRING';
  const isNegative = (node) =>
    /negative|负面|反向/i.test(`${node.input.label} ${node.input.labelEn} ${node.fieldName}`);
  const texts = app.nodeInfoList.filter(isText).filter((node) => !isNegative(node));
  const named = texts.find((node) =>
    /prompt|提示词/i.test(`${node.fieldName} ${node.input.label} ${node.input.labelEn}`),
  );
  return named ?? texts.find((node) => node.input.type === 'textarea') ?? texts[0] ?? null;
}

/** The rows of a CSV as values by field key; a column is named by a field's key, name or label. */
export function rowsOfCsv(app, text) {
  const [head = [], ...body] = parseCsv(text);
  const columns = head.map((name) => columnKey(app, name.trim()));
  const unknown = head.filter((_, index) => !columns[index]).map((name) => name.trim());
  const rows = body.map((cells) =>
    Object.fromEntries(columns.map((key, index) => [key, cells[index] ?? '']).filter(([key]) => key)),
  );
  return { rows, unknown };
}

function columnKey(app, name) {
  const isNamed = (node) =>
    [keyOf(node), node.fieldName, node.input.label, node.input.labelEn].includes(name);
  const node = app.nodeInfoList.find(isNamed);
  return node ? keyOf(node) : null;
}

const ENDED = ['SUCCESS', 'FAILED', 'CANCELLED', 'SUBMIT_UNKNOWN'];

/** How a batch stands: `{total, ended, succeeded, failed, cancelled, unknown}`. */
export function batchProgress(tasks, total = tasks.length) {
  const count = (...statuses) => tasks.filter((task) => statuses.includes(task.status)).length;
  return {
    total,
    ended: count(...ENDED),
    succeeded: count('SUCCESS'),
    failed: count('FAILED'),
    cancelled: count('CANCELLED'),
    unknown: count('SUBMIT_UNKNOWN'),
  };
}
