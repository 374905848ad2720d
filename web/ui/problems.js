// Owns how problems read: the contract's codes in the page's language, else the service's own text.

import { hasText, t } from './i18n.js';

const KNOWN_FAULTS = [
  [/^Must be at least (.+)\.$/, 'mustBeAtLeast'],
  [/^Must be at most (.+)\.$/, 'mustBeAtMost'],
  [/^Must be a whole number\.$/, 'mustBeWhole'],
  [/^Must be a number\.$/, 'mustBeNumber'],
  [/^Is not one of the choices\.$/, 'mustBeChoice'],
];
// Calls that may have been paid for: "try again" would be advice to pay twice.
const MAY_BE_PAID = ['runninghub_timeout', 'internal_error', 'invalid_response', 'network', 'timeout'];

/** What went wrong and what to do; RunningHub's own text is added, since it helps when asking for support. */
export function problemText(problem) {
  const key = `problem_${problem.code}`;
  const text = hasText(key) ? t(key) : problem.message || problem.detail;
  const wait =
    problem.retryAfter && !MAY_BE_PAID.includes(problem.code)
      ? t('tryAgainIn', { n: problem.retryAfter })
      : '';
  const { code, msg } = problem.upstream ?? problem.problem?.upstream ?? {};
  const upstream = msg ? `(RunningHub ${code}: ${msg})` : '';
  return [text, wait, upstream].filter(Boolean).join(' ');
}

/** Why Run led to no task. While it is open whether it was paid for, the only advice is the safe one. */
export const refusalText = ({ problem, isOpen }) => (isOpen ? t('outcomeOpen') : problemText(problem));

/** A field's fault or caution: a key of texts.js, or the service's sentence. */
export function faultText({ key, values, message, problem }) {
  if (problem) return problemText(problem);
  return key ? t(key, values) : serviceText(message);
}

function serviceText(message) {
  for (const [pattern, key] of KNOWN_FAULTS) {
    const match = pattern.exec(message);
    if (match) return t(key, { bound: match[1] });
  }
  return message;
}

/** Why a task failed. */
export function taskErrorText(error) {
  const key = `problem_${error.code}`;
  const node = `${error.node_id ?? ''} ${error.node_name ?? ''}`.trim();
  const where = node ? t('atNode', { node }) : '';
  return [where, hasText(key) ? t(key) : error.message].filter(Boolean).join(' ');
}
