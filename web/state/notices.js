// Owns short notices: announced to screen readers, shown for a moment; and notifications outside the page.

import { signal } from '../ui/html.js';
import { remember, remembered } from '../service/storage.js';

const SHOWN_MS = 4_000;

/** What a screen reader reads out. */
export const announcement = signal('');
/** The notice in view, or null. */
export const toast = signal(null);
export const areNotificationsOn = signal(
  remembered('notifications', false) && canNotify() && Notification.permission === 'granted',
);

let timer = null;

export function announce(text) {
  announcement.value = text;
}

/** Announced and shown for a moment. */
export function notice(text) {
  announce(text);
  toast.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (toast.value = null), SHOWN_MS);
}

function canNotify() {
  return 'Notification' in globalThis;
}

export const areNotificationsOffered = canNotify();

/** Turns notifications on or off; the browser asks for permission once. */
export async function toggleNotifications() {
  const isWanted = !areNotificationsOn.value;
  const isGranted = isWanted && (await Notification.requestPermission()) === 'granted';
  areNotificationsOn.value = isGranted;
  remember('notifications', isGranted);
  return isGranted === isWanted;
}

/** Outside the page, only while it is hidden. */
export function notifyOutside(title, body) {
  if (!document.hidden || !areNotificationsOn.value) return;
  const notification = new Notification(title, { body, icon: '/web/icon.svg' });
  notification.addEventListener('click', () => window.focus());
}
