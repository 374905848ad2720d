// Owns the page's address: the route as a signal, and changes of it.

import { parseRoute } from '../logic/routes.js';
import { signal } from '../ui/html.js';

export const route = signal(parseRoute(location.hash));

addEventListener('hashchange', () => (route.value = parseRoute(location.hash)));

/** Goes there with an entry in the browser's history. */
export function navigate(hash) {
  if (location.hash !== hash) location.hash = hash;
}
