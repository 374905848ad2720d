// Owns the dialogs: a question before something that may cost, and the access token.

import { hasToken, isPossibleToken, setToken } from './api.js';
import { byId, el } from './dom.js';
import { say } from './i18n.js';

/** Resolves to whether the person agreed. */
export function confirmed(question, action) {
  byId('confirm-text').replaceChildren(el('p', {}, question));
  byId('confirm-yes').replaceChildren(el('span', {}, action));
  return answerOf(byId('confirm'), () => true);
}

/** Asks for the access token; resolves to whether one was given. */
export function askForToken(wasRefused) {
  byId('token-problem').replaceChildren(...(wasRefused ? [el('p', {}, say('tokenRefused'))] : []));
  byId('token-input').value = '';
  return answerOf(byId('token'), takeToken);
}

function takeToken() {
  const token = byId('token-input').value.trim();
  if (!isPossibleToken(token)) return false;
  setToken(token);
  showForget();
  return true;
}

export function installForget() {
  byId('forget').addEventListener('click', () => {
    setToken(null);
    location.reload();
  });
  showForget();
}

function showForget() {
  byId('forget').hidden = !hasToken();
}

/** Opens a dialog with a form of method=dialog; its buttons' values say yes or no, Escape says no. */
function answerOf(dialog, onYes) {
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes' && onYes()), { once: true });
  });
}
