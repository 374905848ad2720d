// Owns a user as a form: its fields as text, what is wrong with them, and the body that the service takes.

export const LIMITS = [
  'max_active_tasks',
  'max_pending_tasks',
  'tasks_per_day',
  'coins_per_month',
  'calls_per_minute',
];
const NAME = /^[\p{L}\p{N}_.@-]{1,64}$/u;
const WHOLE = /^\d{1,9}$/;
const AMOUNT = /^\d{1,9}(\.\d+)?$/;
const END_OF_DAY = [23, 59, 59];

/** The form's values for a user, or for a new one: `{name, expires, limits, webappIds}`; `webappIds` null: every app. */
export function draftOf(user) {
  const limits = LIMITS.map((name) => [name, String(user?.limits[name] ?? '')]);
  return {
    name: user?.name ?? '',
    expires: user?.expires_at ? localDay(new Date(user.expires_at)) : '',
    limits: Object.fromEntries(limits),
    webappIds: user?.webapp_ids ?? null,
  };
}

/** What would be refused: a set of `name` and names of limits. */
export function faultsOf(draft) {
  const isWrong = (name) => {
    const text = draft.limits[name].trim();
    return text !== '' && !(name === 'coins_per_month' ? AMOUNT : WHOLE).test(text);
  };
  return new Set([...(NAME.test(draft.name.trim()) ? [] : ['name']), ...LIMITS.filter(isWrong)]);
}

/** The body of POST /users and PATCH /users/{name}; an empty limit follows the setting. */
export function bodyOf(draft) {
  const limits = LIMITS.map((name) => [name, numberOf(draft.limits[name])]);
  return {
    name: draft.name.trim(),
    expires_at: draft.expires ? endOfDay(draft.expires) : null,
    limits: Object.fromEntries(limits),
    webapp_ids: draft.webappIds,
  };
}

const numberOf = (text) => (text.trim() === '' ? null : Number(text));

function endOfDay(day) {
  const [year, month, date] = day.split('-').map(Number);
  return new Date(year, month - 1, date, ...END_OF_DAY).toISOString();
}

const two = (number) => String(number).padStart(2, '0');
const localDay = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

/** The link that signs in with a token; the page removes it from the address. */
export const signInLink = (origin, token) => `${origin}/#token=${encodeURIComponent(token)}`;
