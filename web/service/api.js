// Owns every call to the service, through the client package. Nothing else on the page knows a route.

import { createGateway } from '../vendor/gateway.js';
import { isUserToken } from '../logic/tokens.js';
import { remember, remembered } from './storage.js';

const POSSIBLE_TOKEN = /^[\x21-\x7e]+$/;
let askForToken = async () => false;
let asking = null;
let clockOffsetMs = 0;
let reportReachable = () => {};

const gateway = createGateway({
  baseUrl: '',
  // Uploads do not go through `fetch`.
  token: () => remembered('token'),
  storage: null,
  fetch: authorisedFetch,
});

/** `ask(wasRefused)` shows a form for the token and resolves to whether one was given. */
export function onUnauthorized(ask) {
  askForToken = ask;
}

/** `report(isReachable)` is called after every call. */
export function onReachable(report) {
  reportReachable = report;
}

export const hasToken = () => Boolean(remembered('token'));
export const hasUserToken = () => isUserToken(remembered('token'));
export const isPossibleToken = (text) => POSSIBLE_TOKEN.test(text);
export const setToken = (token) => remember('token', token);

/** Now by the service's clock: a browser's may be off by hours. */
export const serviceNow = () => Date.now() + clockOffsetMs;

export const getHealth = () => gateway.request('/health');
export const getForm = (webappId) => gateway.form(webappId);
export const getAccounts = () => gateway.request('/accounts');
export const listWebapps = (query) => gateway.request('/webapps', { query });
export const listTasks = (query) => gateway.tasks(query);
export const getTask = (id, signal) => gateway.task(id, { signal });
export const followTask = (id, options) => gateway.follow(id, options);
export const cancelTask = (id) => gateway.cancel(id);
export const deleteTask = (id) => gateway.delete(id);

export const submitTask = (submission, key) => post('/submit_task', submission, key);
export const submitTasks = (tasks, key) => post('/submit_tasks', { tasks }, key);
export const rerunTask = (id, key) => post(`${taskPath(id)}/rerun`, undefined, key);
export const settleTask = (id, decision) =>
  gateway.request(`${taskPath(id)}/settle`, { method: 'POST', body: decision });

export const listDeliveries = (id) => gateway.request(`${taskPath(id)}/deliveries`);
export const redeliver = (id, deliveryId) =>
  gateway.request(`${taskPath(id)}/deliveries/${encodeURIComponent(deliveryId)}/redeliver`, { method: 'POST' });

export const getUsage = (query) => gateway.request('/usage', { query });
export const listUsers = () => gateway.request('/users');
export const createUser = (body) => gateway.request('/users', { method: 'POST', body });
export const changeUser = (name, changes) =>
  gateway.request(userPath(name), { method: 'PATCH', body: changes });
export const deleteUser = (name) => gateway.request(userPath(name), { method: 'DELETE' });
export const renewToken = (name) => gateway.request(`${userPath(name)}/token`, { method: 'POST' });

/** Does not go through `fetch`, so that a lost connection is reported here. */
export async function uploadFile(file, options) {
  try {
    return await gateway.upload(file, options);
  } catch (problem) {
    if (problem.code === 'network') reportReachable(false);
    throw problem;
  }
}

/** Responds when the status changes, or after `seconds`. */
export const waitForTask = (id, seconds, signal) =>
  gateway.request(taskPath(id), { query: { wait: seconds }, signal, timeoutMs: (seconds + 15) * 1000 });

/** The bytes of an output as a file with this name; its address is signed. */
export const outputFile = (url, name) => fileOf(observedFetch(url), name);

/** All results of a task in one archive with this name. */
export const outputsZip = (id, name) => fileOf(authorisedFetch(`${taskPath(id)}/outputs.zip`, {}), name);

async function fileOf(request, name) {
  const response = await request.catch(() => fail('network'));
  if (!response.ok) {
    const { code, detail } = await response.json().catch(() => ({}));
    return fail(code ?? 'invalid_response', detail);
  }
  const blob = await response.blob().catch(() => fail('network'));
  return new File([blob], name, { type: blob.type });
}

function fail(code, message) {
  throw Object.assign(new Error(message), { code });
}

const taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;
const userPath = (name) => `/users/${encodeURIComponent(name)}`;

const post = (path, body, key) =>
  gateway.request(path, { method: 'POST', body, headers: { 'Idempotency-Key': key } });

/** Asks for the token where a call is refused for want of it, and sends the call again. */
async function authorisedFetch(url, init) {
  const token = remembered('token');
  const response = await observedFetch(url, withToken(init, token));
  if (response.status !== 401 || !(await isTokenNew(token))) return response;
  return authorisedFetch(url, init);
}

// A person may take longer to find the token than a call may take: then its time limit is over.
const withToken = ({ headers, signal, ...init }, token) => ({
  ...init,
  signal: signal?.aborted ? undefined : signal,
  headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
});

/** Whether there is another token than the refused one; calls refused at the same time ask once. */
async function isTokenNew(refused) {
  if (remembered('token') !== refused) return true;
  asking ??= askForToken(Boolean(refused)).finally(() => (asking = null));
  return asking;
}

async function observedFetch(url, init) {
  try {
    const response = await fetch(url, init);
    reportReachable(true);
    keepClock(response);
    return response;
  } catch (error) {
    if (error.name !== 'AbortError') reportReachable(false);
    throw error;
  }
}

function keepClock(response) {
  const date = Date.parse(response.headers.get('Date'));
  if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) clockOffsetMs = date - Date.now();
}
