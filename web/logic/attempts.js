// Owns the Idempotency-Keys of presses of Run: a key is kept for as long as the outcome of its call is unknown.

// With these the service has answered for certain that nothing was submitted.
const isRefusal = ({ status = 0, code }) =>
  (status >= 400 && status < 500 && status !== 408) || code === 'runninghub_not_configured';

// crypto.randomUUID() is missing where the page is not served over https.
export const newKey = () =>
  [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('-');

/** The attempt to continue for the same values, or a new one. */
export function attemptFor(attempts, fingerprint) {
  return attempts.find((attempt) => attempt.fingerprint === fingerprint) ?? { fingerprint, key: newKey() };
}

/** The attempts with this one among them. */
export const withAttempt = (attempts, attempt) => [
  ...attempts.filter(({ key }) => key !== attempt.key),
  attempt,
];

export const withoutAttempt = (attempts, { key }) => attempts.filter((attempt) => attempt.key !== key);

/** Whether an error leaves open if the paid call was made: then the same values keep their key. */
export function isOutcomeOpen({ status, code, taskStatus = null }) {
  return taskStatus ? taskStatus === 'SUBMIT_UNKNOWN' : !isRefusal({ status, code });
}
