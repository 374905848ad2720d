// Owns the reading of an app's id from what a person pasted.

const IN_A_LINK =
  /(?:\/(?:ai-detail|ai-app|webapp|run\/ai-app|apps)\/|[?&#](?:webappId|webapp_id|id)=)(\d+)/i;
const LONG_NUMBER = /\d{6,}/;

/** The app's id in a link or a text, or null. */
export function webappIdIn(text) {
  const plain = text.trim();
  if (/^\d+$/.test(plain)) return plain;
  return IN_A_LINK.exec(plain)?.[1] ?? LONG_NUMBER.exec(plain)?.[0] ?? null;
}
