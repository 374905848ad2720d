// Owns signing in by a link: the token of `#token=…` or `#/apps/{id}?token=…` is kept and leaves the address at once.

import { tokenIn } from '../logic/routes.js';
import { isPossibleToken, setToken } from './api.js';

/** Whether the address held a token. */
function takeToken() {
  const { token, hash } = tokenIn(location.hash);
  if (token === null) return false;
  history.replaceState(null, '', `${location.pathname}${location.search}${hash}`);
  if (isPossibleToken(token)) setToken(token);
  return true;
}

// At once: this is the first module that main.js imports, and no other may read an address with a token.
takeToken();

/** A link that is followed while the page is open: what another token showed does not stay. */
export function watchTokenLinks() {
  addEventListener('hashchange', () => takeToken() && location.reload());
}
