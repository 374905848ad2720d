// Owns what a task gave: its result files and texts, from our outputs where there are some, else from RunningHub's list.

const KINDS = {
  image: ['png', 'jpg', 'jpeg', 'webp', 'gif', 'avif', 'bmp', 'svg'],
  video: ['mp4', 'webm', 'mov', 'mkv', 'm4v'],
  audio: ['wav', 'mp3', 'flac', 'ogg', 'm4a', 'aac'],
  text: ['txt', 'json', 'srt', 'md'],
};
const LOST = ['LOST', 'DELETED', 'TOO_LARGE'];
const LONGEST_NAME = 60;
const MOST_SAVED_BYTES = 300_000_000;

/** The address if a browser may open it; results and covers come from elsewhere and could say `javascript:`. */
export function webAddress(text) {
  if (typeof text !== 'string' || !URL.canParse(text)) return null;
  const url = new URL(text);
  return ['http:', 'https:'].includes(url.protocol) ? url.href : null;
}

/** Our own relative links only: `/tasks/…`. */
const ownAddress = (text) => (typeof text === 'string' && /^\/[^/\\]/.test(text) ? text : null);

/**
 * `[{n, kind, url, thumbnailUrl, downloadUrl, ending, text, isOurs, isGone}]`, in RunningHub's order.
 * `url` is null for what has no address a browser may open.
 */
export function outputsOf(task) {
  const raw = (task.result_data ?? []).filter((item) => item instanceof Object);
  const ours = task.outputs ?? [];
  if (ours.length) return ours.map((output) => fromOutput(output, raw[output.n]));
  return raw.map(fromRunningHub).filter((item) => item.url || item.text);
}

function fromOutput(output, raw) {
  const ending = endingOf(output.file_type || raw?.fileType, raw?.fileUrl);
  const isNotKept = output.state === 'NOT_KEPT' || output.state === 'TOO_LARGE';
  const remote = webAddress(raw?.fileUrl);
  const own = ownAddress(output.url);
  const url = own ?? remote;
  return {
    n: output.n,
    kind: kindOf(ending, output.media_type),
    ending,
    text: output.text ?? textOf(raw),
    url,
    downloadUrl: own ? `${own}${own.includes('?') ? '&' : '?'}download=1` : remote,
    isOurs: Boolean(own),
    isGone: LOST.includes(output.state) && !(isNotKept && url),
    isKept: output.state === 'KEPT',
    bytes: output.bytes ?? null,
    thumbnailUrl: ownAddress(output.thumbnail_url) ?? url,
  };
}

function fromRunningHub(item, n) {
  const url = webAddress(item.fileUrl);
  const ending = endingOf(item.fileType, item.fileUrl);
  const base = { n, ending, text: textOf(item), url, downloadUrl: url, thumbnailUrl: url, bytes: null };
  return { ...base, kind: kindOf(ending), isOurs: false, isGone: false, isKept: false };
}

const textOf = (item) => (typeof item?.text === 'string' && item.text ? item.text : null);

function endingOf(fileType, address) {
  if (fileType) return String(fileType).toLowerCase().replace(/^\./, '');
  const url = webAddress(address);
  return url ? (/\.(\w{1,8})$/.exec(new URL(url).pathname)?.[1] ?? '').toLowerCase() : '';
}

function kindOf(ending, mediaType = '') {
  const known = Object.keys(KINDS).find((kind) => KINDS[kind].includes(ending));
  const [family] = (mediaType ?? '').split('/');
  return known ?? (family in KINDS ? family : 'file');
}

/** The first picture (else film) of a task, for lists. */
export function previewOf(task) {
  const shown = outputsOf(task).filter((output) => output.url && !output.isGone);
  return (
    shown.find((output) => output.kind === 'image') ?? shown.find((output) => output.kind === 'video') ?? null
  );
}

/** A readable name for a downloaded file: `a cat on a roof 2.png`. */
export function fileNameOf({ prompt, appName, output, count }) {
  const base = (prompt || appName || 'result')
    .replace(/[\\/:*?"<>|\p{C}]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  const short = base.length > LONGEST_NAME ? base.slice(0, LONGEST_NAME).trim() : base;
  const number = count > 1 ? ` ${output.n + 1}` : '';
  return `${short || 'result'}${number}${output.ending ? `.${output.ending}` : ''}`;
}

/** Whether the page can save these under its own name: they come from this service and fit into memory. */
export function isNamedByPage(outputs) {
  const sizeOf = ({ bytes, kind }) => bytes ?? (kind === 'image' || kind === 'text' ? 0 : Infinity);
  const size = outputs.reduce((sum, output) => sum + sizeOf(output), 0);
  return outputs.every((output) => output.isOurs) && size <= MOST_SAVED_BYTES;
}

/** `{seconds, coins, money, thirdPartyMoney}`, each null where it is not known; RunningHub repeats them on every file. */
export function costOf(task) {
  const items = (task.result_data ?? []).filter((item) => item instanceof Object);
  const first = (name) => items.map((item) => item[name]).find((value) => Number(value) > 0) ?? null;
  const own = task.cost ?? {};
  const positive = (value) => (Number(value) > 0 ? value : null);
  return {
    seconds: first('taskCostTime') === null ? null : Number(first('taskCostTime')),
    coins: positive(own.coins) ?? first('consumeCoins'),
    money: positive(own.money) ?? first('consumeMoney'),
    thirdPartyMoney: positive(own.thirdPartyMoney) ?? first('thirdPartyConsumeMoney'),
  };
}
