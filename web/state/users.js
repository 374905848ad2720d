// Owns the users that have a token: for the operator only.

import * as service from '../service/api.js';
import { monthOf } from '../logic/usage.js';
import { signal } from '../ui/html.js';

/** null before the first response. */
export const users = signal(null);
export const usersProblem = signal(null);
/** Coins of this month by user, as the service's text. */
export const monthCoins = signal(new Map());

export async function readUsers() {
  try {
    const found = await service.listUsers();
    users.value = found.users;
    usersProblem.value = null;
    const { usage } = await service.getUsage({ ...monthOf(service.serviceNow()), group_by: 'owner' });
    monthCoins.value = new Map(usage.map((row) => [row.owner, row.coins]));
  } catch (problem) {
    usersProblem.value = problem;
  }
}

/** Returns the token, which the service shows only this once. */
export async function createUser(body) {
  const { token } = await service.createUser(body);
  await readUsers();
  return token;
}

export async function changeUser(name, { name: _, ...changes }) {
  await service.changeUser(name, changes);
  await readUsers();
}

export const renewToken = async (name) => (await service.renewToken(name)).token;

export async function deleteUser(name) {
  await service.deleteUser(name);
  await readUsers();
}
