// Owns how times, amounts and sizes read in the page's language.

import { daysAgo } from '../logic/time.js';
import { locale, t } from './i18n.js';

// Formatters are slow to make: one for each language, not one for each row of a list that is scrolled.
const formatters = (create) => {
  const made = {};
  return () => (made[locale()] ??= create(locale()));
};
const datesAs = (options) => formatters((language) => new Intl.DateTimeFormat(language, options));
const numbersAs = (options) => formatters((language) => new Intl.NumberFormat(language, options));

const asClockTime = datesAs({ hour: '2-digit', minute: '2-digit', hour12: false });
const asDateTime = datesAs({
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  hour12: false,
});
const asShortDay = datesAs({ month: 'short', day: 'numeric', timeZone: 'UTC' });
const asWeekday = datesAs({ weekday: 'short', month: 'short', day: 'numeric' });
const asAmount = numbersAs({ maximumFractionDigits: 4 });
const asCompact = numbersAs({ notation: 'compact' });

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

export const clockTime = (time) => asClockTime().format(new Date(time));

export const dateTime = (time) => asDateTime().format(new Date(time));

/** A UTC day such as `2026-11-24`. */
export const shortDay = (day) => asShortDay().format(new Date(`${day}T00:00:00Z`));

/** "Today", "Yesterday", else the date. */
export function dayName(day) {
  const ago = daysAgo(day);
  if (ago === 0) return t('today');
  if (ago === 1) return t('yesterday');
  const [year, month, date] = day.split('-').map(Number);
  return asWeekday().format(new Date(year, month - 1, date));
}

export const amount = (value) => asAmount().format(Number(value));

export const compact = (value) => asCompact().format(Number(value));

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
