// Owns how times, amounts and sizes read in the page's language.

import { daysAgo } from '../logic/time.js';
import { locale, t } from './i18n.js';

/** 75 → "1 min 15 s", below a minute "12 s". */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t('seconds', { n: whole });
  return t('minutes', { m: Math.floor(whole / 60), s: String(whole % 60).padStart(2, '0') });
}

/** 4000 → "1 h 06 min", below an hour as `duration`. */
export function longDuration(seconds) {
  const minutes = Math.round(Math.max(0, seconds) / 60);
  if (minutes < 60) return duration(seconds);
  return t('hours', { h: Math.floor(minutes / 60), m: String(minutes % 60).padStart(2, '0') });
}

/** What is left of a run in steps a person can use: 38 → "about 40 s left". */
export function timeLeft(seconds) {
  if (seconds < 5) return t('leftSoon');
  const step = seconds < 20 ? 5 : seconds < 120 ? 10 : 60;
  return t('left', { time: duration(Math.ceil(seconds / step) * step) });
}

export const clockTime = (time) =>
  new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit', hour12: false }).format(
    new Date(time),
  );

export const dateTime = (time) =>
  new Intl.DateTimeFormat(locale(), {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hour12: false,
  }).format(new Date(time));

/** A UTC day such as `2026-11-24`. */
export const shortDay = (day) =>
  new Intl.DateTimeFormat(locale(), { month: 'short', day: 'numeric', timeZone: 'UTC' }).format(
    new Date(`${day}T00:00:00Z`),
  );

/** "Today", "Yesterday", else the date. */
export function dayName(day) {
  const ago = daysAgo(day);
  if (ago === 0) return t('today');
  if (ago === 1) return t('yesterday');
  const [year, month, date] = day.split('-').map(Number);
  const options = { weekday: 'short', month: 'short', day: 'numeric' };
  return new Intl.DateTimeFormat(locale(), options).format(new Date(year, month - 1, date));
}

export const amount = (value) =>
  new Intl.NumberFormat(locale(), { maximumFractionDigits: 4 }).format(Number(value));

export const compact = (value) =>
  new Intl.NumberFormat(locale(), { notation: 'compact' }).format(Number(value));

export function fileSize(bytes) {
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = Math.min(3, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${amount((bytes / 1000 ** power).toFixed(power ? 1 : 0))} ${units[power]}`;
}

/** The parts of a cost as texts: "6 coins", "¥0.40". */
export function costParts({ coins, money, thirdPartyMoney }) {
  return [
    coins && t('coins', { n: amount(coins) }),
    money && t('money', { n: amount(money) }),
    thirdPartyMoney && t('thirdPartyMoney', { n: amount(thirdPartyMoney) }),
  ].filter(Boolean);
}
