// Owns what the statuses of a task mean to the page.

export const ACTIVE = ['PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING'];
const FINAL = ['SUCCESS', 'FAILED', 'CANCELLED'];

export const isFinal = (status) => FINAL.includes(status);
export const isActive = (status) => ACTIVE.includes(status);
/** SUBMIT_UNKNOWN is no final status, but such a task may be deleted or run again once it is settled only. */
export const isDeletable = (status) => isFinal(status);

const TONES = {
  PENDING: 'waiting',
  SUBMITTING: 'waiting',
  QUEUED: 'waiting',
  RUNNING: 'running',
  SUCCESS: 'good',
  FAILED: 'bad',
  CANCELLED: 'over',
  SUBMIT_UNKNOWN: 'unknown',
};

/** The kind of state for colours and icons. */
export const toneOf = (status) => TONES[status] ?? 'waiting';
