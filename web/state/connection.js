// Owns whether the service can be reached, and what is known of it: health, accounts, the access token.

import {
  getAccounts,
  getHealth,
  hasToken,
  hasUserToken,
  onReachable,
  onUnauthorized,
  setToken,
} from '../service/api.js';
import { computed, signal } from '../ui/html.js';

const RETRY_MS = 2_000;
const ACCOUNTS_AGE_MS = 20_000;
const FORBIDDEN = 403;

export const isReachable = signal(true);
export const health = signal(null);
export const accounts = signal([]);
/** Whether this browser's token is the operator's, by its form or by what it may see; null while that is not known. */
export const isOperator = signal(hasUserToken() ? false : null);
/** The token dialog while it is open: `{wasRefused, resolve}`. */
export const tokenRequest = signal(null);
/** Whether a call was refused for want of a token and the dialog was dismissed. */
export const isLocked = signal(false);
export const isTokenKept = signal(hasToken());
export const isConfigured = computed(() => health.value?.runninghub !== 'not_configured');

let retryTimer = null;
let accountsReadAt = 0;
const whenBack = new Set([() => readAccounts()]);

/** Calls `action` whenever the service can be reached again. */
export const onBack = (action) => whenBack.add(action);

/** For modules that could not be fetched: a browser does not try those a second time on the same page. */
export function reloadOnceBack() {
  onBack(() => location.reload());
  setReachable(false);
}

export function startConnection() {
  onReachable(setReachable);
  onUnauthorized(requestToken);
  return readHealth();
}

function setReachable(isNowReachable) {
  const wasReachable = isReachable.value;
  isReachable.value = isNowReachable;
  if (isNowReachable && !wasReachable) for (const action of whenBack) action();
  if (!isNowReachable) retryTimer ??= setTimeout(retry, RETRY_MS);
}

async function retry() {
  retryTimer = null;
  await readHealth();
}

async function readHealth() {
  health.value = await getHealth().catch(() => health.value);
}

// Once dismissed, other calls that are refused do not bring the dialog back.
function requestToken(wasRefused) {
  if (isLocked.value) return Promise.resolve(false);
  return new Promise((resolve) => {
    tokenRequest.value = { wasRefused, resolve };
  });
}

export function giveToken(token) {
  setToken(token);
  isTokenKept.value = true;
  isOperator.value = hasUserToken() ? false : null;
  endTokenRequest(true);
}

/** Without a token nothing of the service is shown; a banner offers the dialog again. */
export function dismissToken() {
  endTokenRequest(false);
}

function endTokenRequest(isGiven) {
  const request = tokenRequest.value;
  tokenRequest.value = null;
  isLocked.value = !isGiven;
  request?.resolve(isGiven);
}

export function forgetToken() {
  setToken(null);
  location.reload();
}

/** The accounts, for the operator; a user's token may not see them, and does not ask for them. */
export async function readAccounts({ isForced = false } = {}) {
  if (isOperator.value === false) return;
  if (!isForced && Date.now() - accountsReadAt < ACCOUNTS_AGE_MS) return;
  accountsReadAt = Date.now();
  try {
    const found = await getAccounts();
    isOperator.value = true;
    accounts.value = found.accounts;
  } catch (problem) {
    accountsReadAt = 0;
    if (problem.status !== FORBIDDEN) return;
    isOperator.value = false;
    accounts.value = [];
  }
}
