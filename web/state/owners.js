// Owns the names of everybody who has run something, users of a login too, for the filter of the history.

import { getUsage } from '../service/api.js';
import { signal } from '../ui/html.js';

export const owners = signal([]);

export async function readOwners() {
  const found = await getUsage({ group_by: 'owner' }).catch(() => ({ usage: [] }));
  owners.value = found.usage
    .map((row) => row.owner)
    .filter(Boolean)
    .sort();
}
