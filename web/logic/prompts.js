// Owns the line that stands for a task in lists: its prompt.

const LONGEST = 300;
const TEXT_TYPES = ['STRING', 'TEXT'];

/** What a person typed to get this result, or an empty text. */
export function promptOf(task) {
  const items = (task.node_info ?? []).filter((item) => TEXT_TYPES.includes(item.fieldType ?? 'STRING'));
  const texts = items.filter((item) => isSentence(String(item.fieldValue ?? '')));
  const named = texts.find(
    (item) => /prompt|text|提示词/i.test(item.fieldName) && !/negative/i.test(item.fieldName),
  );
  return String((named ?? texts[0])?.fieldValue ?? '')
    .trim()
    .slice(0, LONGEST);
}

const isSentence = (text) =>
  text.trim() !== '' &&
  !/^[\d.+-]+$/.test(text) &&
  !/\.(safetensors|ckpt|png|jpe?g|mp4|wav|mp3|zip)$/i.test(text);

/** Whether a task is meant by a search: every word is in its prompt, values, app name or ids. */
export function matchesSearch(task, search, appName = '') {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const values = (task.node_info ?? []).map((item) => item.fieldValue);
  const text = [...values, appName, task.id, task.runninghub_task_id, task.webapp_id].join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
}
