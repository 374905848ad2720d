// Owns pasted and stray files: a pasted one goes to the media field in use, else to the first that accepts it.

import { acceptsFile, isMedia } from '../logic/fields.js';
import { upload } from '../state/form.js';

/** Returns the function that ends it. */
export function installPaste(form) {
  const paste = (event) => pasteInto(form, event);
  const keepPage = (event) => event.preventDefault();
  document.addEventListener('paste', paste);
  // Otherwise a file dropped beside a field would replace the page.
  for (const name of ['dragover', 'drop']) document.addEventListener(name, keepPage);
  return () => {
    document.removeEventListener('paste', paste);
    for (const name of ['dragover', 'drop']) document.removeEventListener(name, keepPage);
  };
}

function pasteInto(form, event) {
  const [file] = event.clipboardData.files;
  if (!file) return;
  const usedKey = document.activeElement?.closest('.media')?.dataset.field;
  const media = form.fields.filter((field) => isMedia(field.node));
  const inOrder = [...media.filter((field) => field.key === usedKey), ...media];
  const field = inOrder.find(({ node }) => acceptsFile(node.input.accept, file));
  if (!field) return;
  event.preventDefault();
  upload(field, file);
}
