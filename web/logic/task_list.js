// Owns the merging of pages of tasks: each task once, its newest version, newest task first.

/** `tasks` with those of `found` in it. */
export function mergeTasks(tasks, found) {
  const byId = new Map(tasks.map((task) => [task.id, task]));
  for (const task of found) byId.set(task.id, newer(byId.get(task.id), task));
  return [...byId.values()].sort(newestFirst);
}

const newer = (known, task) => (known && known.updated_at > task.updated_at ? known : task);

const newestFirst = (one, other) => compare(other.created_at, one.created_at) || compare(other.id, one.id);
const compare = (one, other) => (one < other ? -1 : Number(one > other));

export const STATUS_FILTERS = {
  all: [],
  active: ['PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING'],
  good: ['SUCCESS'],
  bad: ['FAILED'],
  over: ['CANCELLED'],
  unknown: ['SUBMIT_UNKNOWN'],
};

/** Whether a task passes the filters; the service filters too, except for the search. */
export function passes(task, { status = 'all', webappId = '', owner = '', after = null, before = null }) {
  const statuses = STATUS_FILTERS[status] ?? [];
  return (
    (!statuses.length || statuses.includes(task.status)) &&
    (!webappId || task.webapp_id === webappId) &&
    (!owner || task.owner === owner) &&
    (!after || Date.parse(task.created_at) >= Date.parse(after)) &&
    (!before || Date.parse(task.created_at) < Date.parse(before))
  );
}
