// Owns parts of the page whose modules are fetched when they are first needed.

import { html, useEffect, useState } from './html.js';

/**
 * Draws the component that `load` resolves to, with all other properties; `children` until it is there.
 * `onMissing` is called where its modules cannot be fetched.
 */
export function Lazy({ load, onMissing = () => {}, children, ...rest }) {
  const [Part, setPart] = useState(null);
  useEffect(() => {
    let isWanted = true;
    load().then((loaded) => isWanted && setPart(() => loaded), onMissing);
    return () => (isWanted = false);
  }, []);
  return Part ? html`<${Part} ...${rest} />` : (children ?? null);
}
