// Owns which parts of the workspace are in view: the tab on a phone, the history beside the result.

import { parseRoute } from '../logic/routes.js';
import { remember, remembered } from '../service/storage.js';
import { signal } from '../ui/html.js';

export const isWide = () => matchMedia('(min-width: 75rem)').matches;
export const isPhone = () => matchMedia('(max-width: 47.5rem)').matches;

/** On a phone: form, result or history. A link to a task opens its result. */
export const tab = signal(parseRoute(location.hash).name === 'task' ? 'result' : 'form');

/** Beside the result on a wide screen, else as a drawer over it. */
export const isHistoryOpen = signal(isWide() && remembered('historyOpen', true));

export function toggleHistory() {
  isHistoryOpen.value = !isHistoryOpen.value;
  if (isWide()) remember('historyOpen', isHistoryOpen.value);
}

/** After a choice in the history its result is what a person wants to see. */
export function showResult() {
  tab.value = 'result';
  if (!isWide()) isHistoryOpen.value = false;
}
