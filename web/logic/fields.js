// Owns what the page knows of a form's fields before they are sent: keys, first values, faults and cautions.

import { numberFault, tidyNumber } from './numbers.js';

export const MEDIA_TYPES = ['image', 'audio', 'video', 'file'];
const NUMBER_TYPES = ['integer', 'number'];

export const keyOf = ({ nodeId, fieldName }) => `${nodeId}.${fieldName}`;
export const isMedia = (node) => MEDIA_TYPES.includes(node.input.type);
export const isNumber = (node) => NUMBER_TYPES.includes(node.input.type);
export const isSeed = (node) => node.input.type === 'integer' && /seed/i.test(node.fieldName);

/** The app's saved value as the form shows it first. */
export const firstValue = (node) => tidyNumber(node.fieldValue ?? '', node.input.type);

/** RunningHub's ways of writing "no file". */
export const isNoFile = (value) => ['', 'none'].includes(value.trim().toLowerCase());

/** Whether a media field still holds the file that the app's author tried it with. */
export const isSampleFile = (node, value) => isMedia(node) && !isNoFile(value) && value === node.fieldValue;

/**
 * What would be refused, as `{key, values}` for `t`, or null. The app's own saved value always passes,
 * as it does in the service.
 */
export function valueFault(node, value) {
  if (value === firstValue(node) || value === node.fieldValue) return null;
  return isNumber(node) ? numberFault(value.trim(), node.input) : null;
}

/** What runs but is probably not meant: no file, or the author's sample file. */
export function valueCaution(node, value) {
  if (!isMedia(node)) return null;
  if (isNoFile(value)) return { key: 'cautionNoFile' };
  return isSampleFile(node, value) ? { key: 'cautionSample' } : null;
}

/** Whether a file may be given to a field, by the field's accept value. */
export function acceptsFile(accept, { name, type }) {
  if (!accept) return true;
  if (accept.startsWith('.')) return name.toLowerCase().endsWith(accept);
  return type ? type.startsWith(accept.replace('*', '')) : hasMediaEnding(accept, name);
}

// Some systems report no type for files such as .mkv or .flac.
const ENDINGS = {
  'image/*': /\.(png|jpe?g|webp|gif|bmp|avif|heic|tiff?)$/i,
  'audio/*': /\.(mp3|wav|flac|ogg|m4a|aac|opus)$/i,
  'video/*': /\.(mp4|mov|mkv|avi|webm|m4v)$/i,
};
const hasMediaEnding = (accept, name) => ENDINGS[accept]?.test(name) ?? true;

/** Neighbouring fields of one node belong together: `[{id, name, nodes}]` in the form's order. */
export function groupsOf(nodes) {
  const groups = new Map();
  for (const node of nodes) {
    const group = groups.get(node.nodeId) ?? {
      id: node.nodeId,
      name: node.nodeName || node.nodeId,
      nodes: [],
    };
    groups.set(node.nodeId, { ...group, nodes: [...group.nodes, node] });
  }
  return [...groups.values()];
}

/** The fields whose label, name or node contains every word of the filter. */
export function matchingKeys(nodes, filter) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const textOf = (node) =>
    [node.input.label, node.input.labelEn, node.fieldName, node.nodeName, node.nodeId]
      .join(' ')
      .toLowerCase();
  return new Set(nodes.filter((node) => words.every((word) => textOf(node).includes(word))).map(keyOf));
}
