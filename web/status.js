// Owns the words about a task: which states are final, how each looks, and how time is written.

import { el, icon } from './dom.js';
import { locale, t } from './i18n.js';

export const ACTIVE = ['PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING'];
const FINAL = ['SUCCESS', 'FAILED', 'CANCELLED'];
const LOOKS = {
  PENDING: ['waiting', 'clock'],
  SUBMITTING: ['waiting', 'clock'],
  QUEUED: ['waiting', 'clock'],
  RUNNING: ['running', 'play'],
  SUCCESS: ['good', 'check'],
  FAILED: ['bad', 'alert'],
  CANCELLED: ['over', 'cross'],
  SUBMIT_UNKNOWN: ['unclear', 'question'],
};

export const isFinal = (status) => FINAL.includes(status);
export const isActive = (status) => ACTIVE.includes(status);
export const statusText = (status) => t(status);

export function statusPill(status) {
  const [look, picture] = LOOKS[status] ?? LOOKS.PENDING;
  return el('span', { class: `pill ${look}` }, icon(picture), () => statusText(status));
}

/** 75 → "1:15" beyond a minute, "12 s" below. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t('seconds', { n: whole });
  return t('minutes', { m: Math.floor(whole / 60), s: String(whole % 60).padStart(2, '0') });
}

export function moment(time) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { month: 'short', day: 'numeric' };
  return new Intl.DateTimeFormat(locale(), { ...day, hour: '2-digit', minute: '2-digit' }).format(date);
}
