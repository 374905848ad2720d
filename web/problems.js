// Owns how problems read: the contract's codes in the page's language, else the service's own words.

import { t } from './i18n.js';
import { texts } from './texts.js';

const KNOWN_FAULTS = [
  [/^Must be at least (.+)\.$/, 'mustBeAtLeast'],
  [/^Must be at most (.+)\.$/, 'mustBeAtMost'],
  [/^Must be a whole number\.$/, 'mustBeWhole'],
  [/^Must be a number\.$/, 'mustBeNumber'],
  [/^Is not one of the choices\.$/, 'mustBeChoice'],
];

/** What went wrong and what to do; RunningHub's own words are added, for they help when asking for support. */
export function problemText(problem) {
  const key = `problem_${problem.code}`;
  const text = key in texts ? t(key) : problem.detail;
  const wait = problem.retryAfter ? t('tryAgainIn', { n: problem.retryAfter }) : '';
  const { code, msg } = problem.upstream ?? {};
  const upstream = msg ? `(RunningHub ${code}: ${msg})` : '';
  return [text, wait, upstream].filter(Boolean).join(' ');
}

/** The service's sentence about one value. */
export function faultText(message) {
  for (const [pattern, key] of KNOWN_FAULTS) {
    const match = pattern.exec(message);
    if (match) return t(key, { bound: match[1] });
  }
  return message;
}

/** Why a task failed. */
export function taskErrorText(error) {
  const key = `problem_${error.code}`;
  const where = error.node_id
    ? t('atNode', { node: `${error.node_id} ${error.node_name ?? ''}`.trim() })
    : '';
  const known = key in texts ? t(key) : '';
  return [where, known || error.message].filter(Boolean).join(' ');
}
